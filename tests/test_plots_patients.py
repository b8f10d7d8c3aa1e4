"""Figures of patients with covariates: calibration of predicted risk and influence of cells."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.diagnostics.risk_calibration import calibration_of
from cotreat.models.registry import MODELS
from cotreat.plots import style
from tests.shared import view_of
from tests.test_patient_checks import posterior_of, tree_of
from tests.test_patients import frame, study  # noqa: F401 - fixtures
from tests.test_plots import OF_PATIENTS, draw, markers


@pytest.fixture(scope="module")
def cohort(study):  # noqa: F811
    """Patients with covariates, among whom leaving out two cells is too much."""
    tree = tree_of(study, posterior_of(study, [0.5, 0.1, 0.2, -0.3]))
    k = np.linspace(-0.1, 0.5, len(study.patterns.n))
    k[[3, 40]] = 0.8, 1.2
    found = xr.Dataset({"pareto_k": ("cell", k)}, attrs={"good_k": 0.7})
    tree["influence"] = xr.DataTree(found)
    labels = {"study": study.id, "model": "additive", "priors": "weak"}
    labels["interpretation"] = "default"
    return view_of(tree, study, MODELS["additive"], pd.DataFrame([labels]))


def test_calibration_draws_groups_of_predicted_risk(cohort):
    found = calibration_of(cohort.draws, cohort.study.patterns)
    figure = draw("risk_calibration", cohort)
    (axes,) = figure.axes
    groups = found.groups
    assert markers(axes, "D") == list(zip(groups.predicted, groups.observed, strict=True))
    (bars,) = axes.collections
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, groups[["lower", "upper"]])
    words = axes.get_title(loc="left")
    assert words.startswith("10 groups of 30 patients, the same that the model was fitted to\n")
    assert f"slope {found.slope:.2f}" in words
    # The observed share of a group is its events over its patients, cell by cell.
    group = cohort.draws["constant_data"]["risk_group_of"].values
    cells = cohort.study.patterns
    assert groups.observed[4] == cells.events[group == 4].sum() / cells.n[group == 4].sum()


def test_influence_draws_cells_in_the_rows_of_their_regimens(cohort):
    (axes,) = draw("influence", cohort).axes
    k = cohort.draws["influence"]["pareto_k"].values
    drawn = np.array(markers(axes, "o", "D"))
    assert sorted(drawn[:, 0]) == sorted(k)
    assert sorted(x for x, _ in markers(axes, "D")) == [0.8, 1.2]
    regimens = np.array(cohort.study.patterns.regimens)
    for row, regimen in enumerate(cohort.study.counted):
        inside = np.abs(drawn[:, 1] - row) < 0.5
        assert sorted(drawn[inside, 0]) == sorted(k[regimens == regimen])
    assert axes.get_title(loc="left") == f"2 of {len(k)} covariate patterns above 0.7"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["drug A", "drug B", "drug A + drug B"]
    assert axes.get_xlabel() == "Pareto k of leaving one covariate pattern out"


def test_predictive_draws_the_events_of_regimens_not_of_cells(cohort):
    (axes,) = draw("predictive", cohort).axes
    np.testing.assert_array_equal([x for x, _ in markers(axes, "D")], cohort.study.events)


@pytest.mark.parametrize("name", sorted(OF_PATIENTS))
def test_no_text_of_patients_figures_is_cut_or_runs_into_another(cohort, name):
    figure = draw(name, cohort)
    style.write_below(figure, cohort.footer)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [t.get_window_extent() for t in axes.get_yticklabels()]
    boxes += [axes.xaxis.label.get_window_extent()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for at, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[at + 1 :])


def test_counts_have_no_figures_of_patients(cohort):
    isis2 = view_of(cohort.draws, load_study("isis2"), cohort.fit.model, cohort.summary)
    assert draw("risk_calibration", isis2) is None
    assert draw("influence", isis2) is None


def test_without_influence_there_is_no_such_figure(cohort):
    tree = cohort.draws.copy()
    del tree["influence"]
    view = view_of(tree, cohort.study, cohort.fit.model, cohort.summary)
    assert draw("influence", view) is None
