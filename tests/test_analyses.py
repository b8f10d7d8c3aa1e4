"""Around the fits: every part is written beside them, belongs to the same evidence, and is in the report."""

import re
from html import escape

import pytest

from cotreat import load_study, parse_study, reanalyse
from cotreat.report.four_cells import FOLDER as FOUR_CELLS
from cotreat.results import store, supplementary
from cotreat.results.supplementary import read_analysis
from cotreat.workflow import analyses
from tests.shared import draw_only, reanalysis

DOSES = """
format = 1
study = { id = "doses", title = "Two doses", design = "cohort", source = "made up" }
outcome = { name = "remission", direction = "benefit" }
arms = [
  { regimen = "none", n = 120, events = 18 },
  { regimen = "A.low", n = 45, events = 10 },
  { regimen = "A.high", n = 35, events = 12 },
  { regimen = "B", n = 90, events = 21 },
  { regimen = "A.low+B", n = 32, events = 12 },
  { regimen = "A.high+B", n = 28, events = 16 },
]
[treatments]
A = { name = "drug A", dose = { low = "up to 10 mg", high = "over 10 mg" } }
B = { name = "drug B" }
"""


TWO_INTERPRETATIONS = (
    DOSES
    + """
[[reported]]
id = "both"
kind = "odds_ratio"
contrast = "A+B vs A"
value = 2.00
ci = [0.90, 4.44]
source = "made up"
[[interpretations]]
id = "against-a"
words = "against A alone"
default = true
[[interpretations]]
id = "against-b"
words = "against B alone"
[interpretations.means]
both = { contrast = "A+B vs B" }
"""
)


@pytest.fixture(scope="module")
def made():
    return reanalysis()


def test_an_unknown_depth_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="no depth 'ful'; the depths are quick, standard, full"):
        reanalyse(load_study("isis2"), depth="ful", out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_parts_are_made_under_the_reading_that_was_asked_for(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(analyses, "write_analyses", lambda task, _: given.append(task))
    draw_only(monkeypatch)
    reanalyse(
        parse_study(TWO_INTERPRETATIONS),
        "additive",
        interpretations="against-b",
        engine="laplace",
        draws=500,
        depth="quick",
        out=tmp_path,
    )
    (task,) = given
    assert task.study.interpretation == "against-b"
    assert list(task.fits) == [("additive", "against-b")]


@pytest.mark.slow
def test_every_part_is_of_the_evidence_that_was_fitted(made):
    folder, done = made
    assert done.returncode == 0, done.stderr
    study = load_study("oral-cancer")
    for name in supplementary.ANALYSES:
        part = read_analysis(folder / name)
        assert part.study_digest == study.digest
        assert part.settings["depth"] == "quick"
        assert part.failed_checks == ()
        assert part.findings
    # The fit that was made is what the parts speak of: the model is not fitted again.
    assert "  fitting interaction" not in done.stderr
    assert "  fitting additive" in done.stderr


@pytest.mark.slow
def test_the_report_arranges_all_of_it(made):
    folder, _ = made
    page = (folder / "report.html").read_text(encoding="utf-8")
    for name in supplementary.ANALYSES:
        for section in read_analysis(folder / name).sections:
            assert f">{escape(section.heading, quote=False)}</h" in page
    assert "Not made." not in page
    assert "Not filled in." not in page


@pytest.mark.slow
def test_the_four_cells_are_of_the_pair_and_the_report_has_its_methods(made):
    folder, _ = made
    found = read_analysis(folder / FOUR_CELLS)
    assert found.study_digest == load_study("oral-cancer").digest
    (pair,) = found.sections
    assert pair.heading == "alcohol × smoking"
    assert "the sampling of a case-control study" in pair.words[-1]
    # Rothman & Keller 1972 by maximum likelihood: 1.204 and 1.086 on the log scale, about 3 each.
    assert store.read_table(folder / FOUR_CELLS / pair.table).iloc[0, 2] == "1 (reference)"
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="methods"') : page.index('id="rerun"')]
    paragraphs = " ".join(re.sub("<[^>]+>", "", section).split())
    assert "largest pareto k of the weights" in paragraphs.lower()
    assert "A multiverse analysis combined interpretations, models and priors in" in paragraphs


@pytest.mark.slow
def test_a_later_model_with_levels_gets_no_analyses_and_leaves_the_four_cells(
    tmp_path, monkeypatch
):
    """Four cells are of the primary fit in the folder; models asked for by name get no analyses."""
    study = parse_study(DOSES)
    draw_only(monkeypatch)
    folder = reanalyse(
        study, "interaction", engine="laplace", draws=500, out=tmp_path
    ).report.parent
    before = read_analysis(folder / FOUR_CELLS).sections
    assert [one.heading for one in before] == ["drug A × drug B"]
    table = (folder / FOUR_CELLS / before[0].table).read_bytes()
    monkeypatch.setattr(
        analyses, "write_analyses", lambda *_, **__: pytest.fail("analyses were written")
    )
    result = reanalyse(study, "dose", engine="laplace", draws=500, depth="quick", out=tmp_path)
    assert result.primary.model == "dose"
    assert read_analysis(folder / FOUR_CELLS).sections == before
    assert (folder / FOUR_CELLS / before[0].table).read_bytes() == table
