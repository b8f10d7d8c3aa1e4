"""A study resolves once to pieces of evidence, each of which implements one protocol."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.calibration import kept
from cotreat.evidence.protocol import Point, parameters_of, stacked
from cotreat.evidence.reported import reported_in
from cotreat.evidence.resolve import resolve
from cotreat.study.study import InterpretationError, StratificationError

STUDIES = {
    "isis2": ["Counts"],
    "sun2024": ["ReportedEvidence"],
    "sun2024-synthetic": ["Patients"],
    "mixed": ["Counts", "ReportedEvidence"],
    "reported-adjusted": ["ReportedEvidence"],
    "patients": ["Patients"],
}


def study_of(name):
    return kept.template(name) if name in kept.TEMPLATES else load_study(name)


@pytest.fixture(params=STUDIES)
def evidence(request):
    return resolve(study_of(request.param))


@pytest.mark.parametrize(("name", "expected"), STUDIES.items())
def test_a_study_resolves_to_what_it_counts_and_reports(name, expected):
    assert [type(one).__name__ for one in resolve(study_of(name))] == expected


def test_counts_come_before_the_estimates_that_are_conditional_on_them():
    counts, reported = resolve(study_of("mixed"))
    assert set(counts.rows().id) == set(counts.study.counted)
    assert set(reported.rows().id) == set(reported_in((counts, reported)).names)


def test_a_study_resolves_under_an_interpretation_and_strata():
    study = load_study("sun2024")
    other = study.interpretations[1].id
    (one,) = resolve(study, other, "dose")
    assert (one.study.interpretation, one.study.strata) == (other, "dose")
    (same,) = resolve(study)
    assert same.study == study
    with pytest.raises(InterpretationError, match="no interpretation 'none such'"):
        resolve(study, "none such")
    with pytest.raises(StratificationError, match="no subgroups by age"):
        resolve(study, strata="age")


def test_each_piece_states_data_of_the_shapes_that_leaving_out_and_replicating_change(evidence):
    for one in evidence:
        data = one.data(one.study.regimens)
        for fold in one.folds().parts:
            changed = fold.left_out(data)
            assert changed.keys() == data.keys()
            moved = [n for n in data if not np.array_equal(changed[n], data[n])]
            assert set(moved) <= {name for name, *_ in fold.changes}
            assert moved


def test_counts_are_drawn_again_under_the_names_of_their_data():
    (one,) = resolve(load_study("isis2"))
    risk = xr.DataArray(
        np.full((1, 4000, 4), 0.1),
        dims=("chain", "draw", "arm"),
        coords={"arm": list(one.study.regimens)},
    )
    drawn = one.replicate_data(xr.Dataset({"risk": risk}), np.random.default_rng(1))
    assert list(drawn) == ["counted events"]
    assert drawn["counted events"].mean(0) == pytest.approx(0.1 * one.study.n, rel=0.01)


def test_the_jacobian_has_a_column_for_each_regimen_and_each_open_way(evidence):
    for one in evidence:
        point = Point(np.linspace(-1, 0, len(one.study.regimens)))
        rows, coefficients = one.jacobian(point), one.coefficient_jacobian(point)
        assert len(coefficients) == len(one.coefficients)
        assert rows.shape[1] == (coefficients.shape[1] if len(coefficients) else rows.shape[1])
        assert rows.shape[1] >= len(one.study.regimens)


def test_pieces_share_the_columns_of_regimens_and_have_ways_of_their_own():
    first, second = np.arange(6.0).reshape(2, 3), np.arange(10.0, 18.0).reshape(2, 4)
    one, other = stacked([first, second], 2)
    np.testing.assert_array_equal(one, np.hstack([first, np.zeros((2, 2))]))
    expected = np.hstack([second[:, :2], np.zeros((2, 1)), second[:, 2:]])
    np.testing.assert_array_equal(other, expected)


def test_parameters_of_evidence_have_priors_of_their_own():
    assert parameters_of(resolve(load_study("isis2"))) == ()
    assert {"sigma", "loss"} <= set(parameters_of(resolve(study_of("reported-adjusted"))))
    assert "delta" in parameters_of(resolve(study_of("patients")))


def test_tables_and_checks_read_evidence_without_a_sampler():
    code = (
        "import sys, cotreat.results.summary, cotreat.diagnostics.checks\n"
        "print([name for name in ('pymc', 'pytensor') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
