"""Figures of a study that consists of printed numbers, told by their rows and their artists."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.core.constants import SUMMARY_COLUMNS
from cotreat.estimands.estimand import risk_draws_of
from cotreat.evidence import reported
from cotreat.evidence.resolve import resolve
from cotreat.models.registry import MODELS
from cotreat.plots import (
    FIT,
    STUDY,
    arm_sizes,
    figures,
    interpretations,
    interval_rows,
    labels,
    odds_ratios,
    parameters,
    predictive,
    reported_labels,
    risks,
    style,
    synergy_rows,
)
from cotreat.plots import draw as draw_all
from cotreat.plots import reported as reported_figure
from cotreat.plots.records import Interpretations
from cotreat.results import store
from cotreat.results.summary import POSTERIOR, PRIOR, REPORTED, summarise
from cotreat.study_file.reader import parse_study
from tests.codes import by_code, codes, fields
from tests.kept import four_set_products
from tests.shared import view_of
from tests.test_plots import OF_PARTS, OF_PATIENTS

SUN = load_study("sun2024")
DEFAULT_INTERPRETATION = "four-set-products"
RATIOS = ["tac", "tac-cyc-vs-cyc", "tac-mmf-vs-cyc", "tac-cyc-vs-mmf", "tac-mmf-vs-mmf"]
FIGURES = figures(FIT)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="session")
def printed_fit():
    """The flagship under an interpretation with odds ratios and p-values, by the draws that are kept."""
    study, model = SUN.resolve(DEFAULT_INTERPRETATION), MODELS["exchangeable"]
    tree = store.read_draws(four_set_products.PATH)
    summary = summarise(
        study,
        model,
        resolve(study),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=risk_draws_of(tree["posterior"].to_dataset()),
        likelihood=None,
        labels={"model": model.name, "priors": "weak", "interpretation": DEFAULT_INTERPRETATION},
    )
    return view_of(tree, study, model, summary)


@pytest.fixture(scope="session")
def smc_fit(printed_fit):
    """The same as sequential Monte Carlo returns it: particles, without divergences and energy."""
    groups = {name: group.to_dataset() for name, group in printed_fit.draws.children.items()}
    groups["sample_stats"] = xr.Dataset(
        {"log_evidence": ("chain", np.full(2, -12.0)), "steps": 40}, {"chain": range(2)}
    )
    tree = xr.DataTree.from_dict(groups)
    return view_of(tree, printed_fit.study, printed_fit.fit.model, printed_fit.summary)


def draw(name, view):
    with style.off_screen():
        return FIGURES[name].drawing(view)


def markers(axes, *shapes):
    """Return the points drawn with one of the marker shapes."""
    lines = [line for line in axes.get_lines() if line.get_marker() in shapes]
    return [(x, y) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def ends(axes):
    return {tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 2}


def of(view, estimator, *estimands):
    table = view.summary[view.summary.estimator == estimator]
    return table.pipe(by_code).loc[list(estimands)]


# --- All of them ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "left_out"),
    [("printed_fit", set()), ("smc_fit", set())],
)
def test_every_figure_is_written(tmp_path, request, sampler, left_out):
    drawn = draw_all(FIT, request.getfixturevalue(sampler), tmp_path)
    written = [picture.name for picture in drawn]
    assert written == [name for name in FIGURES if name not in left_out | OF_PATIENTS | OF_PARTS]
    for name in written:
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(PNG)
        assert len(content) > 5000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n for n in FIGURES if n not in {"trace", "rank", "pair", *OF_PATIENTS, *OF_PARTS}],
)
def test_no_text_is_cut_or_runs_into_another(printed_fit, name):
    figure = draw(name, printed_fit)
    style.write_below(figure, printed_fit.footer)
    figure.draw_without_rendering()
    legends = [legend.get_window_extent() for legend in figure.legends]
    for axes in figure.axes:
        labels = [axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
        boxes = [text.get_window_extent() for text in labels if text.get_text()]
        assert not any(box.overlaps(legend) for box in boxes for legend in legends)
        low, high = sorted(axes.get_xlim())
        shown = [t for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
        ticks = sorted((t.get_window_extent() for t in shown), key=lambda box: box.x0)
        assert all(one.x1 < two.x0 for one, two in pairwise(ticks))


@pytest.mark.slow
def test_the_line_below_a_figure_names_the_reading(printed_fit):
    figure = draw("arm_sizes", printed_fit)
    style.write_below(figure, printed_fit.footer)
    words_below = (
        "study sun2024 · model exchangeable · priors weak · interpretation four-set-products"
    )
    assert figure.texts[-1].get_text() == words_below


# --- Claims --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_claims_stand_beside_the_posterior_of_the_summary(printed_fit):
    labels = [
        "odds_ratio[TAC vs not TAC]",
        "odds_ratio[TAC+CYC vs CYC]",
        "odds_ratio[TAC+MMF vs CYC]",
        "odds_ratio[TAC+CYC vs MMF]",
        "odds_ratio[TAC+MMF vs MMF]",
        "product[TAC:CYC]",
        "product[TAC:MMF]",
    ]
    (axes,) = draw("reported", printed_fit).axes
    columns = ["estimate", "lower", "upper"]
    posterior = of(printed_fit, POSTERIOR, *labels)[columns]
    seen = of(printed_fit, REPORTED, *labels[:5])[columns]
    np.testing.assert_allclose([x for x, _ in markers(axes, "o")], posterior.estimate)
    np.testing.assert_array_equal([x for x, _ in markers(axes, "D")], seen.estimate)
    drawn = np.array(sorted(ends(axes)))
    for wanted in (*posterior.to_numpy(), *seen.to_numpy()):
        assert np.isclose(drawn, wanted[1:], rtol=1e-9).all(1).any()


@pytest.mark.slow
def test_claims_are_written_as_printed(printed_fit):
    figure = draw("reported", printed_fit)
    written = texts(figure)
    assert "2.82 (1.89 to 4.22)" in written
    assert "p = 0.043 (> 1)" in written
    assert "TAC+MMF vs MMF †" in written
    below = " ".join(written).replace("\n", " ")
    assert "TAC+MMF vs MMF follows from TAC+CYC vs CYC, TAC+MMF vs CYC, TAC+CYC vs MMF" in below
    assert "not used under this interpretation: dose, dose-trend, duration, duration-trend" in below


def test_a_crude_number_among_adjusted_ones_is_called_so():
    numbers = reported.estimates_of(_sun_with("adjusted = false", reported_estimate="tac"))
    names = reported_labels.row_names(numbers)
    assert names["tac"] == "TAC vs not TAC, crude"
    assert names["tac-cyc-vs-cyc"] == "TAC+CYC vs CYC"
    assert names["events[all]"] == "all patients"


def test_two_numbers_of_one_contrast_are_told_apart_by_their_ids():
    text = _text().split("# --- Interpretations")[0]
    again = text[text.index("[[reported]]") :].split("[[reported]]")[1].replace('"tac"', '"again"')
    numbers = reported.estimates_of(parse_study(f"{text}\n[[reported]]{again}", "twice.toml"))
    names = reported_labels.row_names(numbers)
    assert names["again"] == "TAC vs not TAC (again)"
    assert names["tac"] == "TAC vs not TAC (tac) †"


def test_products_are_named_by_their_treatments():
    names = reported_labels.row_names(
        reported.estimates_of(SUN.resolve("mutually-adjusted-products"))
    )
    assert names["p-tac-cyc"] == "product TAC × CYC given TAC × MMF"


def _text():
    from importlib.resources import files

    return files("cotreat.studies").joinpath("sun2024.toml").read_text(encoding="utf-8")


def _sun_with(line, reported_estimate):
    before, after = _text().split("# --- Interpretations")[0].split(f'id = "{reported_estimate}"\n')
    return parse_study(
        f'{before}id = "{reported_estimate}"\n{after.replace("adjusted = true", line, 1)}', "x"
    )


# --- Claims in their predictive distribution -------------------------------------------------------


@pytest.mark.slow
def test_diamonds_stand_at_the_printed_numbers(printed_fit):
    figure = draw("predictive", printed_fit)
    ratios, errors, deviates, events = figure.axes
    data = reported.estimates_of(printed_fit.study)
    at = [[x for x, _ in markers(axes, "D")] for axes in figure.axes]
    np.testing.assert_allclose(np.log(at[0]), data.values[:5])
    np.testing.assert_allclose(np.log(at[1]), printed_fit.draws["observed_data"]["widths"])
    np.testing.assert_allclose(at[2], data.values[5:7])
    assert at[3] == [221.0]
    again = printed_fit.draws["posterior_predictive"]
    for axes, draws in (
        (ratios, np.exp(again["reported"].sel(row=RATIOS))),
        (errors, np.exp(again["widths"])),
        (deviates, again["reported"].sel(row=["p-tac-cyc", "p-tac-mmf"])),
        (events, again["reported"].sel(row=["events[all]"])),
    ):
        drawn = np.array(sorted(ends(axes)))
        for low, high in ((0.025, 0.975), (0.25, 0.75)):
            for wanted in draws.quantile([low, high], ("chain", "draw")).values.T:
                assert np.isclose(drawn, wanted, rtol=0.01).all(1).any()
    assert "one diamond in twenty is expected" in " ".join(texts(figure)).replace("\n", " ")


@pytest.mark.parametrize(
    ("value", "sign", "at", "towards"),
    [
        ("0.05", 'sign = "-"', (-1.96,), 0),
        ('"<0.05"', 'sign = "+"', (1.96,), 1),
        ('"<0.05"', 'sign = "-"', (-1.96,), -1),
        ("0.05", "", (-1.96, 1.96), 0),
    ],
)
def test_a_p_value_stands_on_the_side_that_is_known(value, sign, at, towards):
    text = _text().replace('value = 0.043\nsign = "+"', f"value = {value}\n{sign}")
    study = parse_study(text, "x.toml").resolve(DEFAULT_INTERPRETATION)
    (reported_estimate,) = [
        reported_estimate
        for reported_estimate in study.reported_estimates
        if reported_estimate.id == "p-tac-cyc"
    ]
    assert predictive._deviate(reported_estimate) == pytest.approx(at, abs=1e-3)
    numbers = reported.estimates_of(study)
    replicated = {row: [0.0, 1.0] for row in numbers.names}
    draws = xr.Dataset(
        {"reported": (("row", "draw"), list(replicated.values()))}, {"row": list(replicated)}
    )
    tree = xr.DataTree.from_dict({"posterior_predictive": draws})
    table = pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    view = view_of(tree, study, MODELS["exchangeable"], table)
    lines = predictive.lines_of_reported(view, numbers)
    rows = {row.name: row for (panel, *_) in lines for row in panel.rows}
    (row,) = [row for name, row in rows.items() if name.startswith("product TAC × CYC")]
    assert row.towards == towards


# --- Sizes ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sizes_draw_prior_and_posterior_of_the_summary(printed_fit):
    (axes,) = draw("arm_sizes", printed_fit).axes
    labels = [f"size[{arm}]" for arm in printed_fit.study.present]
    posterior, prior = of(printed_fit, POSTERIOR, *labels), of(printed_fit, PRIOR, *labels)
    np.testing.assert_array_equal([x for x, _ in markers(axes, "o")], posterior.estimate)
    for interval in posterior[["lower", "upper"]].to_numpy():
        assert tuple(interval) in ends(axes)
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    np.testing.assert_allclose(bands, prior[["lower", "upper"]])
    below = " ".join(texts(draw("arm_sizes", printed_fit)))
    assert "the size of any arm is not reported" in below
    assert "reported: all patients: 793, 221 with the event; TAC: 244; not TAC: 549" in below


def test_sizes_that_are_known_are_said_and_not_drawn_as_guesses():
    arm = '[[arms]]\nregimen = "{}"\nn = 100\nevents = 20\n'
    arms = arm.format("CYC") + arm.format("MMF")  # which leaves one arm of those without TAC
    study = parse_study(_text().replace("[[reported]]", f"{arms}\n[[reported]]", 1), "x.toml")
    table = pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    view = view_of(xr.DataTree(), study, MODELS["exchangeable"], table)
    rows = arm_sizes.rows_to_draw(view, view.reported)
    lines = {arm: row.lines for arm, row in zip(study.present, rows, strict=True) if row.lines}
    assert {arm: (line.estimate, line.kind) for arm, (line,) in lines.items()} == {
        "CYC": (100, "counted"),
        "MMF": (100, "counted"),
        "CYC+MMF": (349, "fixed by the totals"),
    }
    assert arm_sizes.notes(view.reported)[0].startswith("the size of these arms is not reported")


# --- Comparison and risks --------------------------------------------------------------------------


@pytest.mark.slow
def test_comparison_is_with_a_printed_reference(printed_fit):
    assert odds_ratios.reference(printed_fit) == "CYC"
    rows = {row.name: row for row in odds_ratios.rows_to_draw(printed_fit)}
    printed_row = rows["tacrolimus + cyclophosphamide"]
    kinds = [line.kind.partition(",")[0] for line in printed_row.lines]
    assert kinds == [POSTERIOR, interval_rows.REPORTED]
    assert printed_row.lines[1].estimate == 2.15
    assert not printed_row.lines[1].is_unidentified
    effect = of(printed_fit, POSTERIOR, "effect_ratio[TAC: CYC vs MMF]").iloc[0]
    assert rows["TAC: CYC vs MMF"].lines[0].estimate == effect.estimate


@pytest.mark.slow
def test_an_odds_ratio_is_turned_round_where_the_summary_has_it_so(printed_fit):
    rows = {row.name: row for row in odds_ratios.rows_to_draw(printed_fit)}
    (line,) = rows["tacrolimus"].lines
    summary = of(printed_fit, POSTERIOR, "odds_ratio[CYC vs TAC]").iloc[0]
    assert line.estimate == pytest.approx(1 / summary.estimate)
    assert (line.lower, line.upper) == pytest.approx((1 / summary.upper, 1 / summary.lower))


@pytest.mark.slow
def test_comparison_sets_apart_what_is_unidentified(printed_fit):
    rows = odds_ratios.rows_to_draw(printed_fit)
    for row in rows:
        posterior = [line for line in row.lines if line.is_posterior]
        assert (row.prior is not None) == any(line.is_unidentified for line in posterior)
    bands = [row.prior for row in rows if row.prior is not None]
    assert bands
    (axes,) = draw("odds_ratios", printed_fit).axes
    drawn = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    np.testing.assert_allclose(drawn, [(band.lower, band.upper) for band in bands])


def test_printed_numbers_are_filled_diamonds_and_thin():
    lines = (
        interval_rows.Line("posterior, 95%", 2.0, 1.0, 4.0, "", True),
        interval_rows.Line("reported, 95% Wald", 3.0, 1.5, 6.0),
    )
    rows = [interval_rows.Row("a", lines)]
    axes = mpl.figure.Figure().add_subplot()
    interval_rows.draw_rows(axes, rows, look=interval_rows.looks(rows))
    faces = {line.get_marker(): line.get_markerfacecolor() for line in axes.get_lines()}
    assert faces["o"] == "white"
    assert faces["D"] == style.VERMILION
    widths = [line.get_linewidth() for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert widths == [2.0, 1.0]


@pytest.mark.slow
def test_risks_say_that_nobody_counted(printed_fit):
    figure = draw("risks", printed_fit)
    wide, close = figure.axes
    assert texts(close).count("not reported") == 7
    assert texts(close).count("no patients") == 1  # with none of the drugs nobody is in the cohort
    assert close.get_xlabel().startswith("implied risk of complete renal response")
    labels = [f"risk[{arm}]" for arm in printed_fit.study.regimens]
    posterior, prior = of(printed_fit, POSTERIOR, *labels), of(printed_fit, PRIOR, *labels)
    np.testing.assert_array_equal([x for x, _ in markers(close, "o")], posterior.estimate)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in wide.patches]
    np.testing.assert_allclose(bars, prior[["lower", "upper"]], atol=1e-6)
    assert all(len(row.lines) == 1 for row in risks.rows_to_draw(printed_fit))


# --- Parameters ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_parameters_of_the_evidence_are_among_those_shown(printed_fit):
    names = parameters.variables(printed_fit)
    assert names[:5] == ["alpha", "beta", "mu", "tau", "z"]
    assert names[5:] == ["sigma", "loss", "share_1", "share_2"]
    shown = list(parameters.scalars(printed_fit, names))
    assert "share_1[TAC+MMF]" in shown
    assert "share_2[CYC+MMF]" in shown


def test_parameters_of_the_evidence_have_names():
    called = labels.parameter_name
    assert called(SUN, "sigma", between=": ") == "latent prognostic score: SD σ, log-odds"
    assert called(SUN, "loss", between=": ") == "covariate adjustment: precision loss"
    assert called(SUN, "share_2", "CYC", between=": ") == "cyclophosphamide: share of its total"
    assert called(SUN, "tail_p-tac-cyc", between=": ") == "p-tac-cyc: position within its tail"
    assert called(SUN, "share", "2", between=": ") == "direction 2: coordinate of the arm sizes"


# --- Readings ------------------------------------------------------------------------------------


def summary_of(interpretation, shift=0.0):
    """Make a summary's rows that the figures of readings read, with known numbers."""
    rows = []

    def add(estimator, estimand, **own):
        row = dict.fromkeys(SUMMARY_COLUMNS, np.nan)
        names = {
            "model": "exchangeable",
            "priors": "weak",
            "interpretation": interpretation,
            "study": "sun2024",
        }
        row |= {**names, "interval": "95%", "status": "not identified", "reason": ""}
        row |= {**fields(estimand, own.pop("co_treatment", "")), "judged_on": "event"}
        rows.append({**row, "estimator": estimator, **own})

    for at, (pair, sides) in enumerate(zip(SUN.pair_labels, SUN.pairs, strict=True)):
        chances = {"probability": 0.6 + 0.1 * at + shift, "prior_probability": 0.5 + shift / 10}
        for background in map(SUN.label, SUN.co_treatments(sides)):
            for name in ("ic", "reri_or", "rrr", "bliss", "hsa"):
                add(POSTERIOR, f"{name}[{pair}]", co_treatment=background, **chances)
        add(POSTERIOR, f"ror[{pair}]", co_treatment="any", **chances)
    for at, arm in enumerate(SUN.present):
        own = {"unit": "patients", "judged_on": ""}
        middle = 50.0 + 10 * at + 100 * shift
        mine = {"estimate": middle, "lower": middle - 20, "upper": middle + 20}
        add(POSTERIOR, f"size[{arm}]", **own, **mine)
        add(PRIOR, f"size[{arm}]", **own, estimate=100.0, lower=5.0, upper=300.0)
    return pd.DataFrame(rows)


@pytest.fixture
def summaries():
    ids = [interpretation.id for interpretation in SUN.interpretations]
    return {name: summary_of(name, 0.05 * at) for at, name in enumerate(ids)}


def test_readings_are_written_as_a_figure(tmp_path, summaries):
    drawn = draw_all(STUDY, Interpretations(SUN, summaries), tmp_path / "new")
    assert [picture.name for picture in drawn] == list(figures(STUDY))
    paths = [tmp_path / "new" / picture.file for picture in drawn]
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_the_line_below_the_figures_of_a_study_counts_interpretations(summaries):
    kept = dict(list(summaries.items())[:3])
    footer = "study sun2024 · model exchangeable · priors weak · 3 of 4 interpretations"
    assert Interpretations(SUN, kept).footer == footer


def test_readings_draw_the_probabilities_of_the_summaries(summaries):
    figure = interpretations.interpretations(Interpretations(SUN, summaries))
    look = interpretations.looks(SUN)
    assert len(set(look.values())) == len({color for color, _ in look.values()}) == 4
    assert len({marker for _, marker in look.values()}) == 4
    every = synergy_rows.panels(SUN, summaries, one_per_scale=True)
    assert len(every) == 6  # two co-treatments for each pair
    for axes, panel, pair in zip(figure.axes, every, np.repeat(SUN.pair_labels, 2), strict=True):
        labels = [row.name for row in panel.rows if row.marks]
        assert len(labels) == 5
        assert "multiplicative odds (ror)" in labels
        for name, (color, marker) in look.items():
            table = summaries[name]
            own = table[codes(table) == f"ic[{pair}]"].iloc[0]
            mine = [line for line in axes.get_lines() if line.get_marker() == marker]
            assert {line.get_color() for line in mine} == {color}
            filled = [x.get_xdata()[0] for x in mine if x.get_fillstyle() == "left"]
            opened = [x.get_xdata()[0] for x in mine if x.get_fillstyle() == "full"]
            assert set(filled) == {own.probability}
            assert set(opened) == {own.prior_probability}
            assert len(filled) == len(opened) == 5


def test_each_panel_names_its_own_backgrounds(summaries):
    figure = interpretations.interpretations(Interpretations(SUN, summaries))
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes]
    assert titles[:3] == [
        "tacrolimus × cyclophosphamide, with no other study drug",
        "tacrolimus × cyclophosphamide, with mycophenolate mofetil",
        "tacrolimus × mycophenolate mofetil, with no other study drug",
    ]


def test_a_measure_without_probability_is_words(summaries):
    for table in summaries.values():
        silent = codes(table) == "ic[TAC:CYC]"
        table.loc[silent, ["probability", "prior_probability"]] = np.nan
        table.loc[silent, "status"] = "implied by the model"
    figure = interpretations.interpretations(Interpretations(SUN, summaries))
    assert [texts(axes).count("implied by the model") for axes in figure.axes] == [1, 1, 0, 0, 0, 0]
    for table in summaries.values():
        table[["probability", "prior_probability"]] = np.nan
    assert interpretations.interpretations(Interpretations(SUN, summaries)) is None


def test_models_with_levels_have_no_figure_of_interpretations(summaries):
    dose = {
        name: table.assign(pair=table.pair.str.replace("TAC:", "TAC.low:"))
        for name, table in summaries.items()
    }
    assert interpretations.interpretations(Interpretations(SUN, dose)) is None


def test_a_reading_keeps_its_look_where_another_is_missing(summaries):
    kept = {name: table for name, table in summaries.items() if name != SUN.interpretations[1].id}
    notes = {SUN.interpretations[3].id: "incompatible"}
    record = Interpretations(SUN, kept, notes)
    figure = interpretations.interpretations(record)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:3] == [
        "odds-ratios",
        "mutually-adjusted-products",
        "abstract-wording: incompatible",
    ]
    colors = [line.get_color() for line in legend.get_lines()]
    every = [color for color, _ in interpretations.looks(SUN).values()]
    assert colors[:3] == [every[0], every[2], every[3]]


# --- Where nothing is printed ------------------------------------------------------------------------


def test_a_counted_study_has_no_figure_of_printed_numbers():
    study = load_study("isis2")
    table = pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    view = view_of(xr.DataTree(), study, MODELS["interaction"], table)
    assert reported_figure.reported(view) is None
    assert arm_sizes.arm_sizes(view) is None
    record = Interpretations(study, {"default": table})
    assert interpretations.interpretations(record) is None
