"""The registry of figures, by the example of ``CONTRIBUTING.md``: figures added from outside."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from cotreat import load_study
from cotreat.evidence.folds import FoldPrediction
from cotreat.plots import (
    COMPARISON,
    FIT,
    KINDS,
    STUDY,
    draw,
    figure_of,
    figures,
    picture,
    registry,
)
from cotreat.plots.records import Comparison, Interpretations
from cotreat.report import write_report
from cotreat.report.page import PLACES
from cotreat.results import store, supplementary
from cotreat.results.supplementary import Analysis, Section, read_analysis, write_analysis
from tests.test_plots import fake_view

FIT_FOLDER = "interaction--weak--default"
KEPT = Path(__file__).parents[1] / "results" / "isis2"
LEFT = FoldPrediction("none", "events", "568 / 4300", 568, 500, 530, 560, 590, 620, 0.4)


@pytest.fixture
def isis2():
    return load_study("isis2")


@pytest.fixture
def added(monkeypatch):
    """Decorate functions from outside for one test; the registry is as before afterwards."""
    for kind in KINDS:
        figures(kind)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    return figure_of


@pytest.fixture
def report_folder(tmp_path):
    """Copy a kept reanalysis, whose report can be written again."""
    return shutil.copytree(KEPT, tmp_path / "isis2")


def bars(heights):
    figure = Figure(figsize=(3, 2))
    figure.subplots().bar(range(len(heights)), heights)
    return figure


def page_of(folder, study=None):
    return write_report(folder, study).page.read_text(encoding="utf-8")


def shown(page, caption, alt):
    """Return the figure of the page that has a caption and an alternative text, as an image."""
    pattern = rf'<img src="([^"]+)" alt="{re.escape(alt)}".*?<figcaption>{re.escape(caption)}</figc'
    (source,) = re.findall(pattern, page, re.DOTALL)
    return Image.open(BytesIO(b64decode(source.partition(",")[2])))


# --- Adding a figure -----------------------------------------------------------------------------


def test_a_figure_of_a_fit(added, report_folder):
    own = {"risks": "Most risks are near 0.", "diagnostics": "Most draws are near 0."}

    @added(FIT, section="diagnostics", caption=own["diagnostics"], alt="One grey bar.")
    def draws_of_alpha(view):
        return bars([view.draws["posterior"].sizes["draw"]])

    @added(FIT, section="risks", caption=own["risks"], alt="Another bar.")
    def chains_of_alpha(view):
        return bars([view.draws["posterior"].sizes["chain"]])

    folder = report_folder / FIT_FOLDER
    written = draw(FIT, fake_view("isis2", "interaction"), folder)
    page = page_of(report_folder)
    for name, section, alt in (
        ("draws_of_alpha", "diagnostics", "One grey bar."),
        ("chains_of_alpha", "risks", "Another bar."),
    ):
        assert picture(FIT, name) in written
        assert (folder / f"{name}.png").exists()
        assert shown(page, own[section], alt).width > 50
        start = page.index(f'<h2 id="{section}"')
        assert start < page.index(own[section]) < page.find("<h2", start + 1)


def test_a_figure_of_a_comparison(added, report_folder, isis2):
    @added(COMPARISON, caption="Each count is well predicted.", alt="Three bars.")
    def medians(comparison):
        return bars([left.median for left in comparison.predicted])

    digest = store.read_info(report_folder / FIT_FOLDER)["study_digest"]
    own = Section("Left out", ("One at a time.",), figure=picture(COMPARISON, "left_out"))
    part = Analysis("Model comparison", digest, 1, (), (own,))
    record = Comparison(isis2, "interaction", predicted=[LEFT])
    folder = report_folder / supplementary.COMPARISON
    write_analysis(folder, part, {}, partial(draw, COMPARISON, record))
    assert {path.name for path in folder.glob("*.png")} == {"left_out.png", "medians.png"}
    last = read_analysis(folder).sections[-1]
    assert (last.heading, last.figure) == ("Medians", picture(COMPARISON, "medians"))
    assert json.loads((folder / "about.json").read_text())["sections"][-1]["figure"] == {
        "name": "medians",
        "caption": "Each count is well predicted.",
        "alt": "Three bars.",
    }
    shown(page_of(report_folder), "Each count is well predicted.", "Three bars.")


def test_a_figure_of_a_study(added, report_folder, isis2):
    @added(STUDY, caption="Regimens are of similar size.", alt="Four bars of one height.")
    def sizes_of_regimens(study_under_interpretations):
        return bars(study_under_interpretations.study.n)

    page = page_of(report_folder, isis2)
    assert (report_folder / "sizes_of_regimens.png").exists()
    shown(page, "Regimens are of similar size.", "Four bars of one height.")


@pytest.mark.usefixtures("added")
def test_a_figure_in_a_module_of_the_package_is_found(monkeypatch, tmp_path):
    import cotreat.plots

    module = """
from matplotlib.figure import Figure
from cotreat.plots.registry import STUDY, figure_of

@figure_of(STUDY, order=0, caption="A message.", alt="An empty figure.")
def from_a_file(record):
    return Figure()
"""
    (tmp_path / "from_a_file.py").write_text(module)
    monkeypatch.setattr(cotreat.plots, "__path__", [*cotreat.plots.__path__, str(tmp_path)])
    assert next(iter(figures(STUDY))) == "from_a_file"
    assert figures(STUDY)["from_a_file"].caption == "A message."
    monkeypatch.delitem(sys.modules, "cotreat.plots.from_a_file")


# --- What the registry promises ------------------------------------------------------------------


def test_a_record_without_something_to_show_has_no_figure(tmp_path, isis2):
    assert draw(COMPARISON, Comparison(isis2, "interaction"), tmp_path) == []
    summaries = {"default": fake_view("isis2", "interaction").summary}
    assert draw(STUDY, Interpretations(isis2, summaries), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_failed_check_stands_in_every_figure(tmp_path, isis2):
    record = Comparison(isis2, "interaction", predicted=[LEFT])
    for name, failed in (("good", []), ("unreliable", ["R-hat: 1.7"])):
        draw(COMPARISON, record, tmp_path / name, failed)
    heights = []
    for name in ("good", "unreliable"):
        with Image.open(tmp_path / name / "left_out.png") as image:
            heights.append(image.height)
    assert heights[0] < heights[1]  # the red lines stand above the figure


def test_what_a_figure_is_of_must_be_known(added):
    with pytest.raises(ValueError, match="no figures of 'prior'; figures are of fit, comparison"):
        added("prior", caption="", alt="")


def test_no_figure_takes_the_name_of_another(added):
    def risks(_):
        return None

    with pytest.raises(
        ValueError, match=r"cotreat\.plots\.risks has a figure of a fit named 'risks'"
    ):
        added(FIT, caption="", alt="")(risks)


def test_a_figure_stands_in_a_section_of_the_report():
    assert {one.section for one in figures(FIT).values()} == set(PLACES)


def test_names_are_those_of_modules_and_files():
    for kind in KINDS:
        for name, one in figures(kind).items():
            module = one.drawing.__module__.rpartition(".")[2]
            assert module in (name, "diagnostics")
            assert one.file == f"{name}.png"


def test_the_registry_loads_no_library_that_draws_or_samples():
    code = "import sys, cotreat.plots; print({'matplotlib', 'arviz', 'pymc'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_captions_have_none_of_the_banned_phrases():
    banned = ["printed", "print", "claim", "claims", "extrapolated", "decided", "undecided"]
    banned += ["hangs", "reading", "readings", "background", "on none", "learnt", "tells", "told"]
    for kind in KINDS:
        for one in figures(kind).values():
            words = f" {one.caption} {one.alt} ".lower()
            assert [word for word in banned if re.search(rf"\b{word}\b", words)] == []
