"""The bias part, and its four-cell tables."""

import numpy as np
import pandas as pd
import pytest

from cotreat import load_study, parse_study
from cotreat.evidence.resolve import resolve
from cotreat.models.registry import MODELS
from cotreat.priors.sets import prior_set
from cotreat.report.four_cells import write_four_cells
from cotreat.report.sections import TEXTS
from cotreat.results import four_cells, store
from cotreat.results.four_cells import CELL, EFFECT, INTERACTION, MARK, FourCells
from cotreat.results.summary import summarise
from cotreat.results.supplementary import Task, read_analysis
from cotreat.workflow.analyses import write_one
from tests.codes import codes
from tests.conftest import THREE, THREE_CELLS, arms
from tests.shared import draws_of as fit
from tests.test_summary import draws, random_risks

ISIS2 = {"none": 568 / 4300, "SK": 448 / 4300, "ASA": 461 / 4295, "SK+ASA": 343 / 4292}


def summary_at(study, model, risk):
    """Summarise a posterior that is one point, and so has the proportions' own measures."""
    risk_draws = draws(np.tile([risk[arm] for arm in study.regimens], (4, 1)), study.regimens)
    labels = {"model": model, "priors": "weak", "interpretation": study.interpretation}
    with np.errstate(divide="ignore", invalid="ignore"):
        return summarise(
            study,
            MODELS[model],
            resolve(study),
            prior=random_risks(study.regimens),
            posterior=risk_draws,
            likelihood=None,
            labels=labels,
        )


def number(one, part, quantity, of):
    rows = one.rows
    (row,) = rows[(rows.part == part) & (rows.quantity == quantity) & (rows.of == of)].itertuples()
    return row.estimate


def test_four_cells_of_isis2():
    """Ratios of the printed counts, and the measures of facts computed from them: 0.00049 and 0.9453."""
    study = load_study("isis2")
    (one,) = four_cells.tables(study, summary_at(study, "interaction", ISIS2))
    assert (one.first, one.second, one.co_treatment) == ("streptokinase", "aspirin", "none")
    assert number(one, CELL, "risk", "ASA") == pytest.approx(461 / 4295)
    assert number(one, CELL, "risk_ratio", "SK+ASA vs none") == pytest.approx(
        343 * 4300 / (4292 * 568)
    )
    assert number(one, EFFECT, "odds_ratio", "SK+ASA vs ASA") == pytest.approx(
        343 * (4295 - 461) / (461 * (4292 - 343))
    )
    assert number(one, EFFECT, "risk_difference", "SK+ASA vs SK") == pytest.approx(
        343 / 4292 - 448 / 4300
    )
    assert number(one, INTERACTION, "ic", "SK:ASA") == pytest.approx(0.00049, abs=5e-6)
    assert number(one, INTERACTION, "ror", "SK:ASA") == pytest.approx(0.9453, abs=5e-5)
    counts = one.rows[(one.rows.part == CELL) & (one.rows.quantity == "risk")]
    assert list(zip(counts.events, counts.n, strict=True)) == [
        (568, 4300),
        (448, 4300),
        (461, 4295),
        (343, 4292),
    ]


def test_four_cells_as_in_print():
    study = load_study("isis2")
    (one,) = four_cells.tables(study, summary_at(study, "interaction", ISIS2))
    shown = one.arranged().set_index("stratum")
    assert shown.loc["without aspirin", "risk ratio without streptokinase"] == "1 (reference)"
    assert shown.loc["with aspirin", "risk ratio with streptokinase"].startswith("0.605 ")
    assert shown.loc["with aspirin", "effect of streptokinase: risk ratio"].startswith("0.745 ")
    assert shown.loc["effect of aspirin: risk ratio", "risk ratio with streptokinase"].startswith(
        "0.767 "
    )
    assert shown.loc["without aspirin", "events/n with streptokinase"] == "448/4300"
    # 461/4295 less 568/4300, and 343/4292 less 448/4300.
    differences = shown.loc["effect of aspirin: risk difference"]
    assert differences["risk without streptokinase"].startswith("-0.0248 ")
    assert differences["risk with streptokinase"].startswith("-0.0243 ")
    additive, multiplicative = one.in_words()
    assert "interaction contrast of risks 0.000489 (" in additive
    assert "ratio of odds ratios 0.945 (" in multiplicative


def test_four_cells_of_case_control_studies_are_odds_ratios():
    """Of oral cancer exp(1.20397) = 10/3 and the ratio of odds ratios 0.9149 in print."""
    study = load_study("oral-cancer")
    risk = dict(zip(study.counted, study.events / study.n, strict=True))
    (one,) = four_cells.tables(study, summary_at(study, "interaction", risk))
    assert not one.has_risks
    assert number(one, CELL, "odds_ratio", "ALC vs none") == pytest.approx(
        np.exp(1.20397), rel=1e-5
    )
    assert number(one, INTERACTION, "ror", "ALC:SMK") == pytest.approx(0.9149, abs=5e-5)
    assert set(one.rows.quantity) == {"risk", "odds_ratio", "reri_or", "ror"}
    assert not any("risk" in name for name in one.arranged())


def test_printed_odds_ratios_are_shown_as_such():
    study = load_study("sun2024")
    ratios = {"TAC": 1.9, "CYC": 0.9, "TAC+CYC": 2.5}
    rows = pd.DataFrame(
        [(four_cells.RISK, arm, 0.2) for arm in ("none", *ratios)]
        + [(four_cells.ODDS_RATIO, f"{arm} vs none", value) for arm, value in ratios.items()]
        + [(four_cells.ODDS_RATIO, "TAC+CYC vs CYC", 2.15)],
        columns=["quantity", "of", "estimate"],
    ).assign(part=CELL, n=None, lower=np.nan, upper=np.nan, status="identified")
    rows.loc[rows.of.str.contains("vs CYC"), "part"] = EFFECT
    cells = ("none", "TAC", "CYC", "TAC+CYC")
    one = FourCells(
        "TAC:CYC", "tacrolimus", "cyc", "none", rows, True, four_cells.ratio_of(study), cells
    )
    shown = one.arranged().set_index("stratum")
    assert shown.loc["with cyc", "odds ratio with tacrolimus"] == "2.5"
    assert shown.loc["with cyc", "effect of tacrolimus: odds ratio"] == "2.15"
    assert not any("risk ratio" in name or "events" in name for name in shown)
    assert one.lowest == "CYC"
    assert (
        four_cells.adjusted_for(study)
        == "The covariates of the adjusted reported estimates are not reported."
    )
    assert four_cells.adjusted_for(load_study("sun2024-synthetic")).startswith("Adjusted for age")


def test_without_four_cells_the_long_table_is_empty():
    table = four_cells.long_table([])
    assert table.empty
    assert set(four_cells.COLUMNS) < set(table)


def test_extrapolated_cells_are_marked():
    study = parse_study(THREE + arms(THREE_CELLS))  # nobody was on none of the drugs
    risk = {arm: 0.2 + 0.03 * at for at, arm in enumerate(study.regimens)}
    found = four_cells.tables(study, summary_at(study, "interaction", risk))
    assert [(one.pair, one.co_treatment) for one in found][:2] == [("A:B", "none"), ("A:B", "C")]
    empty, counted = found[:2]
    assert empty.has_unidentified
    assert empty.arranged().loc[0, "risk without drug A"].endswith(MARK)
    assert not empty.arranged().loc[0, "risk with drug A"].endswith(MARK)
    assert not counted.has_unidentified


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The part of a small cohort at the least depth."""
    study = parse_study(THREE + arms(THREE_CELLS))
    tree = fit(study, "interaction", engine="laplace", draws=1000)
    folder = tmp_path_factory.mktemp("results") / "three"
    weak = prior_set("weak", study)
    write_one(
        "bias", Task(study, {("interaction", study.interpretation): tree}, weak, "quick", 1), folder
    )
    return study, folder / "bias"


@pytest.mark.slow
def test_part_of_a_cohort(written):
    study, folder = written
    part = read_analysis(folder)
    assert part.study_digest == study.digest
    assert part.failed == ()
    assert 1 <= len(part.findings) <= 3
    for section in part.sections:
        assert not section.table or len(store.read_table(folder / section.table))
        assert section.words
    assert (folder / "tipping.png").stat().st_size > 10_000
    points = store.read_table(folder / "tipping_points.csv")
    grid = store.read_table(folder / "tipping.csv")
    assert len(grid) == 9 * len(set(points.label))
    unbiased = grid[(grid.single_factor == 1) & (grid.product_factor == 1)]
    assert not unbiased.is_overturned.any()
    assert grid.probability.notna().all()
    assert set(store.read_table(folder / "confounding_priors.csv").variable) == {
        "bias_beta",
        "bias_gamma",
    }


@pytest.mark.slow
def test_decided_numbers_widen_when_confounding_is_allowed_for(written):
    table = store.read_table(written[1] / "confounding.csv")
    table = table[codes(table).str.startswith("odds_ratio")]
    ratios = {
        word: np.log((own.upper / own.lower).to_numpy(float))
        for word, own in table.groupby("confounding")
    }
    assert len(ratios["none"])
    assert (ratios["plausible"] > ratios["none"]).all()


def test_a_part_of_a_fit_that_failed_says_so(tmp_path):
    study = load_study("isis2")
    few = fit(
        study, "additive", draws=50, tune=200, seed=1
    )  # too few for any effective sample size
    weak = prior_set("weak", study)
    write_one(
        "bias", Task(study, {("additive", study.interpretation): few}, weak, "quick", 1), tmp_path
    )
    failed = read_analysis(tmp_path / "bias").failed_checks
    assert any(line.startswith("bulk ESS") for line in failed)
    above = (tmp_path / "bias" / "four_cells.csv").read_text(encoding="utf-8").splitlines()[0]
    assert above.startswith("# FAILED CHECK: ")


@pytest.mark.slow
def test_part_of_a_randomised_study_says_what_does_not_apply(tmp_path):
    study = load_study("isis2")
    write_one("bias", Task(study, {}, prior_set("weak", study), "quick", 1), tmp_path)
    part = read_analysis(tmp_path / "bias")
    assert part.sections[0].words == (" ".join(TEXTS["bias"]["randomised"]["words"].split()),)
    assert len(part.sections) == 1
    assert "was randomised" in part.findings[0]
    assert not list((tmp_path / "bias").glob("e_values*"))


# --- Four-cell tables in the report ----------------------------------------------------------------


def test_the_four_cells_of_each_pair_are_written(tmp_path):
    study = load_study("isis2")
    folder = write_four_cells(study, summary_at(study, "interaction", ISIS2), tmp_path)
    found = read_analysis(folder)
    assert found.study_digest == study.digest
    (pair,) = found.sections
    assert store.read_table(folder / pair.table).shape == (4, 9)
    # 343 of 4,292 is the lowest of the four shares.
    assert pair.words[0].endswith("as reference; here that is SK+ASA. Unadjusted.")
