"""The page of a study: what stands in it, in what order, and how Chromium shows it."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from cotreat import load_study, write_report
from cotreat.estimands.measures import MEASURES
from cotreat.plots import Picture
from cotreat.report import ReportError
from cotreat.report.folder import GRID
from cotreat.report.glossary import TERMS, mark
from cotreat.report.supplement import Checklist, PairTable, Supplement, write_supplement
from cotreat.report.tables import table
from cotreat.report.typeset import typeset
from cotreat.results import store, supplementary
from cotreat.results.supplementary import Part, PartError, Section, write_part
from cotreat.sensitivity.interpretations import Prediction
from cotreat.workflow.reanalyse import reanalyse

HERE = Path(__file__).parent
FIT = "interaction--weak--default"
ORDER = [
    *("answer", "evidence", "estimates", "risks", "synergy", "depends", "diagnostics"),
    *("four-cells", "priors", "checklists", "rerun", "words"),
]
FINDING = "The data do not tell the models <apart>."


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A quick fit with its page."""
    out = tmp_path_factory.mktemp("results")
    result = reanalyse(load_study("isis2"), "interaction", engine="laplace", draws=1000, out=out)
    assert result.report == out / "isis2" / "report.html"
    assert str(result.answer).startswith("Whether the chance of vascular death (5 weeks)")
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
    part = Part(title=title, **{**about, **changed})
    write_part(folder / name, part, {"models.csv": data, **(tables or {})}, {"out": figure})


def add_supplement(folder):
    cells = pd.DataFrame(
        {
            "": ["without aspirin", "with aspirin"],
            "without streptokinase": ["1 (reference)", "0.79"],
        }
    )
    items = (("Priors stated", "Yes, with reasons."), ("Loss function", None))
    extra = Supplement(
        digest(folder),
        (PairTable("streptokinase × aspirin", ("Odds ratios against neither.",), cells),),
        (Checklist("BARG (Kruschke 2021)", items),),
    )
    write_supplement(folder, extra)


def csv_of(page, file):
    (text,) = re.findall(
        rf'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="{file}"', page
    )
    return base64.b64decode(text).decode("utf-8")


# --- What stands in the page -----------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_answers_first_and_proves_afterwards(made):
    page = (made / "report.html").read_text()
    assert re.findall(r'<h2 id="([\w-]+)"', page) == ORDER
    assert re.findall(r'<li><a href="#([\w-]+)"', page) == ORDER
    assert page.count("<h1>") == 1
    answer = page[page.index('<p class="gist">') : page.index('id="evidence"')]
    assert "Undecided" in answer
    assert "that by itself is not" in answer


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
    for name, file in (("checks", "checks.csv"), ("cells", "cells.csv")):
        assert csv_of(page, f"isis2-{name}.csv") == (made / FIT / file).read_text()
    risks = csv_of(page, "isis2-risks.csv")
    assert risks.splitlines()[1].startswith("risk[none],posterior,observed,0.13")


@pytest.mark.slow
def test_what_was_not_made_is_said(folder):
    shutil.rmtree(folder / "supplement")
    page = page_of(folder)
    assert page.count("cotreat reanalyse isis2 --depth standard</code> makes it") == 3
    assert "Not filled in." in page


@pytest.mark.slow
def test_parts_and_supplement_are_arranged_and_escaped(folder):
    add_part(folder)
    add_supplement(folder)
    page = page_of(folder)
    depends = page[page.index('id="depends"') : page.index('id="diagnostics"')]
    assert unescape(depends).index("Model comparison") < depends.index("Priors and choices")
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
    assert re.findall(r'<thead><tr><td></td><th scope="col">(.*?)</th>', cells) == [
        "without streptokinase"
    ]
    assert '<th scope="row">with aspirin</th><td>0.79</td>' in cells
    lists = page[page.index('id="checklists"') : page.index('id="rerun"')]
    assert "BARG (Kruschke 2021): 1 of 2 answered" in lists
    assert re.findall(r"<dt>(.*)</dt>\s*<dd[^>]*>(.*)</dd>", lists) == [
        ("Priors stated", "Yes, with reasons."),
        ("Loss function", "Not answered."),
    ]


@pytest.mark.slow
def test_what_is_of_other_data_is_left_out_and_named(folder):
    add_part(folder, study_digest="other")
    add_supplement(folder)
    index = folder / "supplement" / "supplement.json"
    index.write_text(index.read_text().replace(digest(folder), "other"))
    page = page_of(folder)
    assert FINDING not in unescape(page)
    assert "rerun them:\ncomparison, supplement." in page


@pytest.mark.slow
def test_the_multiverse_takes_part_in_the_answer(folder):
    lead = store.read_summary(folder / FIT / "summary.csv")
    lead = lead[(lead.estimator == "posterior") & lead.probability.notna()]
    rows = lead.rename(columns={"interpretation": "reading"}).assign(
        priors="bold", pareto_k=0.2, verdict="good", log_evidence=-9.0, mc_error=0.01
    )
    rows["probability"] = 0.99
    bad = rows.head(1).assign(priors="odd", verdict=supplementary.BAD, probability=None)
    both = pd.concat([rows, bad])[list(supplementary.MULTIVERSE_COLUMNS)]
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", {supplementary.MULTIVERSE: both})
    report = write_report(folder)
    assert 'href="sensitivity/multiverse.csv"' in report.page.read_text()
    assert report.answer.sentences[-1] == (
        "Of one other choice of reading, model or priors, 1 says otherwise: the prior set bold decides it "
        "in favour; 1 fit could not be used."
    )


def bold_multiverse(folder):
    """Make a multiverse in which bolder priors decide what the leading fit leaves open."""
    lead = store.read_summary(folder / FIT / "summary.csv")
    lead = lead[(lead.estimator == "posterior") & lead.probability.notna()]
    rows = lead.rename(columns={"interpretation": "reading"})
    rows = rows.assign(priors="bold", pareto_k=0.2, verdict="good", log_evidence=-9.0)
    return rows.assign(probability=0.99).reindex(columns=list(supplementary.MULTIVERSE_COLUMNS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"model": "saturated"}, "the model saturated"),
        (
            {"model": "interaction", "priors": "sceptical", "reading": "strict"},
            "the reading strict and the priors sceptical",
        ),
        ({"model": "interaction", "priors": "weak", "reading": "default"}, ""),
    ],
)
def test_a_part_of_another_fit_is_called_that_and_takes_no_part_in_the_answer(
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
    caution = f"Made of {other}, not of the leading fit:"
    assert (caution in report.page.read_text()) is bool(other)
    assert ("bold" in report.answer.sentences[-1]) is not bool(other)


@pytest.mark.slow
def test_the_grid_of_beliefs_takes_part_in_the_answer_once_for_each_set(folder):
    grid = pd.DataFrame(
        {
            "effects": ["weak (default)", "pessimistic-moderate", "neutral-weak", "neutral-strong"],
            "interactions": ["weak (default)", *["weak (default)"] * 3],
            "verdict": "good",
            "estimand": "ror[SK:ASA]",
            "availability": "observed",
            "probability": [0.7, 0.7, 0.7, 0.99],
        }
    )
    own = bold_multiverse(folder).assign(priors="sceptical")  # the grid's pessimistic-moderate
    tables = {supplementary.MULTIVERSE: own, GRID: grid}
    add_part(folder, supplementary.SENSITIVITY, "Sensitivity", tables)
    assert write_report(folder).answer.sentences[-1] == (
        "Of one other choice of reading, model or priors, 1 says otherwise: the prior set sceptical decides "
        "it in favour; of 2 more, asked of multiplied odds alone, the prior set grid:neutral-strong decides "
        "it in favour."
    )


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
def test_what_holds_of_all_fits_is_said_once_and_what_is_not_on_paper_where_it_stood(folder):
    other = shutil.copytree(folder / FIT, folder / "interaction--sceptical--default")
    info = store.read_info(other)
    own = "Said of this fit alone."
    store.write_info(
        {**info, "priors": "sceptical", "remarks": [*info["remarks"], own]}, other / store.INFO
    )
    long = pd.DataFrame({"n": range(30)})
    add_part(folder, tables={"models.csv": long}, settings={"models": ["a", "b"], "not_fitted": []})
    page = page_of(folder)
    text = re.sub("<[^>]+>", "", unescape(page))
    assert text.count(own) == 1
    for line in info["remarks"]:
        assert typeset(line) in text
        assert text.count(typeset(line)) == 1
    assert "models a, b" in text
    assert "[" not in text[text.index("Model comparison: seed 7") :].partition("\n")[0]
    left_out = re.findall(r'<p class="on-paper soft">(.*?)</p>', page)
    assert "On paper its 30 rows are left out" in left_out[-2]
    assert "On paper the whole audit" in left_out[0]
    assert page.count('<details class="long">') + page.count('<details class="box long">') == (
        len(left_out)
    )


@pytest.mark.slow
def test_failed_checks_stand_first_and_leave_no_answer(folder):
    info = store.read_info(folder / FIT)
    info["failed_checks"] = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more"]
    store.write_info(info, folder / FIT / store.INFO)
    report = write_report(folder)
    page = report.page.read_text()
    assert report.answer.gist == "No answer: failed checks"
    assert report.failed == [f"{FIT}: {info['failed_checks'][0]}"]
    assert page.index("Failed checks: do not use") < page.index('id="answer"')
    assert csv_of(page, "isis2-headline.csv").startswith("# FAILED CHECK: R-hat: 1.7")
    assert "0.975 would decide it" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["comparison/about.json", "supplement/supplement.json", f"{FIT}/info.json"]
)
def test_what_cannot_be_read_is_named(folder, name):
    add_part(folder)
    add_supplement(folder)
    (folder / name).write_text("{}")
    with pytest.raises(ReportError, match=f"{Path(name).parent.name}.*make it again"):
        write_report(folder)
    assert issubclass(PartError, ValueError)


# --- Tables and words ------------------------------------------------------------------------------


def test_cells_of_a_table():
    data = pd.DataFrame(
        {
            "estimand": ["ror[A:B] on C", "odds_ratio[A vs none] > 2", "own[x]"],
            "probability": [0.123456, None, 1e-7],
            "n": pd.array([3, None, 12345], dtype="Int64"),
            "is_bad": [True, False, None],
        }
    )
    made = table(data, "Caption", "study-some.name.csv")
    assert made.columns == ("estimand", "P(> null)", "n", "is bad")
    assert made.numeric == (False, True, True, False)
    assert made.rows == (
        ("ratio of odds ratios (ror), A × B on C", "0.1235", "3", "yes"),
        ("odds ratio, A vs none > 2", "", "", "no"),
        ("own[x]", "1e-07", "12345", ""),
    )
    assert made.id == "study-some-name"


def test_a_probability_is_headed_by_what_it_is_of():
    averaging = {"interactions": ["none", "A:B"], "prior_probability": 0.5, "probability": 0.5}
    made = table(pd.DataFrame(averaging), "Averaging", "averaging.csv")
    assert made.columns == ("interactions", "prior probability", "probability")
    assert made.renamed == {"prior_probability": "prior probability"}


def test_text_is_typeset_but_for_what_is_to_be_copied():
    assert typeset("-0.140 to .153 (-6.8, 1e-07), 2010-2021, tac-2, 2026-11-26") == (
        "−0.140 to .153 (−6.8, 1e−07), 2010-2021, tac-2, 2026-11-26"
    )
    assert typeset('<p title="-1">product[A:B]</p><pre>-1 ror[A:B]</pre>') == (
        '<p title="-1">product term, A × B</p><pre>-1 ror[A:B]</pre>'
    )
    assert typeset("P(odds_ratio[A vs not A]) and mutual_product[A:B given A:C]") == (
        "P(odds ratio, A vs not A) and product term beside another, A × B given A × C"
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
    assert "below 0" in words["learnt"]
    assert {"product term", "background", "family", "antagonism", "Wald"} <= forms


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
        name for name in supplementary.PARTS if not (place / name / supplementary.ABOUT).exists()
    ]
    assert depends.count("Not made;") == len(missing)
    cells = page[page.index('id="four-cells"') : page.index('id="priors"')]
    assert ("Not made." in cells) is not (place / "supplement" / "four_cells_1.csv").exists()
    assert "Not filled in." not in page


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
    add_supplement(folder)
    info = store.read_info(folder / FIT)
    info["cautions"] = ["overlap: 0.4, should be ≤ 0.05; restrict the cohort"]
    info["failed_checks"] = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more"]
    store.write_info(info, folder / FIT / store.INFO)
    check(write_report(folder).page)
