import json
from dataclasses import replace

import pandas as pd
import pytest

from cotreat.core.figures import Picture
from cotreat.plots.style import save
from cotreat.results import store, supplementary
from cotreat.results.supplementary import (
    Analysis,
    AnalysisError,
    Section,
    read_analysis,
    write_analysis,
)

TABLE = pd.DataFrame({"model": ["additive", "interaction"], "elpd": [-4.5, None]})
PART = Analysis(
    title="Model comparison",
    study_digest="abc",
    seed=1,
    findings=("The data do not tell the models apart.",),
    failed=("saturated: not refitted.",),
    settings={"unit": "cell"},
    sections=(
        Section(
            "Left out", ("Each cell in turn.",), "models.csv", Picture("out", "Dots.", "Plot.")
        ),
        Section("In words only", ("Nothing to draw.",)),
    ),
)


def drawer(*names):
    """Return what draws one figure per name, and the figures that it has drawn."""
    from matplotlib.figure import Figure

    figures = {name: Figure(figsize=(1, 1)) for name in names}

    def draw(folder, failed):
        for name, figure in figures.items():
            figure.subplots().plot([0, 1])
            save(figure, folder / f"{name}.png", failed)
        return [Picture(name, "Dots.", "Plot.") for name in figures]

    return draw, figures


def test_a_part_comes_back_as_it_was_written(tmp_path):
    draw, _ = drawer("out")
    folder = write_analysis(tmp_path / "comparison", PART, {"models.csv": TABLE}, draw)
    back = read_analysis(folder)
    assert replace(back, created="") == PART
    assert back.created.startswith("20")
    assert sorted(p.name for p in folder.iterdir()) == ["about.json", "models.csv", "out.png"]
    told = json.loads((folder / supplementary.ABOUT).read_text())
    assert told["sections"][0]["figure"] == {"name": "out", "caption": "Dots.", "alt": "Plot."}
    assert told["sections"][1] == {
        "heading": "In words only",
        "words": ["Nothing to draw."],
        "table": "",
        "figure": None,
    }


def test_failed_checks_stand_above_tables_and_before_what_was_not_computed(tmp_path):
    draw, figures = drawer("out")
    failed = ["additive: R-hat 1.7"]
    folder = write_analysis(tmp_path / "comparison", PART, {"models.csv": TABLE}, draw, failed)
    assert (folder / "models.csv").read_text().startswith("# FAILED CHECK: additive: R-hat 1.7\n")
    assert len(store.read_table(folder / "models.csv")) == 2
    assert read_analysis(folder).failed == ("additive: R-hat 1.7", "saturated: not refitted.")
    assert "do not use" in figures["out"].texts[0].get_text()


def test_failed_checks_of_the_part_are_kept_beside_those_of_the_call(tmp_path):
    part = replace(PART, failed_checks=("interaction: R-hat 1.5",))
    failed = ["additive: R-hat 1.7", "interaction: R-hat 1.5"]
    draw, _ = drawer("out")
    folder = write_analysis(tmp_path / "comparison", part, {"models.csv": TABLE}, draw, failed)
    expected = ("interaction: R-hat 1.5", "additive: R-hat 1.7")
    assert read_analysis(folder).failed_checks == expected
    assert (folder / "models.csv").read_text().count("# FAILED CHECK") == 2


@pytest.mark.parametrize(
    ("part", "tables", "figures", "message"),
    [
        (PART, {}, ["out"], "no table models.csv"),
        (PART, {"models.csv": TABLE}, ["other"], "no figure out"),
        (
            replace(PART, findings=("A.",) * 4),
            {"models.csv": TABLE},
            ["out"],
            "4 findings, at most 3",
        ),
    ],
)
def test_a_part_that_promises_what_it_does_not_hold(tmp_path, part, tables, figures, message):
    with pytest.raises(AnalysisError, match=message):
        write_analysis(tmp_path / "comparison", part, tables, drawer(*figures)[0])
    assert not (tmp_path / "comparison").exists()


def test_a_figure_without_section_gets_one(tmp_path):
    draw, _ = drawer("out", "one_more")
    folder = write_analysis(tmp_path / "comparison", PART, {"models.csv": TABLE}, draw)
    *own, last = read_analysis(folder).sections
    assert tuple(own) == PART.sections
    assert last == Section("One more", figure=Picture("one_more", "Dots.", "Plot."))


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"sections": [{}], "findings": [], "failed": []}']
)
def test_a_part_that_cannot_be_read(tmp_path, text):
    (tmp_path / supplementary.ABOUT).write_text(text)
    with pytest.raises(AnalysisError, match="make it again"):
        read_analysis(tmp_path)
