"""The page of a study: what stands in it, in what order, and how Chromium shows it."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from html import unescape
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from cotreat import load_study, write_report
from cotreat.core.constants import ANY, IDENTIFIED
from cotreat.core.figures import Picture
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.reported_predictive import Prediction
from cotreat.plots.style import save
from cotreat.report import ReportError, lines
from cotreat.report.folder import GRID, read_results
from cotreat.report.four_cells import FOLDER as FOUR_CELLS
from cotreat.report.glossary import TERMS, mark
from cotreat.report.lines import CANNOT, NEEDED, REPORTS, SHOWS, verdict
from cotreat.report.methods import diagnostics, methods
from cotreat.report.tables import table, typeset
from cotreat.results import store, supplementary
from cotreat.results.headline import PROBABILITY
from cotreat.results.supplementary import Analysis, AnalysisError, Section, write_analysis
from cotreat.workflow.reanalyse import reanalyse
from tests.codes import fields

HERE = Path(__file__).parent
FIT = "interaction--weak--default"
ORDER = [
    *("answer", "evidence", "estimates", "risks", "synergy", "depends", "diagnostics"),
    *("four-cells", "priors", "methods", "rerun", "words"),
]
FINDING = "The data do not tell the models <apart>."


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A quick fit with its page."""
    out = tmp_path_factory.mktemp("results")
    result = reanalyse(load_study("isis2"), "interaction", engine="laplace", draws=1000, out=out)
    assert result.report == out / "isis2" / "report.html"
    excluded = (
        "Practically excluded on the scales additive, multiplicative risks and Bliss independence;"
    )
    assert verdict(result.conclusion).startswith(excluded)
    return out / "isis2"


@pytest.fixture
def folder(made, tmp_path):
    """A copy of its folder, to be changed."""
    return shutil.copytree(made, tmp_path / "isis2")


def page_of(folder):
    return write_report(folder).page.read_text(encoding="utf-8")


def digest(folder):
    return store.read_info(folder / FIT)["study_digest"]


def add_part(
    folder, name=supplementary.COMPARISON, title="Model comparison", tables=None, **changed
):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 2))
    figure.subplots().plot([0, 1])
    data = pd.DataFrame({"model": ["additive", "interaction"], "elpd": [-4.5, None]})
    section = Section(
        "One cell left out",
        ("Pareto k below.",),
        "models.csv",
        Picture("out", "Dots.", "A dot plot."),
    )
    about = {
        "study_digest": digest(folder),
        "seed": 7,
        "findings": (FINDING,),
        "failed": ("saturated: not refitted",),
        "settings": {"unit": "cell"},
        "versions": {"arviz": "1.3.0"},
        "sections": (section,),
    }
    part = Analysis(title=title, **{**about, **changed})

    def draw(target, failed):
        save(figure, target / "out.png", failed)
        return [section.figure]

    write_analysis(folder / name, part, {"models.csv": data, **(tables or {})}, draw)


def add_four_cells(folder):
    cells = pd.DataFrame(
        {
            "stratum": ["without aspirin", "with aspirin"],
            "without streptokinase": ["1 (reference)", "0.79"],
        }
    )
    section = Section("streptokinase × aspirin", ("Odds ratios.",), "four_cells_1.csv")
    analysis = Analysis("Four-cell tables", digest(folder), 1, (), (section,))
    write_analysis(folder / FOUR_CELLS, analysis, {"four_cells_1.csv": cells})


def csv_of(page, file):
    (text,) = re.findall(
        rf'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="{file}"', page
    )
    return base64.b64decode(text).decode("utf-8")


# --- What stands in the page -----------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_concludes_first_and_proves_afterwards(made):
    page = (made / "report.html").read_text()
    assert re.findall(r'<h2 id="([\w-]+)"', page) == ORDER
    assert re.findall(r'<li><a href="#([\w-]+)"', page) == ORDER
    assert page.count("<h1>") == 1
    box = page[page.index('<p class="gist">') : page.index('id="evidence"')]
    assert "Practically excluded" in box
    assert re.findall(r"<strong>(.*?):</strong>", box) == [REPORTS, SHOWS, CANNOT, NEEDED]
    text = re.sub("<[^>]+>", "", box)
    assert "none 568 of 4300, SK 448 of 4300, ASA 461 of 4295, SK+ASA 343 of 4292" in text
    assert "SK+ASA vs SK 0.74" in text
    assert "but that is not evidence of synergy" in text


BANNED = (
    *(
        "printed number",
        "in print",
        "nobody printed",
        "claims",
        "extrapolated",
        "sense of the word",
    ),
    *("relatives", "hinges", "hangs on", "learnt", "decided", "undecided", "words explained"),
    *("leading answer", "stands beside", "how to do it again", "borderline", "told by", "is told"),
)


def test_the_words_of_the_report_are_those_of_the_field():
    """Its own words, in templates and strings; those of tables and figures are their makers'."""
    place = Path(lines.__file__).parent
    files = [*place.glob("*.py"), *place.glob("*.jinja")]
    assert len(files) > 10
    for path in files:
        text = path.read_text(encoding="utf-8")
        # Names in code: a package, a file that is kept, a status of the summary.
        text = re.sub(
            r"evidence[./]claims|\b[A-Z_]+\b|study\.claims|claims_\w+|\"claims\"|\.claims", "", text
        )
        text = re.sub(r"from cotreat.*", "", text)
        for phrase in BANNED:
            assert not re.search(rf"\b{phrase}\b", text, re.IGNORECASE), (path.name, phrase)


@pytest.mark.slow
def test_the_page_is_one_file_with_every_figure_of_the_fit(made):
    page = (made / "report.html").read_text()
    drawn = sorted(made.glob("*/*.png"))
    images = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page)
    assert len(images) == len(drawn) > 5
    assert all(source.startswith("data:image/webp;base64,") for source, _ in images)
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]+)', page) == [
        f"{FIT}/{file}" for file in ("summary.csv", "info.json")
    ]
    assert not re.findall(r"url\(|@import|<script", page)
    assert len(page) < 1.5 * 2**20


@pytest.mark.slow
def test_every_table_is_downloaded_as_it_is_kept(made):
    page = (made / "report.html").read_text()
    assert page.count("<table") == page.count("Download CSV</a>") >= 9
    for name, file in (("checks", "checks.csv"), ("counts", "cells.csv")):
        assert csv_of(page, f"isis2-{name}.csv") == (made / FIT / file).read_text()
    risks = csv_of(page, "isis2-risks.csv")
    assert risks.splitlines()[1].startswith('"risk, none",posterior,identified,0.13')


@pytest.mark.slow
def test_the_largest_shift_by_a_prior_stands_beside_the_main_estimates(folder):
    text = csv_of(page_of(folder), "isis2-headline.csv")
    shown = pd.read_csv(StringIO(text)).set_index(["estimand", "judged on"])
    shifts = pd.read_csv(next(folder.glob("*--*/prior_shifts.csv")))
    at = shown.index.get_indexer(shifts.set_index(["label", "judged_on"]).index)
    assert (at >= 0).sum() > 4
    for place, row in zip(at, shifts.itertuples(), strict=True):
        if place >= 0:
            by = {
                "baseline": row.baseline,
                "effects": row.effects,
                "interactions": row.interactions,
            }
            largest = max(by, key=lambda name: abs(by[name]))
            said = shown["largest shift by a prior (posterior SDs)"].iloc[place]
            assert said == f"{by[largest]:+.2f} ({largest})"


@pytest.mark.slow
def test_what_was_not_made_is_said(folder):
    shutil.rmtree(folder / FOUR_CELLS)
    page = page_of(folder)
    assert page.count("cotreat reanalyse isis2 --depth standard</code> makes it") == 3


@pytest.mark.slow
def test_analyses_and_four_cells_are_arranged_and_escaped(folder):
    add_part(folder)
    add_four_cells(folder)
    page = page_of(folder)
    depends = page[page.index('id="depends"') : page.index('id="diagnostics"')]
    assert unescape(depends).index("Model comparison") < depends.index("Sensitivity analyses")
    assert FINDING not in page
    assert FINDING in unescape(depends)
    assert "saturated: not refitted." in depends
    assert 'alt="A dot plot."' in depends
    rerun = re.sub("<[^>]+>", "", page[page.index('id="rerun"') :])
    assert "Model comparison: seed 7, made 20" in rerun
    assert "unit cell;\narviz 1.3.0." in rerun
    saved = (folder / "comparison" / "models.csv").read_text()
    assert csv_of(page, "isis2-comparison-models.csv") == saved
    cells = page[page.index('id="four-cells"') : page.index('id="priors"')]
    assert "streptokinase × aspirin" in cells
    assert '<th scope="col">without streptokinase</th>' in cells
    assert '<th scope="row">with aspirin</th><td>0.79</td>' in cells


@pytest.mark.slow
def test_what_is_of_other_data_is_left_out_and_named(folder):
    add_part(folder, study_digest="other")
    add_four_cells(folder)
    index = folder / FOUR_CELLS / "about.json"
    index.write_text(index.read_text().replace(digest(folder), "other"))
    page = page_of(folder)
    assert FINDING not in unescape(page)
    assert "run them again:\ncomparison, four_cells." in page


@pytest.mark.slow
def test_the_multiverse_is_part_of_the_sensitivity(folder):
    lead = store.read_summary(folder / FIT / "summary.csv")
    lead = lead[(lead.estimator == "posterior") & lead.probability.notna()]
    rows = lead.rename(columns={"interpretation": "interpretation"}).assign(
        priors="bold",
        engine="laplace",
        pareto_k=0.2,
        verdict="good",
        log_evidence=-9.0,
        mc_error=0.001,
    )
    rows["probability"] = 0.99
    bad = rows.head(1).assign(priors="odd", verdict=supplementary.UNRELIABLE, probability=None)
    both = pd.concat([rows, bad])[list(supplementary.MULTIVERSE_COLUMNS)]
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", {supplementary.MULTIVERSE: both})
    report = write_report(folder)
    assert 'href="sensitivity/multiverse.csv"' in report.page.read_text()
    counts = [(row.alternatives, dict(row.counts)) for row in report.conclusion.sensitivity]
    assert counts == [(1, {"supported, for synergy": 1})] * 5
    assert {row.differing for row in report.conclusion.sensitivity} == {
        (("default", "interaction", "bold"),)
    }
    page = report.page.read_text()
    box = page[page.index('id="answer"') : page.index('id="evidence"')]
    assert box.count("<td>priors bold</td>") == 5
    assert "Left out, because diagnostics failed: 1 other fit." in unescape(box)


def bold_multiverse(folder):
    """Make a multiverse in which bolder priors are conclusive where the primary analysis is not."""
    lead = store.read_summary(folder / FIT / "summary.csv")
    lead = lead[(lead.estimator == "posterior") & lead.probability.notna()]
    rows = lead.rename(columns={"interpretation": "interpretation"})
    rows = rows.assign(priors="bold", pareto_k=0.2, verdict="good", log_evidence=-9.0)
    return rows.assign(probability=0.99).reindex(columns=list(supplementary.MULTIVERSE_COLUMNS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"model": "saturated"}, "the model saturated"),
        (
            {"model": "interaction", "priors": "sceptical", "interpretation": "strict"},
            "the interpretation strict and the priors sceptical",
        ),
        ({"model": "interaction", "priors": "weak", "interpretation": "default"}, ""),
    ],
)
def test_a_part_of_another_fit_is_called_that_and_takes_no_part_in_the_conclusion(
    folder, settings, other
):
    add_part(
        folder,
        *(
            supplementary.SENSITIVITY,
            "Sensitivity",
            {supplementary.MULTIVERSE: bold_multiverse(folder)},
        ),
        settings=settings,
    )
    report = write_report(folder)
    caution = f"Made with {other}, not with the primary analysis:"
    assert (caution in report.page.read_text()) is bool(other)
    assert any(row.differs for row in report.conclusion.sensitivity) is not bool(other)


@pytest.mark.slow
def test_each_belief_of_the_grid_counts_once(folder):
    grid = pd.DataFrame(
        {
            "effects": ["weak (default)", "pessimistic-moderate", "neutral-weak", "neutral-strong"],
            "interactions": ["weak (default)", *["weak (default)"] * 3],
            "verdict": "good",
            **fields("ror[SK:ASA]", ANY),
            "status": IDENTIFIED,
            "reason": "",
            "probability": [0.7, 0.7, 0.7, 0.99],
        }
    )
    own = bold_multiverse(folder).assign(priors="pessimistic")  # the grid's pessimistic-moderate
    tables = {supplementary.MULTIVERSE: own, GRID: grid}
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", tables)
    found = write_report(folder).conclusion
    counted = {row.assessment.scale: dict(row.counts) for row in found.sensitivity}
    assert counted.pop("multiplicative odds") == {"supported, for synergy": 2, "inconclusive": 1}
    assert list(counted.values()) == [{"supported, for synergy": 1}] * 4


@pytest.mark.slow
def test_the_commands_name_the_file_that_they_need(folder):
    assert "It needs the study file" not in page_of(folder)
    info = store.read_info(folder / FIT)
    store.write_info({**info, "file": "my studies/isis2.toml"}, folder / FIT / store.INFO)
    page = unescape(page_of(folder))
    assert "cotreat reanalyse 'my studies/isis2.toml' --model interaction" in page
    assert page.count("cotreat reanalyse 'my studies/isis2.toml' --depth standard") == 3
    assert "It needs the study file of isis2, read from my studies/isis2.toml; its digest" in page
    store.write_info({**info, "study": "mine"}, folder / FIT / store.INFO)
    page = page_of(folder)
    assert "cotreat reanalyse STUDY.toml --model interaction" in page
    assert "It needs the study file of mine, whose path is not known" in page


@pytest.mark.slow
def test_caveats_of_all_fits_are_shown_once_and_what_printing_leaves_out_is_named(folder):
    other = shutil.copytree(folder / FIT, folder / "interaction--sceptical--default")
    info = store.read_info(other)
    own = {"subject": "own", "severity": "note", "text": "Only of this fit."}
    store.write_info(
        {**info, "priors": "sceptical", "caveats": [*info["caveats"], own]}, other / store.INFO
    )
    long = pd.DataFrame({"n": range(30)})
    add_part(folder, tables={"models.csv": long}, settings={"models": ["a", "b"], "not_fitted": []})
    page = page_of(folder)
    text = re.sub("<[^>]+>", "", unescape(page))
    assert text.count("Own: Only of this fit.") == 1
    assert len(info["caveats"]) == 2
    for caveat in info["caveats"]:
        assert text.count(typeset(caveat["text"])) == 1
    assert "models a, b" in text
    assert "[" not in text[text.index("Model comparison: seed 7") :].partition("\n")[0]
    left_out = re.findall(r'<p class="on-paper soft">(.*?)</p>', page)
    assert "Printing leaves out its 30 rows" in left_out[-2]
    assert "Printing leaves out the audit" in left_out[0]
    assert page.count('<details class="long">') + page.count('<details class="box long">') == (
        len(left_out)
    )


@pytest.mark.slow
def test_failed_diagnostics_stand_first_and_leave_no_conclusion(folder):
    info = store.read_info(folder / FIT)
    info["failed_checks"] = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more"]
    store.write_info(info, folder / FIT / store.INFO)
    report = write_report(folder)
    page = report.page.read_text()
    assert verdict(report.conclusion) == "Not assessed: diagnostics failed"
    assert report.failed == [f"{FIT}: {info['failed_checks'][0]}"]
    assert page.index("Failed diagnostics: do not use") < page.index('id="answer"')
    assert csv_of(page, "isis2-headline.csv").startswith("# FAILED CHECK: R-hat: 1.7")
    box = page[page.index('<p class="gist">') : page.index('id="evidence"')]
    assert "P(synergy)" not in box
    assert "0.74" not in box
    assert "Diagnostics FAILED (R-hat: 1.7" in unescape(page[page.index('id="methods"') :])


@pytest.mark.slow
def test_the_methods_are_filled_from_the_fit(folder):
    info, checks = store.read_info(folder / FIT), store.read_table(folder / FIT / store.CHECKS)
    text = " ".join(methods(read_results(folder)))
    assert "ISIS-2" in text
    assert "counts of events and patients (binomial)" in text
    assert "reported estimates" not in text
    for row in info["prior_rows"]:
        assert row["meaning"] in text
        assert row["reason"] in text
    k = float(checks.value[checks.check == "Pareto k of weights"].iloc[0])
    assert f"largest Pareto k of the weights {k:.2f}" in text
    assert (
        f"with {info['chains'] * info['draws']} kept draws (seed {info['seed']}; cotreat " in text
    )
    assert "No diagnostic failed." in text
    assert "No sensitivity analysis was made." in text
    assert info["study_digest"][:12] in text


@pytest.mark.slow
def test_the_methods_name_other_fits_and_what_failed(folder):
    other = shutil.copytree(folder / FIT, folder / "interaction--sceptical--default")
    info = store.read_info(other)
    changed = {"priors": "sceptical", "failed_checks": ["R-hat: 1.2"], "engine": "numpyro"}
    store.write_info({**info, **changed}, other / store.INFO)
    every = bold_multiverse(folder).assign(verdict="good")
    bad = every.head(1).assign(priors="odd", verdict=supplementary.UNRELIABLE)
    tables = {supplementary.MULTIVERSE: pd.concat([every, bad])}
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", tables)
    text = " ".join(methods(read_results(folder)))
    assert "Sensitivity was examined with 2 prior sets (weak, sceptical)." in text
    assert "in 2 fits; 1 of them could not be used." in text
    assert "Diagnostics of other fits failed: interaction--sceptical--default." in text


@pytest.mark.slow
def test_the_methods_report_bayes_factors_under_the_priors_of_the_fits(folder):
    rows = [
        ("any interaction", "one", "no", 0.95),
        ("any interaction", "one", "yes", 0.73),
        ("SK:ASA", "other", "yes", 0.8),
    ]
    columns = ["of", "comparison", "prior_of_the_fits", "bayes_factor"]
    add_part(folder, tables={"bayes_factors.csv": pd.DataFrame(rows, columns=columns)})
    assert (
        "Bayes factors for an interaction against none were any interaction (one) 0.73 and SK:ASA "
        "(other) 0.8."
    ) in " ".join(methods(read_results(folder)))


@pytest.mark.slow
def test_the_methods_know_nothing_of_a_part_of_other_evidence(folder):
    tables = {supplementary.MULTIVERSE: bold_multiverse(folder)}
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", tables, study_digest="other")
    assert "multiverse" not in " ".join(methods(read_results(folder)))


@pytest.mark.parametrize(
    ("worst", "said"),
    [
        (("R-hat", [1.001, 1.3]), "Largest R-hat 1.3."),
        (("bulk ESS", [4000.0, 90.0]), "Smallest effective sample size 90."),
        (
            ("log evidence, moves doubled", [0.1, 0.7]),
            "Largest change of the log evidence when moves were doubled 0.7.",
        ),
        (
            ("predicted reported estimates (χ²)", [0.6, 0.02]),
            "Posterior predictive check, reported estimates: smallest p 0.02.",
        ),
    ],
)
def test_the_methods_report_the_worst_value_of_a_check(worst, said):
    check, values = worst
    found = pd.DataFrame({"check": check, "value": values})
    assert list(diagnostics(found)) == [said]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["comparison/about.json", "four_cells/about.json", f"{FIT}/info.json"]
)
def test_what_cannot_be_read_is_named(folder, name):
    add_part(folder)
    add_four_cells(folder)
    (folder / name).write_text("{}")
    with pytest.raises(ReportError, match=f"{Path(name).parent.name}.*make it again"):
        write_report(folder)
    assert issubclass(AnalysisError, ValueError)


# --- Tables and words ------------------------------------------------------------------------------


def test_cells_of_a_table():
    data = pd.DataFrame(
        {
            "label": ["odds ratio > 2, A vs none", "risk, A+B", "odds ratio, A vs B"],
            "probability": [0.123456, None, 1e-7],
            "estimate": [2.48321, 1234.5, 0.00012345],
            "value": [1.0034, 2.0, 12.345],
            "n": pd.array([3, None, 12345], dtype="Int64"),
            "is_bad": [True, False, None],
        }
    )
    made = table(data, "Caption", "study-some.name.csv")
    assert made.columns == ("estimand", PROBABILITY, "estimate", "value", "n", "is bad")
    assert made.numeric == (False, True, True, True, True, False)
    assert made.rows == (
        ("odds ratio > 2, A vs none", "0.123", "2.48", "1.003", "3", "yes"),
        ("risk, A+B", "", "1234", "2", "", "no"),
        ("odds ratio, A vs B", "< 0.001", "0.000123", "12.35", "12345", ""),
    )
    assert made.id == "study-some-name"


def test_a_probability_is_headed_by_what_it_is_of():
    frame = {"pair": ["A:C", "A:B"], "prior_probability": 0.5, "probability": 0.5}
    made = table(pd.DataFrame(frame), "Probabilities", "probabilities.csv")
    assert made.columns == ("pair", "prior probability", "probability")
    assert made.renamed == {"prior_probability": "prior probability"}


def test_identification_is_in_the_words_of_the_field():
    data = pd.DataFrame(
        {
            "label": ["odds ratio, A vs B"] * 3,
            "co_treatment": ["none", "C", None],
            "status": ["identified", "not identified", "not estimable"],
            "reason": ["", "", "no patients in C"],
        }
    )
    made = table(data, "Caption", "study.csv")
    assert made.columns == ("estimand", "co-treatment", "identification", "reason")
    assert [row[1:] for row in made.rows] == [
        ("no other study drug", "identified", ""),
        ("C", "not identified", ""),
        ("", "not estimable", "no patients in C"),
    ]


def test_text_is_typeset_but_for_what_is_to_be_copied():
    assert typeset("-0.140 to .153 (-6.8, 1e-07), 2010-2021, tac-2, 2026-11-26") == (
        "−0.140 to .153 (−6.8, 1e−07), 2010-2021, tac-2, 2026-11-26"
    )
    assert typeset('<p title="-1">-1 patients</p><pre>-1 x</pre>') == (
        '<p title="-1">−1 patients</p><pre>-1 x</pre>'
    )


def test_a_p_value_expected_on_the_other_side_is_no_p_value_of_1():
    def expected(lower, median, upper):
        return Prediction("p", "p = 0.04", lower, median, upper, 0.004).expected

    assert expected(0.01, 0.2, 0.9) == "0.2 (0.01 to 0.9)"
    assert expected(0.0023, 0.29, 1.0) == "0.29 (0.0023 up to the other sign)"
    assert expected(0.33, 1.0, 1.0) == (
        "the other sign in more than half of cases, and this one with p below 0.33 in 2.5%"
    )
    assert expected(1.0, 1.0, 1.0) == "the other sign in nearly all cases"


def test_every_measure_is_explained():
    forms = {form for term in TERMS for form in term.forms}
    assert set(MEASURES) - forms == {
        "s"
    }  # too short to be marked: it stands with its synergy index
    assert "synergy index" in forms
    words = {term.name: term.words for term in TERMS}
    assert "below 0" in words["posterior contraction"]
    assert {"product term", "co-treatment", "scale", "antagonism", "Wald"} <= forms


def test_a_word_is_explained_where_it_first_stands_and_not_in_what_is_folded_away():
    page = (
        "<h2>Posterior</h2><details><p>posterior and Bayes factors</p></details>"
        "<p><code>posterior</code> prior.csv (posterior), and the Posterior's ratio of odds ratios.</p>"
    )
    marked, found = mark(page)
    assert sorted(term.name for term in found) == [
        "Bayes factor",
        "posterior",
        "ratio of odds ratios",
    ]
    shown = re.sub(r'<button type="button" popovertarget="([\w-]+)">', r"[\1]", marked)
    assert shown.replace("</button>", "") == (
        "<h2>Posterior</h2><details><p>posterior and <dfn>[term-bayes-factor]Bayes factors</dfn></p></details>"
        "<p><code>posterior</code> prior.csv <dfn>([term-posterior]posterior),</dfn> and the Posterior's "
        "<dfn>[term-ratio-of-odds-ratios]ratio of odds ratios.</dfn></p>"
    )


def test_every_term_has_a_name_of_its_own():
    assert len({term.id for term in TERMS}) == len(TERMS)
    forms = [form.lower() for term in TERMS for form in term.forms]
    assert len(set(forms)) == len(forms)


# --- The pages of results/ -------------------------------------------------------------------------

STUDIES = sorted(path.parent for path in (HERE.parent / "results").glob("*/report.html"))


@pytest.mark.parametrize("place", STUDIES, ids=lambda path: path.name)
def test_a_page_of_the_results_shows_all_that_was_made(place):
    page = (place / "report.html").read_text(encoding="utf-8")
    depends = page[page.index('id="depends"') : page.index('id="diagnostics"')]
    missing = [
        name for name in supplementary.ANALYSES if not (place / name / supplementary.ABOUT).exists()
    ]
    assert depends.count("Not made;") == len(missing)
    cells = page[page.index('id="four-cells"') : page.index('id="priors"')]
    assert ("Not made." in cells) is not (place / FOUR_CELLS / "four_cells_1.csv").exists()
    assert "Methods, ready to copy" in page


# --- In Chromium -----------------------------------------------------------------------------------


def programs():
    """Return Chromium, node and npm; skip, saying why, where one of them is not to be had."""
    found = []
    for names in (("chromium", "chromium-browser"), ("node",), ("npm",)):
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            pytest.skip(f"{names[0]} is not installed (Debian: chromium, nodejs, npm)")
        found.append(path)
    return found


def driver(npm):
    """Return a folder with what drives Chromium, as locked, from the cache or from npm."""
    locked = (HERE / "browser" / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cotreat-browser"
    place = cache / hashlib.sha256(locked).hexdigest()[:16]
    if not place.exists():
        with store.whole_folder(place) as writing:
            shutil.copytree(HERE / "browser", writing, dirs_exist_ok=True)
            done = run(npm, "ci", cwd=writing)
            if done.returncode:
                pytest.skip(f"npm cannot install puppeteer-core and axe-core: {done.stderr[-300:]}")
    shutil.copy(HERE / "browser" / "check.js", place)
    return place


def run(*command, cwd):
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


def check(*pages):
    """Say what is wrong with pages in Chromium, at each width and colour scheme."""
    chromium, node, npm = programs()
    done = run(node, "check.js", chromium, *pages, cwd=driver(npm))
    assert done.returncode == 0, done.stderr
    looks = json.loads(done.stdout)
    assert [(look["width"], look["scheme"]) for look in looks] == [
        (width, scheme) for width in (390, 1400) for scheme in ("light", "dark")
    ] * len(pages)
    for look in looks:
        assert look["explained"], look
        wrong = ("errors", "outside", "violations", "folded", "unfolded", "images")
        assert not any(look[name] for name in wrong), look


@pytest.mark.slow
def test_chromium_shows_the_largest_results(tmp_path):
    place = HERE.parent / "results" / "sun2024"
    page = write_report(shutil.copytree(place, tmp_path / place.name)).page
    check(page)
    assert len(page.read_text(encoding="utf-8")) < 1.5 * 2**20


@pytest.mark.slow
def test_chromium_shows_the_page_without_errors_requests_or_barriers(folder):
    add_part(folder)
    add_four_cells(folder)
    info = store.read_info(folder / FIT)
    info["cautions"] = ["overlap: 0.4, should be ≤ 0.05; restrict the cohort"]
    info["failed_checks"] = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more"]
    store.write_info(info, folder / FIT / store.INFO)
    check(write_report(folder).page)
