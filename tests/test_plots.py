"""Figures: what is drawn, told by the plain rows behind a picture and by its artists."""

import dataclasses
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.lines import Line2D
from scipy.special import expit

from cotreat.evidence.resolve import resolve
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.plots import (
    FIT,
    KINDS,
    figures,
    forest,
    interval_rows,
    labels,
    odds_ratios,
    parameters,
    risks,
    style,
    synergy_rows,
)
from cotreat.plots import draw as draw_all
from cotreat.results.summary import POSTERIOR, summarise
from cotreat.study_file.reader import load_study, parse_study
from tests.codes import codes
from tests.shared import view_of

THREE = """
format = 1

[study]
id = "three"
title = "Three drugs"
design = "cohort"
source = "made up"
inclusion = "any(TAC, CYC, MMF)"
[outcome]
name = "complete response"
time = "6 months"
direction = "benefit"
[treatments.TAC]
name = "tacrolimus"
[treatments.CYC]
name = "cyclophosphamide"
[treatments.MMF]
name = "mycophenolate mofetil"
[[arms]]
regimen = "TAC"
n = 40
events = 11
[[arms]]
regimen = "CYC"
n = 150
events = 36
[[arms]]
regimen = "MMF"
n = 120
events = 23
[[arms]]
regimen = "TAC+CYC"
n = 60
events = 25
[[arms]]
regimen = "TAC+MMF"
n = 50
events = 20
"""
STUDIES = {
    "isis2": load_study("isis2"),
    "factor-v-leiden": load_study("factor-v-leiden"),
    "three": parse_study(THREE, "three.toml"),
}
PNG = b"\x89PNG\r\n\x1a\n"
OF_PRINTED = {"reported", "arm_sizes"}
"""Figures that only studies with reported estimates have."""
OF_PATIENTS = {"risk_calibration", "influence"}
"""Figures that only patients with covariates have."""
OF_PARTS = {"levels"}
"""Figures that only studies with levels or subgroups have."""
ELSEWHERE = OF_PRINTED | OF_PATIENTS | OF_PARTS
FIGURES = figures(FIT)


# --- A fit without sampling ----------------------------------------------------------------------


def fake_draws(study, model, rng, chains, draws, spread):
    """Draw parameters and the risks they make, with the dims and names of a fit."""
    arms, shape = model.arms(study), (chains, draws)
    values, dims = {}, {}
    sizes = {
        "beta": ("treatment", study.treatment_ids),
        "gamma": ("pair", study.pair_labels),
        "z": ("pair", study.pair_labels),
        "eta": ("arm", arms),
    }
    for name in dict.fromkeys((*model.parameters, *(["gamma"] if model.has_products else []))):
        dim, labels = sizes.get(name, (None, ()))
        size = shape + ((len(labels),) if dim else ())
        dims[name] = ("chain", "draw", *([dim] if dim else []))
        values[name] = rng.normal(-0.3, spread, size)
    if model.has_structure:
        eta = values["alpha"][..., None] + values["beta"] @ study.content(arms).T
        if model.has_products:
            eta = eta + values["gamma"] @ study.products(arms).T
    else:
        values.pop("gamma")
        eta = values["eta"]
    data = xr.Dataset(
        {name: (dims[name], value) for name, value in values.items()},
        coords={
            "chain": range(chains),
            "draw": range(draws),
            "treatment": list(study.treatment_ids),
            "pair": list(study.pair_labels),
            "arm": list(arms),
        },
    )
    return data.assign(risk=(("chain", "draw", "arm"), expit(eta - 1), {"risk_kind": "crude"}))


def fake_tree(study, model, seed=1):
    rng = np.random.default_rng(seed)
    posterior = fake_draws(study, model, rng, 4, 200, 0.2)
    prior = fake_draws(study, model, rng, 1, 800, 0.8)
    risk = posterior["risk"].sel(arm=list(study.counted)).rename(arm="counted")
    events = rng.binomial(study.n, risk.values)
    counted = {"counted": list(study.counted)}
    sampler = ("chain", "draw"), rng.normal(20, 2, (4, 200))
    return xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "prior": prior,
            "posterior_predictive": risk.copy(data=events).to_dataset(name="events"),
            "observed_data": xr.Dataset({"events": ("counted", study.events)}, coords=counted),
            "sample_stats": xr.Dataset(
                {"energy": sampler, "diverging": (("chain", "draw"), np.zeros((4, 200), bool))},
                coords={"chain": range(4), "draw": range(200)},
            ),
        }
    )


def fake_view(study_id, model_name):
    study, model = STUDIES[study_id], MODELS[model_name]
    tree = fake_tree(study, model)
    summary = summarise(
        study,
        model,
        resolve(study),
        prior=tree["prior"]["risk"],
        posterior=tree["posterior"]["risk"],
        likelihood=fit_likelihood(study, model, resolve(study)),
        labels={"model": model_name, "priors": "weak", "interpretation": "default"},
    )
    return view_of(tree, study, model, summary)


@pytest.fixture(scope="module")
def isis2():
    return fake_view("isis2", "interaction")


@pytest.fixture(scope="module")
def three():
    return fake_view("three", "interaction")


def draw(name, view):
    with style.off_screen():
        return FIGURES[name].drawing(view)


def markers(axes, *shapes):
    """Return the points drawn with one of the marker shapes."""
    lines = [line for line in axes.get_lines() if line.get_marker() in shapes]
    return [(x, y) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


# --- All of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("study", "model", "left_out"),
    [
        ("factor-v-leiden", "saturated", {"risks", *ELSEWHERE}),
        ("three", "exchangeable", ELSEWHERE),
    ],
)
def test_every_figure_is_written(tmp_path, study, model, left_out):
    drawn = draw_all(FIT, fake_view(study, model), tmp_path / "new")
    written = [picture.name for picture in drawn]
    assert written == [name for name in FIGURES if name not in left_out]
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == sorted(f"{name}.png" for name in written)
    for name in written:
        content = (tmp_path / "new" / f"{name}.png").read_bytes()
        assert content.startswith(PNG)
        assert len(content) > 2000
        assert b"Software" not in content
    assert plt.get_fignums() == []


def test_a_failed_check_stands_in_red_above_every_figure(tmp_path, monkeypatch, isis2):
    saved = []
    monkeypatch.setattr(style, "save", lambda figure, _, failed: saved.append((figure, failed)))
    draw_all(FIT, isis2, tmp_path, ["R-hat: 1.53 (alpha), should be ≤ 1.01", "another"])
    assert len(saved) == len(FIGURES) - len(ELSEWHERE)
    for figure, failed in saved:
        style.warn(figure, failed[0])
        line = figure.texts[-1]
        line.set_in_layout(False)
        assert line.get_text().startswith("FAILED CHECKS: do not use these numbers\nR-hat: 1.53")
        assert "another" not in line.get_text()
        assert line.get_color() == style.WARNING
        assert line.get_window_extent().y0 / figure.dpi > figure.get_tightbbox().y1


def test_no_red_line_without_a_failure(tmp_path, isis2):
    figure = draw("odds_ratios", isis2)
    style.save(figure, tmp_path / "a.png")
    assert "FAILED" not in " ".join(texts(figure))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ELSEWHERE])
def test_a_line_below_every_figure_names_the_fit(isis2, name):
    figure = draw(name, isis2)
    style.write_below(figure, isis2.footer)
    line = figure.texts[-1]
    assert line.get_text() == "study isis2 · model interaction · priors weak"
    line.set_in_layout(False)
    assert line.get_window_extent().y1 / figure.dpi < figure.get_tightbbox().y0


def test_the_legend_stays_above_the_line_when_the_figure_is_cut(tmp_path, monkeypatch, isis2):
    figure = draw("odds_ratios", isis2)
    style.write_below(figure, isis2.footer)
    line, (legend,), gaps = figure.texts[-1], figure.legends, []

    def spy(renderer):
        gaps.append(legend.get_window_extent(renderer).y0 - line.get_window_extent(renderer).y1)

    monkeypatch.setattr(line, "draw", spy)
    style.save(figure, tmp_path / "a.png")
    assert gaps[-1] > 0


@pytest.mark.parametrize("name", ["odds_ratios", "synergy", "rank"])
def test_the_same_fit_gives_the_same_bytes(tmp_path, isis2, name):
    for copy in ("a", "b"):
        style.save(draw(name, isis2), tmp_path / f"{copy}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pyplot_is_left_as_it_was(isis2):
    before = mpl.get_backend()
    plt.switch_backend("svg")
    try:
        mine = plt.figure().number
        size = mpl.rcParams["font.size"]
        draw("trace", isis2)
        assert mpl.get_backend() == "svg"
        assert plt.get_fignums() == [mine]
        assert mpl.rcParams["font.size"] == size
    finally:
        plt.close("all")
        plt.switch_backend(before)


def test_an_error_leaves_no_figure_behind():
    def stumble():
        with style.off_screen():
            plt.figure()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert plt.get_fignums() == []


def test_importing_the_registry_is_light():
    code = "import sys, cotreat.plots; print({'matplotlib', 'arviz'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_registry_says_what_each_figure_shows():
    for kind in KINDS:
        for name, figure in figures(kind).items():
            assert (figure.name, figure.of, figure.file) == (name, kind, f"{name}.png")
            assert figure.caption.endswith(".")
            assert figure.alt.endswith(".")


# --- Comparison ----------------------------------------------------------------------------------


def test_comparison_draws_the_numbers_of_the_summary(isis2):
    summary = isis2.summary[isis2.summary.judged_on == "event"]
    wanted = [f"odds_ratio[{arm} vs none]" for arm in ("SK", "ASA", "SK+ASA")] + ["ror[SK:ASA]"]
    rows = [row for row in odds_ratios.rows_to_draw(isis2) if not row.is_heading]
    assert len(rows) == len(wanted)
    for row, estimand in zip(rows, wanted, strict=True):
        expected = summary[codes(summary) == estimand]
        got = [(line.estimate, line.lower, line.upper) for line in row.lines]
        np.testing.assert_array_equal(got, expected[["estimate", "lower", "upper"]].to_numpy())
    (axes,) = draw("odds_ratios", isis2).axes
    drawn = sorted(x for x, _ in markers(axes, "o", "s", "^"))
    shown = summary[codes(summary).isin(wanted)]
    np.testing.assert_array_equal(drawn, sorted(shown.estimate))
    ends = [line.get_xdata() for line in axes.get_lines() if len(line.get_xdata()) == 2]
    intervals_drawn = sorted(map(tuple, ends))
    for interval in shown[["lower", "upper"]].to_numpy():
        assert tuple(interval) in intervals_drawn
    first = shown[(codes(shown) == wanted[0]) & (shown.estimator == POSTERIOR)].iloc[0]
    assert f"{first.estimate:.2f} ({first.lower:.2f} to {first.upper:.2f})" in texts(axes)


def test_comparison_names_what_the_model_fixes():
    rows = odds_ratios.rows_to_draw(fake_view("isis2", "additive"))
    assert [line.words for line in rows[-1].lines] == ["fixed by the model"]


def test_comparison_says_that_maximum_likelihood_is_silent(three):
    row = odds_ratios.rows_to_draw(three)[-1]
    posterior, likelihood = row.lines
    assert posterior.is_unidentified
    assert likelihood.words == "not estimable"
    figure = draw("odds_ratios", three)
    (axes,) = figure.axes
    places = [text.get_position()[0] for text in axes.texts if text.get_text() == "not estimable"]
    assert posterior.estimate in places
    assert any(text.startswith("not estimable: no finite") for text in texts(figure))


def test_comparison_sums_up_the_backgrounds_without_patients():
    view = fake_view("three", "saturated")
    *_, heading, last = odds_ratios.rows_to_draw(view)
    assert heading.is_heading
    assert last.name == "6 pairs and co-treatments"
    assert last.lines[0].words.startswith("not estimable: no patients")


def test_an_endless_interval_ends_in_an_arrowhead():
    lines = (
        interval_rows.Line("posterior, 95%", 2.0, 1.0, 4.0),
        interval_rows.Line("maximum likelihood, 95% profile", 3.0, 0.5, np.inf),
    )
    rows = [interval_rows.Row("a", lines)]
    lower, upper = forest.log_limits(rows)
    assert lower < 0.5
    assert 4.0 < upper < 4.0 * forest.REACH * 1.2
    axes = mpl.figure.Figure().add_subplot()
    style.log_axis(axes, lower, upper)
    interval_rows.draw_rows(axes, rows, look=interval_rows.looks(rows))
    assert [x for x, _ in markers(axes, ">")] == [upper]
    assert markers(axes, "<") == []


# --- Risks ---------------------------------------------------------------------------------------


def test_risks_draw_posterior_likelihood_and_prior(three):
    wide, close = draw("risks", three).axes
    summary = three.summary[codes(three.summary).str.startswith("risk[")]
    estimates = summary[summary.estimate.notna()].estimate
    drawn = sorted(x for x, _ in markers(close, "o", "s"))
    np.testing.assert_array_equal(drawn, sorted(estimates))
    prior = three.draws["prior"]["risk"]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in wide.patches]
    expected = np.quantile(prior.values[0], [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(bars, expected)
    assert "25 / 60" in texts(close)
    assert texts(close).count("no patients") == 3


def test_risks_that_a_model_is_silent_on_leave_their_row_empty():
    rows = risks.rows_to_draw(fake_view("three", "saturated"))
    assert [len(row.lines) for row in rows] == [0, 2, 2, 2, 2, 2, 0, 0]


def test_a_long_outcome_does_not_run_into_the_next_panel(three):
    long = "death from any cardiovascular or unexplained cause in hospital"
    study = parse_study(THREE.replace("complete response", long), "three.toml")
    figure = draw("risks", view_of(three.draws, study, three.fit.model, three.summary))
    figure.draw_without_rendering()
    left, right = (axes.xaxis.label.get_window_extent() for axes in figure.axes)
    assert left.x1 < right.x0


def test_risks_beside_the_prior_have_no_dot_over_the_bar(isis2):
    wide, _ = draw("risks", isis2).axes
    assert markers(wide, "o", "s") == []
    assert len(markers(wide, "|")) == 4


# --- Synergy -------------------------------------------------------------------------------------


def panels(view):
    return synergy_rows.panels(view.study, {"default": view.summary})


def test_synergy_draws_the_probabilities_of_the_summary(isis2):
    (panel,) = panels(isis2)
    summary = isis2.summary[
        isis2.summary.probability.notna() & (isis2.summary.co_treatment == "none")
    ]
    assert set(summary.judged_on) == {"non-event"}
    np.testing.assert_array_equal([mark.probability for mark in panel.marks], summary.probability)
    np.testing.assert_array_equal(
        [mark.prior_probability for mark in panel.marks], summary.prior_probability
    )
    (axes,) = draw("synergy", isis2).axes
    drawn = sorted(x for x, _ in markers(axes, "o"))
    both = [*summary.probability, *summary.prior_probability]
    np.testing.assert_array_equal(drawn, sorted(both))


def test_synergy_sets_apart_what_is_no_evidence(isis2):
    (panel,) = panels(isis2)
    heading, last = panel.rows[-2:]
    assert last.measure == "hsa"
    assert heading.measure == ""
    assert heading.words == "not evidence of synergy"
    assert "not evidence of synergy" in texts(draw("synergy", isis2))


def test_synergy_has_no_dots_where_the_model_has_no_interaction():
    view = fake_view("isis2", "additive")
    (panel,) = panels(view)
    said = {row.measure: row.words for row in panel.rows if row.measure}
    assert said.pop("ror") == "fixed by the model"
    assert set(said.values()) == {"implied by the model"}
    assert all(not markers(axes, "o", "D") for axes in draw("synergy", view).axes)


def test_synergy_says_what_a_design_leaves_undefined():
    view = fake_view("factor-v-leiden", "interaction")
    (panel,) = panels(view)
    said = {row.measure: row.words for row in panel.rows if row.measure}
    assert said["ic"] == "not estimable: not identified by design"
    assert said["reri_or"] == ""


def test_synergy_marks_extrapolation_and_names_backgrounds(three):
    every = panels(three)
    assert [panel.title for panel in every[:2]] == [
        "tacrolimus × cyclophosphamide, with no other study drug",
        "tacrolimus × cyclophosphamide, with mycophenolate mofetil",
    ]
    rors = [row for panel in every for row in panel.rows if row.measure == "ror"]
    assert len(rors) == 6
    for one, other in zip(rors[::2], rors[1::2], strict=True):
        assert one is not other
        assert one.marks == other.marks  # one for each pair, on every background
    figure = draw("synergy", three)
    assert any(line.get_fillstyle() == "left" for line in figure.axes[0].get_lines())
    assert "posterior, not identified" in texts(figure)
    assert any("†: not identified" in text for text in texts(figure))
    assert any(text.endswith(" †") for text in texts(figure.axes[0]))


def test_zones_cover_what_is_not_decided(isis2):
    (panel,) = panels(isis2)
    levels = []
    for probability in (0.974, 0.976):
        axes = mpl.figure.Figure().add_subplot()
        mark = dataclasses.replace(panel.marks[0], probability=probability)
        synergy_rows.draw_mark(axes, 0, mark, "black", "o")
        levels.append(axes.get_lines()[-1].get_zorder())
    assert levels[0] < synergy_rows.ZONES < levels[1]


def test_synergy_without_any_answer_is_a_list_of_reasons():
    figure = draw("synergy", fake_view("three", "saturated"))
    assert figure.axes == []
    (text,) = texts(figure)
    assert "not estimable: no patients in TAC+CYC+MMF" in text.replace("\n", " ")
    assert "TAC: tacrolimus" in text


def test_synergy_shows_what_a_page_can_hold(three):
    (one, *_) = panels(three)
    many = [synergy_rows.Panel(f"pair {i}", one.rows) for i in range(30)]
    assert synergy_rows.most_informative(many, 8) == many[:8]
    lines = synergy_rows.notes(three.study, many, many[:8])
    assert lines[1].startswith("22 more")


# --- ArviZ's pictures ----------------------------------------------------------------------------


def test_predictive_draws_the_counted_events(isis2):
    (axes,) = draw("predictive", isis2).axes
    assert [x for x, _ in markers(axes, "D")] == isis2.study.events.tolist()
    replicated = isis2.draws["posterior_predictive"]["events"]
    drawn = {tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 2}
    for ends in ([0.025, 0.975], [0.25, 0.75]):
        for wanted in replicated.quantile(ends, ("chain", "draw")).values.T:
            assert any(np.allclose(wanted, interval) for interval in drawn)


def test_thinning_keeps_every_divergent_draw(isis2, monkeypatch):
    monkeypatch.setattr(parameters, "DRAWS", 20)
    tree = isis2.draws.copy(deep=True)
    tree["sample_stats"]["diverging"][2, 33] = True
    view = view_of(tree, isis2.study, isis2.fit.model, isis2.summary)
    kept = parameters.thinned(view, parameters.sampled(view, 6))
    assert kept["posterior"].sizes["draw"] == 21
    assert int(kept["sample_stats"]["diverging"].sum()) == 1
    assert 33 in kept["posterior"].draw


@pytest.mark.parametrize("name", ["trace", "rank"])
def test_chains_are_explained(isis2, name):
    (legend,) = draw(name, isis2).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"chain {i}" for i in range(4)]
    assert len({(line.get_color(), line.get_linestyle()) for line in legend.get_lines()}) == 4


def test_pair_has_no_more_than_two_ticks_across(isis2):
    assert all(len(axes.get_xticks()) <= 2 for axes in draw("pair", isis2).axes)


@pytest.mark.parametrize("name", ["pair", "trace"])
def test_divergent_draws_are_marked(isis2, name):
    tree = isis2.draws.copy(deep=True)
    tree["sample_stats"]["diverging"][2, 33:36] = True
    figure = draw(name, view_of(tree, isis2.study, isis2.fit.model, isis2.summary))
    marked = [len(c.get_offsets()) for axes in figure.axes for c in axes.collections]
    assert 3 in marked


def test_of_many_parameters_the_worst_are_shown(three):
    data = parameters.sampled(three, 6)
    assert len(data) == 6
    assert "6 of 7 parameters: those with the largest R-hat" in texts(draw("pair", three))


# --- Words and axes ------------------------------------------------------------------------------


def test_names_give_way_to_ids_where_they_are_too_long():
    study = STUDIES["three"]
    assert labels.regimen_name(study, "none") == "none"
    assert labels.regimen_name(study, "TAC+CYC") == "tacrolimus + cyclophosphamide"
    assert labels.regimen_name(study, "TAC+CYC+MMF") == "TAC+CYC+MMF"
    assert labels.key(study, ["TAC+CYC+MMF"]).startswith("TAC: tacrolimus; CYC: ")
    assert labels.key(study, ["tacrolimus + cyclophosphamide"]) == ""


def test_an_id_that_is_a_word_of_a_name_is_explained():
    study = parse_study(THREE.replace('"tacrolimus"', '"drug TAC (new)"'), "three.toml")
    assert labels.key(study, ["TAC+CYC"]).startswith("TAC: drug TAC (new); CYC: ")
    assert labels.key(study, ["drug TAC\n(new) + cyclophosphamide"]) == ""


def test_parameters_are_called_by_what_they_are():
    study = STUDIES["isis2"]
    assert labels.parameter_name(study, "beta", "SK") == "streptokinase\nlog odds ratio β"
    assert labels.parameter_name(study, "unheard", "x") == "unheard x"
    assert labels.parameter_name(study, "unheard") == "unheard"


def test_a_dollar_in_a_name_is_a_dollar(tmp_path):
    study = parse_study(THREE.replace("tacrolimus", "$10 drug_1^2 $"), "three.toml")
    view = fake_view("three", "interaction")
    figure = draw("odds_ratios", view_of(view.draws, study, view.fit.model, view.summary))
    style.save(figure, tmp_path / "a.png")
    assert any("$10 drug_1^2 $" in text for text in texts(figure))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9453, "0.95"), (0.0123, "0.012"), (0.0, "0.00"), (13.34, "13.3"), (154.2, "154")],
)
def test_numbers_have_two_or_three_digits(value, text):
    assert style.number(value) == text


@pytest.mark.parametrize(
    ("lower", "upper", "ticks"),
    [
        (0.48, 1.2, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.2, 200, [0.3, 1, 3, 10, 30, 100]),
        (1e-4, 1e4, [1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000, 1e4]),
    ],
)
def test_log_ticks_are_few_and_round(lower, upper, ticks):
    assert style.log_ticks(lower, upper) == pytest.approx(ticks)


def test_legend_marks_differ_in_shape_too(isis2):
    looks = interval_rows.looks(odds_ratios.rows_to_draw(isis2))
    assert len({look["marker"] for look in looks.values()}) == len(looks) == 3
    legend = draw("odds_ratios", isis2).legends[0]
    assert len(legend.findobj(Line2D)) >= 3
