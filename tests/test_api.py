"""The object that `cotreat.fit` returns."""

import pytest
from matplotlib.figure import Figure

import cotreat
from cotreat.diagnostics.checks import checks, failures
from cotreat.results.summary import summary_of


@pytest.fixture(scope="module")
def fit():
    return cotreat.fit(cotreat.load_study("isis2"), "interaction", engine="laplace", draws=500)


@pytest.mark.slow
def test_products_are_those_of_the_record_and_are_computed_once(fit):
    assert fit.summary.equals(summary_of(fit.record))
    assert fit.checks.equals(checks(fit.record))
    assert fit.failed == failures(fit.checks)
    assert fit.summary is fit.summary
    assert fit.checks is fit.checks
    assert fit.idata is fit.record.draws
    assert repr(fit) == "Fit of isis2: model interaction, weak priors, 4 chains of 500 draws"


@pytest.mark.slow
def test_a_figure_is_drawn_by_name(fit):
    assert isinstance(fit.figure("synergy"), Figure)
    assert fit.figure("arm_sizes") is None  # every arm of ISIS-2 is counted
    with pytest.raises(
        ValueError, match="no figure 'forrest'; the figures of a fit are odds_ratios"
    ):
        fit.figure("forrest")


def test_the_function_audit_is_not_hidden_by_the_sub_package():
    from cotreat.audit import overlap

    assert overlap.__name__ == "cotreat.audit.overlap"
    assert callable(cotreat.audit)
