"""The sensitivity part: what is written, what it says, and that it says no more than its tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cotreat import load_study
from cotreat.cli import main
from cotreat.core.constants import DEPTHS
from cotreat.inference.laplace import UNRELIABLE
from cotreat.plots.one_at_a_time import one_at_a_time
from cotreat.plots.records import Sensitivity
from cotreat.plots.style import off_screen
from cotreat.priors.sets import prior_set
from cotreat.report.sections import sensitivity
from cotreat.results import store
from cotreat.results.supplementary import (
    ABOUT,
    MULTIVERSE,
    MULTIVERSE_COLUMNS,
    Analysis,
    Task,
    read_analysis,
    write_analysis,
)
from cotreat.sensitivity import fits
from cotreat.sensitivity.interpretations import Conflict, names_of
from cotreat.sensitivity.records import INTERPRETATION, MODEL, ONE_AT_A_TIME, PRIORS, SCALE
from cotreat.workflow import analyses
from tests.codes import codes, table_of_codes

FIGURES = {"one_at_a_time", "belief_grid", "power_scaling", "prior_predictive"}


@pytest.fixture(scope="module")
def isis2():
    return load_study("isis2")


@pytest.fixture(scope="module")
def written(tmp_path_factory, isis2):
    """Write the whole part once, with one fit of each batch made bad; return folder and progress."""
    said = []
    own = fits.fit_many

    def one_bad(specifications, **settings):
        answers = own(specifications, **settings)
        last = len(answers) - 1
        return [replace(a, verdict=UNRELIABLE) if at == last else a for at, a in enumerate(answers)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits, "fit_many", one_bad)
        # One thing at a time, as for printed numbers.
        patch.setattr(type(isis2), "has_uncounted", property(lambda _: True))
        task = Task(isis2, {}, prior_set("weak", isis2), on_progress=said.append)
        folder = analyses.write_one(
            "sensitivity", task, tmp_path_factory.mktemp("results") / "isis2"
        )
    return folder, said


@pytest.mark.slow
def test_the_folder_is_a_part_with_all_its_tables_and_figures(written, isis2):
    folder, said = written
    part = read_analysis(folder)
    assert folder.name == "sensitivity"
    assert part.study_digest == isis2.digest
    assert {path.stem for path in folder.glob("*.png")} == FIGURES
    tables = {path.name for path in folder.glob("*.csv")}
    assert {section.table for section in part.sections if section.table} < tables
    assert {MULTIVERSE, "grid.csv", "induced.csv"} < tables
    assert 1 <= len(part.findings) <= 3
    assert all(line.endswith(".") for line in part.findings)
    assert any("fits under other priors" in line for line in said)
    assert any(line.strip().endswith("of 21") for line in said)
    for section in part.sections:
        assert section.words
        if section.figure:
            assert len(section.figure.caption) > 50
            assert section.figure.alt


@pytest.mark.slow
def test_tables_agree_with_each_other(written):
    folder, _ = written
    every = store.read_table(folder / MULTIVERSE)
    assert tuple(every.columns) == MULTIVERSE_COLUMNS
    lead = every[(every.model == "interaction") & (every.priors == "weak")]
    probability = lead[codes(lead) == "ror[SK:ASA]"].probability.iloc[0]
    changes = store.read_table(folder / ONE_AT_A_TIME)
    assert (changes[changes["is primary"]].probability == probability).all()
    ranges = store.read_table(folder / "grid_ranges.csv").set_index("number")
    assert ranges.loc["P(synergy)", "under the default priors"] == probability
    assert ranges.loc["P(synergy)", "prior sets"] == 19  # one of 20 is bad


@pytest.mark.slow
def test_a_bad_fit_is_listed_and_has_no_numbers(written):
    """The last of the batch is the most optimistic belief about effects."""
    folder, _ = written
    grid = store.read_table(folder / "grid.csv")
    bad = grid[grid.verdict == UNRELIABLE]
    assert bad.effects.tolist() == ["optimistic-strong"]
    assert bad.probability.isna().all()
    assert "NaN" not in (folder / ABOUT).read_text(encoding="utf-8")
    part = read_analysis(folder)
    assert "1 of 20 prior sets of the grid: unreliable fit" in part.failed


@pytest.mark.slow
def test_probabilities_have_the_error_of_their_effective_draws(written):
    """p (1 − p) / effective, squared: of counts four effective draws are asked for each of a costly fit."""
    folder, _ = written
    for name in (MULTIVERSE, "grid.csv"):
        table = store.read_table(folder / name)
        own = table[table.probability.between(0.01, 0.99)]
        assert len(own)
        effective = own.probability * (1 - own.probability) / own.mc_error**2
        assert effective.between(900, 70_000).all()


def test_every_depth_is_known():
    assert main(["sensitivity", "isis2", "--depth", "deep"]) == 2
    assert DEPTHS == ("quick", "standard", "full")


def test_the_command_says_what_was_found_and_what_failed(monkeypatch, capsys, tmp_path):
    asked = {}

    def write(name, task, folder):
        asked.update(vars(task), name=name, study=task.study.id, priors=task.priors.name)
        part = Analysis(
            title="Sensitivity",
            study_digest=task.study.digest,
            seed=1,
            findings=("One finding.",),
            sections=(),
            failed=("one fit not trusted",),
        )
        return write_analysis(folder / "sensitivity", part, {}, {}, ["R-hat: 1.2"])

    monkeypatch.setattr(analyses, "write_one", write)
    arguments = ["sensitivity", "isis2", "--depth", "quick", "--quiet"]
    status = main([*arguments, "--out", str(tmp_path), "--seed", "7"])
    assert status == 3
    assert (asked["study"], asked["priors"], asked["fits"]) == ("isis2", "weak", {})
    assert (asked["name"], asked["depth"], asked["seed"]) == ("sensitivity", "quick", 7)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "FAILED CHECKS: do not use these numbers: R-hat: 1.2"
    assert told[2:4] == ["- One finding.", "NOT COMPUTED: one fit not trusted"]
    assert told[-2].endswith("isis2/sensitivity")
    assert told[-1].startswith("to add it to report.html: cotreat report ")


# --- What is said ---------------------------------------------------------------------------------------


def changes(*rows):
    """Make a table of single changes: pair, factor, level, probability; the first row leads."""
    lead = rows[0][3]
    return pd.DataFrame(
        [
            {
                "pair": pair,
                "what changes": factor,
                "to": level,
                "is primary": at == 0,
                "probability": probability,
                "difference": probability - lead,
                "words": "" if np.isfinite(probability) else "the fit is unreliable",
            }
            for at, (pair, factor, level, probability) in enumerate(rows)
        ]
    )


LEAD = ("A:B", SCALE, "multiplicative odds (ror), with no other study drug", 0.8)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((PRIORS, "grid:neutral-strong"), "changes most with the prior: for A with B it goes from 0.800 to 0.980 with beliefs about effects: neutral, strong. Of 2 single changes, judged by the ratio of odds ratios unless the scale changes, 1 is conclusive."),
        ((INTERPRETATION, "as-printed"), "changes most with the interpretation: for A with B it goes from 0.800 to 0.980 under as-printed."),
        ((MODEL, "saturated"), "changes most with the model: for A with B it goes from 0.800 to 0.980 under saturated."),
        ((SCALE, "multiplicative risks (rrr)"), "changes most with the scale of synergy: for A with B it goes from 0.800 to 0.980 if judged as multiplicative risks (rrr)."),
    ],
)  # fmt: skip
def test_what_moves_most_is_named(row, words):
    told = changes(
        LEAD,
        ("A:B", *row, 0.98),
        ("A:B", MODEL, "other", 0.75),
        ("A:B", MODEL, "unreliable", np.nan),
    )
    assert words in sensitivity.change_finding(told)


def test_the_default_prior_is_no_belief():
    told = changes(LEAD, ("A:B", PRIORS, "weak", 0.9))
    assert "goes from 0.800 to 0.900 under weak priors." in sensitivity.change_finding(told)


def test_an_answer_on_another_background_says_so():
    told = changes(LEAD, ("A:B", MODEL, "saturated", 0.9))
    told.loc[1, "words"] = "with C"
    assert "to 0.900 under saturated with C. Of 1" in sensitivity.change_finding(told)


def ranges(*rows):
    columns = ["of_pair", "number", "lowest", "highest", "prior sets", "conclusive"]
    return pd.DataFrame(rows, columns=columns)


def test_the_grid_claims_no_more_sets_than_were_fitted():
    own = ranges(("A:B", "P(synergy)", 0.1, 0.98, 18, 1), ("A:B", "odds ratio", 1.1, 3.0, 18, 2))
    assert sensitivity.grid_finding(own, 19, 1, is_crossed=False) == (
        "Over the 18 of 19 prior sets with a reliable fit (one belief at a time, not crossed) the probability of "
        "synergy ranges: A with B 0.100 to 0.980; conclusive under 1 of 18 (A:B)."
    )
    own["conclusive"] = 0
    assert sensitivity.grid_finding(own, 100, 0, is_crossed=True) == (
        "Over 100 prior sets (beliefs about effects and about interactions crossed) the probability of synergy ranges: "
        "A with B 0.100 to 0.980; conclusive under none of them."
    )


def test_a_family_counts_once_where_prior_and_evidence_are_weighed():
    """Four measures of risks have one sign, and five families stand for all."""
    names = ("ic", "reri_rr", "ap", "s", "reri_or", "ap_or", "ror", "rrr", "bliss", "hsa")
    rows = [
        (f"{name}[A:B]", "not identified", 0.8, 0.3, 0.1 if name != "ror" else 0.4)
        for name in names
    ]
    rows.append(("odds_ratio[A+B vs B]", "identified", np.nan, 0.1, 0.2))
    columns = ["estimand", "status", "probability", "prior", "likelihood"]
    found = sensitivity.scaling_finding(table_of_codes(rows, columns))
    assert found.startswith("4 of 5 measures of synergy")
    assert "0 of the 1 identified odds ratios are" in found


def test_without_a_change_that_can_be_trusted_nothing_is_said():
    assert sensitivity.change_finding(changes(LEAD, ("A:B", MODEL, "unreliable", np.nan))) == ""


def test_the_picture_says_what_has_no_probability(isis2):
    told = changes(
        ("SK:ASA", *LEAD[1:]), ("SK:ASA", SCALE, "multiplicative risks (rrr), with no other study drug", 0.4),
        ("SK:ASA", MODEL, "interaction", 0.8), ("SK:ASA", MODEL, "saturated", np.nan),
    )  # fmt: skip
    table = pd.DataFrame(columns=[*MULTIVERSE_COLUMNS, SCALE], dtype=object)
    with off_screen():
        figure = one_at_a_time(Sensitivity(isis2, told, table))
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [
        "scale of synergy",
        LEAD[2],
        "multiplicative risks (rrr), with no other study drug",
        MODEL,
        "interaction",
        "saturated",
    ]
    assert [text.get_text() for text in axes.texts] == ["unreliable fit"]
    marks = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert 0.4 in marks


def test_what_was_not_computed_is_said_once_for_a_model_of_a_reading():
    rows = [
        ("exchangeable", "odds-ratios", "weak", 0.4, "good"),
        ("exchangeable", "odds-ratios", "grid:neutral-strong", 0.8, UNRELIABLE),
        ("exchangeable", "four-set-products", "weak", 0.4, UNRELIABLE),
        ("interaction", "four-set-products", "weak", np.nan, "good"),
        ("saturated", "four-set-products", "weak", 0.9, UNRELIABLE),
    ]
    untried = [("exchangeable", "four-set-products"), ("interaction", "four-set-products")]
    table = pd.DataFrame(rows, columns=["model", "interpretation", "priors", "pareto_k", "verdict"])
    assert list(sensitivity.unreliable_fits(table, untried)) == [
        "exchangeable, interpretation odds-ratios: 1 of 2 fits unreliable (Pareto k up to 0.80)",
        "exchangeable, interpretation four-set-products: 1 of 1 fits unreliable (modes found only once); other priors "
        "not fitted, because the batch is unreliable",
        "interaction, interpretation four-set-products: other priors not fitted, because the batch is unreliable",
        "saturated, interpretation four-set-products: 1 of 1 fits unreliable (Pareto k up to 0.90)",
    ]


def test_a_contradicted_reading_is_left_aside():
    tails = {"one": float("nan"), "two": 0.004, "three": 0.03}
    assert names_of(Conflict(*one) for one in tails.items()) == ("two",)
    changes = pd.DataFrame(
        [
            ("A:B", "interpretation", "one", True, 0.5, 0.0),
            ("A:B", "interpretation", "two", False, 0.99, 0.49),
            ("A:B", "interpretation", "three", False, 0.7, 0.2),
        ],
        columns=["pair", "what changes", "to", "is primary", "probability", "difference"],
    ).assign(words="")
    said = sensitivity.change_finding(changes, ["two"])
    assert "goes from 0.500 to 0.700 under three" in said
    assert "none is conclusive; two left out" in said
    assert "to 0.990 under two" in sensitivity.change_finding(changes)


def test_quick_starts_from_the_reading_that_is_asked_for():
    study = load_study("sun2024").resolve("abstract-wording")
    held = fits.Answers.of(Task(study, {}, prior_set("weak", study), "quick", 1))
    plan = fits.plan_fits(held)
    assert {one.study.interpretation for one in plan.multiverse} == {"abstract-wording"}
    assert {one.model for one in plan.multiverse} == set(held.models)
    leading = [one for one in plan.multiverse if one.model == held.models[0]]
    assert len(leading) > 3  # under the priors of the analysis, and under others
