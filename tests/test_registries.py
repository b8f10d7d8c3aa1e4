"""What `CONTRIBUTING.md` says of registries: a thing added from outside is seen everywhere."""

import numpy as np
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.core.constants import CREDIBLE
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.measures import MEASURES, Family, register, representatives
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.plots import prior_predictive, synergy, synergy_rows
from cotreat.plots.records import PriorPosterior, Sensitivity
from cotreat.plots.style import off_screen
from cotreat.results.headline import headline
from cotreat.results.summary import LIKELIHOOD, POSTERIOR, summarise
from cotreat.results.verdict import verdicts
from cotreat.sensitivity import prior_predictive as induced
from tests.shared import view_of

COMPLEMENTARY = Family(
    "complementary log-log", "multiplied rates", "difference of log cumulative hazards"
)


def cll(*, r00, r10, r01, r11):
    """Interaction contrast of the complementary log-log of the risks."""
    h00, h10, h01, h11 = (np.log(-np.log(1 - risk)) for risk in (r00, r10, r01, r11))
    return h11 - h10 - h01 + h00


@pytest.fixture
def registered():
    """Add a measure of a new family: one function and one entry."""
    register(COMPLEMENTARY, null=0, words="interaction of rates")(cll)
    yield MEASURES["cll"]
    del MEASURES["cll"]


@pytest.fixture
def view(registered):  # noqa: ARG001 - the table is made with it
    study, model = load_study("isis2"), MODELS["interaction"]
    risk = xr.DataArray(
        np.random.default_rng(1).uniform(0.05, 0.2, (1, 200, 4)),
        dims=("chain", "draw", "arm"),
        coords={"arm": list(study.regimens)},
        attrs={"risk_kind": "crude"},
    )
    prior = risk.copy(data=np.random.default_rng(2).uniform(0.05, 0.2, risk.shape))
    table = summarise(
        study,
        model,
        resolve(study),
        prior=prior,
        posterior=risk,
        likelihood=fit_likelihood(study, model, resolve(study)),
        labels={"model": model.name, "priors": "weak", "interpretation": "default"},
    )
    tree = xr.DataTree.from_dict(
        {"prior": xr.Dataset({"risk": prior}), "posterior": xr.Dataset({"risk": risk})}
    )
    return view_of(tree, study, model, table)


def test_a_measure_of_a_new_family_stands_in_the_table(view, registered):
    own = view.summary[view.summary.measure == registered.name]
    assert set(own.scale) == {COMPLEMENTARY.name}
    assert set(own.judged_on) == {"event", "non-event"}
    (row,) = own[(own.estimator == POSTERIOR) & own.probability.notna()].itertuples()
    at = dict(zip(("r00", "r10", "r01", "r11"), view.study.regimens, strict=True))
    risk = view.draws["posterior"]["risk"]
    survival = {cell: 1 - risk.sel(arm=arm).values for cell, arm in at.items()}
    draws = cll(**survival)
    assert row.estimate == pytest.approx(np.median(draws))
    assert row.probability == pytest.approx(np.mean(draws > 0))
    assert row.interval == CREDIBLE
    assert row.label == "interaction of rates (cll), SK × ASA"
    assert set(own[own.estimator == LIKELIHOOD].interval) == {"95% delta"}


def test_a_measure_of_a_new_family_stands_for_it(view, registered):
    assert representatives()[COMPLEMENTARY.name] == registered.name
    risk = view.draws["posterior"]["risk"]
    judged = judged_measures(view.study, view.fit.model, risk, resolve(view.study))
    assert registered.name in {estimand.measure for estimand in judged}


def test_a_measure_of_a_new_family_is_drawn_in_the_synergy_figure(view, registered):
    (panel,) = synergy_rows.panels(view.study, {"default": view.summary})
    names = [row.name for row in panel.rows]
    at = names.index(COMPLEMENTARY.name)
    drawn = panel.rows[at + 1]
    assert drawn.measure == registered.name
    own = view.summary[view.summary.measure == registered.name]
    assert drawn.marks[0].probability == own.probability.max()
    assert not MEASURES[panel.rows[-1].measure].family.is_synergy  # what is no evidence stays last
    with off_screen():
        (axes,) = synergy.synergy(view).axes
    ticks = [text.get_text() for text in axes.get_yticklabels()]
    assert COMPLEMENTARY.name in ticks
    assert drawn.name in ticks
    assert any(
        line.get_marker() == "o" and line.get_xdata()[0] == drawn.marks[0].probability
        for line in axes.get_lines()
        if len(line.get_xdata()) == 1
    )


def test_a_measure_of_a_new_family_has_an_axis_in_the_figure_of_priors(view):
    prior, posterior = view.draws["prior"]["risk"], view.draws["posterior"]["risk"]
    asked = induced.estimands_of(view.study, view.fit.model, posterior)
    with off_screen():
        every = [PriorPosterior.of(one, status, prior, posterior) for one, status in asked]
        figure = prior_predictive.prior_predictive(Sensitivity(view.study, estimands=every))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert f"{COMPLEMENTARY.axis} (cll)" in titles


def test_a_measure_of_a_new_family_has_a_verdict(view):
    assert len(verdicts(view.summary)) == 6
    assert any("(cll)" in str(cell) for cell in headline(view.summary).estimand)
