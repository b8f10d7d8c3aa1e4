"""S1: Laplace's approximation finds every mode of a posterior from reported estimates with unknown sizes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from cotreat import load_study, parse_study
from cotreat.evidence.resolve import resolve
from cotreat.inference import batch, laplace
from cotreat.inference.batch import Specification, fit_many

CASES = Path(__file__).parents[1] / "cases"
TWO_SIZES = CASES / "two-sizes.toml"
SMC_PROBABILITY = 0.995
"""P(ROR < 1) of two-sizes.toml by four runs of sequential Monte Carlo: `fit_model(engine="smc")`."""
HEAD = """
format = 1
study = { id = "made", title = "Made", design = "cohort", source = "made up" }
outcome = { name = "y", direction = "harm" }
treatments = { A = { name = "a" }, B = { name = "b" } }
"""
NO_SPREADS = np.array([], dtype=int)


def probability(answer):
    """Return P(synergy), that the ratio of odds ratios is below 1."""
    risk = answer.risk_draws["risk"].isel(chain=0)
    none, a, b, both = (
        np.log(p / (1 - p)) for p in (risk.sel(arm=arm).values for arm in ("none", "A", "B", "A+B"))
    )
    return float((both - a - b + none < 0).mean())


def patients_on_none(answer):
    """Return the posterior median number of patients on no treatment."""
    size = answer.risk_draws["size"].isel(chain=0)
    return float(size.sel(present="none").median())


def fitted(seed):
    """Fit two-sizes.toml by Laplace's approximation."""
    study = load_study(TWO_SIZES)
    (answer,) = fit_many([Specification(study, "interaction")], seed=seed, processes=1)
    return answer


@pytest.mark.slow
def test_s1_every_seed_gives_the_same_posterior():
    answers = [fitted(seed) for seed in (1, 2, 3, 4)]
    logs = [answer.log_evidence for answer in answers]
    assert max(logs) - min(logs) < 0.3
    for answer in answers:
        assert answer.verdict != laplace.UNRELIABLE
        assert probability(answer) == pytest.approx(SMC_PROBABILITY, abs=0.02)
        assert patients_on_none(answer) == pytest.approx(375, rel=0.2)


@pytest.mark.slow
def test_s1_a_fit_that_is_not_good_is_repeated_by_sequential_monte_carlo(monkeypatch, capsys):
    from cotreat.inference import tempering

    # Without the solution with 375 patients on no treatment, and with a search that finds nothing.
    def unreliable(*arguments, search=None, **settings):  # noqa: ARG001
        found = own(*arguments, **settings)
        return laplace.replace(found, is_searched=False)

    own = laplace.approximate
    monkeypatch.setattr(laplace, "approximate", unreliable)
    monkeypatch.setattr(tempering, "sample", partial(tempering.sample, particles=300))
    answer = fitted(3)
    assert (answer.engine, answer.verdict) == (batch.SMC, laplace.GOOD)
    assert "1 of 1 fits by Laplace's approximation were not good" in capsys.readouterr().err
    assert probability(answer) == pytest.approx(SMC_PROBABILITY, abs=0.02)
    assert np.isnan(answer.pareto_k)


# --- The equations of the sizes --------------------------------------------------------------------


def reported(contrasts, n, events, *, with_events=True, digits=6):
    """Publish counts: the odds ratio of each pair of arms with its Wald interval, and the totals."""
    total = f"n = {sum(n)}" + (f", events = {sum(events)}" if with_events else "")
    text = f'{HEAD}totals = [{{ patients = "all", {total} }}]\n'
    arms = ("none", "A", "B", "A+B")
    for contrast in contrasts:
        at = [arms.index(arm) for arm in contrast.split(" vs ")]
        odds = [events[i] / (n[i] - events[i]) for i in at]
        error = np.sqrt(sum(1 / events[i] + 1 / (n[i] - events[i]) for i in at))
        lower, value, upper = odds[0] / odds[1] * np.exp(1.959964 * error * np.array([-1, 0, 1]))
        text += (
            f'[[reported]]\nid = "{contrast}"\nkind = "odds_ratio"\ncontrast = "{contrast}"\n'
            f"value = {value:.{digits}f}\nci = [{lower:.{digits}f}, {upper:.{digits}f}]\n"
            'level = 0.95\nadjusted = false\nsource = "made up"\n'
        )
    (evidence,) = resolve(parse_study(text))
    return evidence.reported


STAR = ("A vs none", "B vs none", "A+B vs none")


def starts_of(estimates):
    from cotreat.evidence.size_equations import size_starts

    return size_starts(estimates, estimates.data, np.random.default_rng(1))


@pytest.mark.parametrize("n", [(367, 350, 1700, 1692), (900, 120, 300, 80)])
def test_s1_the_true_sizes_are_among_the_solutions(n):
    events = [int(share * size) for share, size in zip((0.3, 0.35, 0.3, 0.25), n, strict=True)]
    found = starts_of(reported(STAR, n, events))
    assert found.is_complete
    assert len(found.sizes) < 5
    off = np.abs(found.sizes / np.array(n) - 1).max(1)
    assert off.min() < 0.01
    np.testing.assert_allclose(found.sizes.sum(1), sum(n))


def test_s1_one_free_information_is_scanned_and_two_are_drawn():
    n, events = (367, 350, 1700, 1692), (110, 120, 500, 430)
    scanned = starts_of(reported(STAR, n, events, with_events=False))
    assert scanned.is_complete
    assert len(scanned.sizes) > 5
    drawn = starts_of(reported(STAR[:2], n, events))
    assert not drawn.is_complete
    assert len(drawn.sizes) == 20


def test_s1_only_unknown_sizes_are_searched():
    rng = np.random.default_rng(1)
    text = (
        HEAD
        + "arms = ["
        + ", ".join(
            f'{{ regimen = "{arm}", n = 50, events = 20 }}' for arm in ("none", "A", "B", "A+B")
        )
    )
    for study in (parse_study(text + "]"), load_study("isis2"), load_study("oral-cancer")):
        assert all(item.size_starts({}, rng) is None for item in resolve(study))


# --- The search for modes --------------------------------------------------------------------------


def two_modes(share, centres, sds):
    """Return the log density of two normals in three dimensions, whose integral is e^−3."""
    laws = [
        stats.multivariate_normal(np.full(3, c), sd**2) for c, sd in zip(centres, sds, strict=True)
    ]
    logs = np.log([share, 1 - share]) - 3

    def surface(points):
        return logsumexp(
            [a + law.logpdf(points) for a, law in zip(logs, laws, strict=True)], axis=0
        )

    return surface


def approximated(surface, search, seed):
    start = np.zeros(3)
    return laplace.approximate(surface, start, NO_SPREADS, effective=2000, seed=seed, search=search)


def search(starts, *, is_complete):
    from cotreat.inference.modes import Search

    return Search(np.asarray(starts, float), np.array([0]), is_complete, np.full(3, 2.0))


@pytest.mark.parametrize("seed", [1, 2])
def test_s1_known_masses_of_two_modes(seed):
    # The mode at 0 has 3 % of the mass and is wide, so that points of the prior lead to it.
    surface = two_modes(0.97, (5.0, 0.0), (0.1, 0.7))
    alone = approximated(surface, None, seed)
    assert alone.log_evidence == pytest.approx(-3 + np.log(0.03), abs=0.1)  # what S1 describes
    found = approximated(surface, search([[4.9, 5.2, 5.1]], is_complete=True), seed)
    assert found.log_evidence == pytest.approx(-3, abs=0.05)
    assert found.weights[found.points[:, 0] > 2.5].sum() == pytest.approx(0.97, abs=0.01)
    assert found.verdict == laplace.GOOD


@pytest.mark.parametrize("seed", [1, 2])
def test_s1_sequential_monte_carlo_finds_a_mode_that_no_start_leads_to(seed):
    surface = two_modes(0.6, (3.5, 0.0), (0.3, 0.7))
    found = approximated(surface, search([[0.5, 0.5, 0.5]], is_complete=False), seed)
    assert found.log_evidence == pytest.approx(-3, abs=0.05)
    assert found.weights[found.points[:, 0] > 2].sum() == pytest.approx(0.6, abs=0.03)
    assert found.is_searched


def test_s1_sequential_monte_carlo_weighs_two_modes():
    from cotreat.inference import tempering

    surface = two_modes(0.6, (3.5, 0.0), (0.3, 0.7))
    rng = np.random.default_rng(1)
    sample = tempering.sample(surface, np.zeros(3), np.full(3, 2.0), rng, particles=400)
    assert sample.is_stable
    assert sample.log_evidence == pytest.approx(-3, abs=0.1)
    assert (sample.points[..., 0] > 2).mean() == pytest.approx(0.6, abs=0.04)
