"""The tacrolimus cohort: what the issue that built it promised of its default reading, and of others."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cotreat import audit, load_study
from cotreat.audit.audit import audit as audit_of
from cotreat.core.constants import INCOMPATIBLE_BELOW
from cotreat.diagnostics.checks import FAIL, agreement, checks, failures
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import is_beyond_null, risk_draws_of
from cotreat.estimands.identification import Identification
from cotreat.evidence.resolve import resolve
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.inference.sampling import fit_of, log_evidence, temper
from cotreat.models.registry import MODELS, is_on_request
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.results.summary import REPORTED, summarise
from cotreat.study_file.reader import parse_study
from cotreat.workflow.reanalyse import plan
from tests.codes import by_code, code
from tests.shared import fit

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "sun2024"
READINGS = (
    "odds-ratios",
    "four-set-products",
    "mutually-adjusted-products",
    "abstract-wording",
)
OBSERVED = {
    "odds_ratio[MMF vs CYC]",
    "odds_ratio[TAC+CYC vs CYC]",
    "odds_ratio[TAC+MMF vs CYC]",
    "odds_ratio[TAC+CYC vs MMF]",
    "odds_ratio[TAC+MMF vs MMF]",
    "odds_ratio[TAC+MMF vs TAC+CYC]",
    "odds_ratio[TAC vs not TAC]",
    "effect_ratio[TAC: CYC vs MMF]",
}

pytestmark = pytest.mark.filterwarnings("error")

COMBINING = [model for model in MODELS if not is_on_request(model)]
"""Models of how treatments combine; others ask questions of their own."""


@pytest.fixture(scope="module")
def study():
    return load_study("sun2024")


@pytest.fixture(scope="module")
def sampled(study):
    """Fits under the default interpretation, by Laplace's approximation."""
    return cache(lambda model: fit(study, model, engine="laplace", draws=1000))


@pytest.fixture(scope="module")
def walked(study):
    """The same by NUTS."""
    return cache(lambda model: fit(study, model))


@pytest.fixture(scope="module")
def beside(study, walked):
    return temper(walked("exchangeable"), study, "exchangeable", prior_set("weak", study))


def table(study, model, tree):
    return summarise(
        study,
        MODELS[model],
        resolve(study),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=risk_draws_of(tree["posterior"].to_dataset()),
        likelihood=None,
        labels={"model": model, "priors": "weak", "interpretation": study.interpretation},
    )


@pytest.mark.long
@pytest.mark.parametrize("model", COMBINING)
def test_default_reading_passes_every_check_under_every_model(study, walked, model):
    checked = checks(fit_of(study, MODELS[model], walked(model)))
    assert failures(checked) == []
    assert {"R-hat", "bulk ESS", "tail ESS", "ESS of probabilities", "divergences"} <= set(
        checked.check
    ) | ({"ESS of probabilities"} if model == "additive" else set())


def read_identified(model):
    """Read the odds ratios that the kept fit of a model has as identified."""
    table = store.read_table(RESULTS / f"{model}--weak--{READINGS[0]}" / store.IDENTIFICATION_TABLE)
    (listed,) = table[table.status == "identified"].which
    return {
        f"{'effect_ratio' if ':' in name else 'odds_ratio'}[{name}]" for name in listed.split(", ")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        *("exchangeable", "interaction"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("saturated", "additive")),
    ],
)
def test_exactly_the_compared_regimens_are_observed(study, sampled, model):
    risk_draws = risk_draws_of(sampled(model)["posterior"].to_dataset())
    identification = Identification(study, MODELS[model], risk_draws, resolve(study))
    found = {
        code(e)
        for e in enumerate_estimands(study, MODELS[model], resolve(study))
        if identification.of(e).name == "identified"
    }
    assert read_identified(model) == OBSERVED
    # Without interaction the model itself fixes the ratio of two effects.
    fixed = {"effect_ratio[TAC: CYC vs MMF]"} if model == "additive" else set()
    assert found == OBSERVED - fixed


@pytest.mark.slow
def test_posterior_lies_where_the_prototypes_had_it(sampled):
    # Prototypes of the design: CYC 0.24, MMF 0.19, TAC+CYC 0.42, TAC+MMF 0.41; posterior SDs are
    # 0.03 to 0.06.
    risk = sampled("exchangeable")["posterior"]["risk"].mean(("chain", "draw"))
    expected = {"CYC": 0.24, "MMF": 0.19, "TAC+CYC": 0.42, "TAC+MMF": 0.41}
    for arm, value in expected.items():
        assert float(risk.sel(arm=arm)) == pytest.approx(value, abs=0.03)


@pytest.mark.slow
def test_totals_hold_in_every_draw(study, sampled):
    size = sampled("exchangeable")["posterior"]["size"]
    for total in study.totals:
        inside = study.members(total.patients, study.present)
        summed = size.isel(present=np.flatnonzero(inside)).sum("present")
        assert np.allclose(summed, total.n)


@pytest.mark.slow
def test_posterior_of_printed_odds_ratios_lies_within_print(study, sampled):
    rows = table(study, "exchangeable", sampled("exchangeable"))
    as_reported = rows[rows.estimator == REPORTED].pipe(by_code)
    posterior = rows[rows.estimator == "posterior"].pipe(by_code)
    assert len(as_reported) == 5
    for name, row in as_reported.iterrows():
        median = posterior.loc[name].estimate
        assert row.lower < median < row.upper
        # No prior of ratio 1 with SD 1 or 1.4 moves it by more than this share of the interval.
        width = np.log(row.upper / row.lower)
        assert abs(np.log(median / row.estimate)) < 0.2 * width


@pytest.mark.long
def test_smc_agrees_with_nuts_on_the_default_reading(study, walked, beside):
    rows = agreement(fit_of(study, MODELS["exchangeable"], walked("exchangeable")), beside)
    assert [row["verdict"] for row in rows] == ["pass", "pass"], rows


@pytest.mark.long
def test_log_evidence_of_the_default_reading(beside):
    # Three independent prototypes gave -6.6 to -6.7 by random walk and Hamiltonian moves.
    assert log_evidence(beside) == pytest.approx(-6.6, abs=0.3)
    assert float(beside["sample_stats"]["evidence_moved"]) <= 0.3


@pytest.mark.long
def test_weights_and_sequential_monte_carlo_find_the_same_log_evidence(study, walked, beside):
    model = MODELS["exchangeable"]
    own = priors_for(prior_set("weak", study), model, study)
    posterior = walked("exchangeable")["posterior"].to_dataset()
    whole = Marginals(study, model, own, posterior, seed=1).whole
    assert whole.verdict != "unreliable"
    assert whole.log_evidence == pytest.approx(log_evidence(beside), abs=0.1)


@pytest.mark.slow
def test_synergy_is_little_more_than_its_prior(study, sampled):
    tree, model = sampled("exchangeable"), MODELS["exchangeable"]
    after, before = (risk_draws_of(tree[g].to_dataset()) for g in ("posterior", "prior"))
    for e in enumerate_estimands(study, model, resolve(study)):
        if code(e) in ("ror[TAC:CYC]", "ror[TAC:MMF]"):
            moved = is_beyond_null(e, after).mean() - is_beyond_null(e, before).mean()
            assert abs(float(moved)) < 0.25


def test_audit_says_what_the_print_carries(study):
    text = audit(study)
    for words in (
        "log 0.7655, SE 0.3193, Wald p 0.0165",
        "tac-mmf-vs-mmf follows from tac-cyc-vs-cyc, tac-mmf-vs-cyc, tac-cyc-vs-mmf: implied 3.549",
        "p-tac-cyc (p = 0.043) is the Wald p-value of no reported odds ratio",
        "tac-mmf-vs-cyc (2.43 (1.20 to 4.92)) may mean: odds ratio, TAC+MMF vs CYC",
        "product term, TAC × MMF (abstract-wording)",
        "immortal time",
    ):
        assert words in text, words
    assert re.search(r"none +empty by design", text)
    start, end = "  odds ratios of two regimens: ", ": identified"
    (line,) = [one for one in text.splitlines() if one.startswith(start) and one.endswith(end)]
    ratio, of_one = "odds ratio, ", "ratio of odds ratios of one treatment, "
    labels = {
        one.removesuffix("]").replace("odds_ratio[", ratio).replace("effect_ratio[", of_one)
        for one in OBSERVED
    }
    assert set(line.removeprefix(start).removesuffix(end).split("; ")) == labels


def test_the_record_of_an_audit_names_what_is_identified_and_what_would_help(study):
    record = audit_of(study)
    assert set(record.identified["kind of number"]) == {"odds ratios of two regimens"}
    assert "risks" in set(record.not_identified["kind of number"])
    assert record.rank == (5, 6)
    assert [one.name for one in record.dependences] == ["tac-mmf-vs-mmf"]
    assert set(record.helpful) == set(study.present) - set(study.counted)
    assert audit_of(load_study("isis2")).helpful == ()


def test_plan_runs_the_leader_under_every_reading_and_the_others_under_the_default(study):
    models = COMBINING
    pairs = plan(study, models, (), ())
    assert pairs == [
        *(("exchangeable", interpretation) for interpretation in READINGS),
        *((model, READINGS[0]) for model in models[1:]),
    ]
    assert plan(study, ["additive"], ["additive"], ()) == [("additive", READINGS[0])]
    assert plan(study, models, (), ["all"]) == pairs[:4]
    # The default reading is what the others are compared with, so it is run before them.
    asked = plan(study, models, (), [READINGS[2], READINGS[0]])
    assert asked == [("exchangeable", READINGS[0]), ("exchangeable", READINGS[2])]


def test_audit_takes_products_about_counted_patients():
    text = """
format = 1
study = { id = "six", title = "six", design = "cohort", source = "s", inclusion = "any(A, B, C)" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a" }, B = { name = "b" }, C = { name = "c" } }
arms = [
  { regimen = "A", n = 50, events = 18 },
  { regimen = "B", n = 80, events = 20 },
  { regimen = "C", n = 90, events = 21 },
  { regimen = "A+B", n = 60, events = 28 },
  { regimen = "A+C", n = 60, events = 28 },
  { regimen = "B+C", n = 60, events = 18 },
]
[[reported]]
id = "both"
kind = "odds_ratio"
contrast = "A x B | A x C"
value = 1.5
ci = [0.8, 2.8]
source = "Table 2"
"""
    assert re.search(
        r"both +product term, adjusted for another, A × B given A × C +1\.5 ",
        audit(parse_study(text)),
    )


def test_report_shows_the_audit_of_the_default_reading():
    page = (RESULTS / "report.html").read_text(encoding="utf-8")
    assert "Reported estimates, interpretation odds-ratios:" in page
    assert "Reported estimates, interpretation four" not in page


def results(interpretation):
    return RESULTS / f"exchangeable--weak--{interpretation}"


@pytest.mark.parametrize("interpretation", READINGS)
def test_every_reading_in_results_passed_its_own_checks(interpretation):
    checks = store.read_table(results(interpretation) / store.CHECKS)
    assert FAIL not in set(checks.verdict)
    info = store.read_info(results(interpretation))
    assert info["interpretation"] == interpretation
    if interpretation != READINGS[0]:
        assert info["engine"] == "smc"
        assert {"log evidence, moves doubled", "P(synergy), moves doubled"} <= set(checks.check)


def test_four_set_products_are_contradicted_and_the_arm_that_causes_it_is_shown():
    conflict = {r: store.read_info(results(r))["conflict"] for r in READINGS}
    assert conflict["four-set-products"]["tail"] < INCOMPATIBLE_BELOW
    assert (
        "incompatible with the other reported estimates" in conflict["four-set-products"]["heading"]
    )
    for interpretation in READINGS[1:]:
        assert conflict[interpretation]["predictions"]
    sizes = store.read_info(results("four-set-products"))["sizes"]
    assert any(line.startswith("CYC+MMF: ") for line in sizes)
