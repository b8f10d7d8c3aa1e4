"""Reporting checklists, filled from what the folders of a study hold; what they do not answer stays open.

BARG: Kruschke, Nat Hum Behav 2021;5:1282, six steps after a preamble. ROBUST: Sung et al., J Clin Epidemiol
2005;58:261, seven items. What is asked is said in our words.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cotreat import store
from cotreat.catalogue import described, rank
from cotreat.engines import LIBRARIES
from cotreat.parts import ABOUT, COMPARISON, SENSITIVITY, PartError, read_part

BARG, ROBUST = "BARG", "ROBUST"
UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Item:
    """One question of a checklist.

    Attributes
    ----------
    checklist : str
        `BARG` or `ROBUST`.
    step : str
        The step it belongs to, such as ``1 Explain the model``.
    asks : str
    answer : str
        Empty where nothing in the folders answers it.
    where : str
        Files that show it, below the study's folder.
    """

    checklist: str
    step: str
    asks: str
    answer: str = ""
    where: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether the folders answer it."""
        return bool(self.answer)


@dataclass(frozen=True)
class _Fit:
    """One fit's folder."""

    folder: Path
    info: dict[str, Any]

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def told(self, *names: str) -> str:
        return ", ".join(f"{self.folder.name}/{name}" for name in names if self.has(name))


class _Folder:
    """What a study's folder holds: fits that saw the newest evidence, and parts about the same."""

    def __init__(self, place: Path) -> None:
        found = [
            _Fit(path.parent, store.read_info(path.parent))
            for path in sorted(place.glob(f"[!.]*/{store.INFO}"))
        ]
        if not found:
            raise FileNotFoundError(f"{place} holds no fit")
        digest = max(found, key=lambda fit: fit.info["created"]).info["study_digest"]
        own = [fit for fit in found if fit.info["study_digest"] == digest]
        self.fits = sorted(own, key=lambda fit: rank(fit.info["model"]))
        self.parts = {
            path.parent.name
            for path in place.glob(f"[!.]*/{ABOUT}")
            if _digest_of(path.parent) == digest
        }
        self.place = place

    @property
    def priors(self) -> list[dict[str, Any]]:
        """Rows of the priors of all fits, one for each variable and numbers."""
        rows = (row for fit in self.fits for row in fit.info["prior_rows"])
        return list({(row["variable"], row["mu"], row["sigma"]): row for row in rows}.values())

    @property
    def models(self) -> list[str]:
        """Names of the models that were fitted."""
        return list(dict.fromkeys(fit.info["model"] for fit in self.fits))

    def file(self, part: str, *names: str) -> str:
        """Name those files of a part that are there."""
        if part not in self.parts:
            return ""
        return ", ".join(f"{part}/{n}" for n in names if (self.place / part / n).exists())

    def shows(self, *names: str) -> str:
        """Name the first fit that holds some files, and which of them."""
        return next(filter(None, (fit.told(*names) for fit in self.fits)), "")


def _digest_of(folder: Path) -> str:
    try:
        return read_part(folder).study_digest
    except PartError:
        return ""


def items(place: Path) -> tuple[Item, ...]:
    """Fill both checklists from ``results/STUDY``.

    Raises
    ------
    FileNotFoundError
        If there is no fit.
    """
    held = _Folder(place)
    return (*_barg(held), *_robust(held))


def table(found: Sequence[Item]) -> pd.DataFrame:
    """Return items as a table, one row each; what is not answered says so."""
    return pd.DataFrame(
        [
            {
                "checklist": one.checklist,
                "step": one.step,
                "asks": one.asks,
                "answer": one.answer or UNANSWERED,
                "where": one.where,
            }
            for one in found
        ]
    )


# --- Answers: words and where they stand, both empty where there are none ------------------------------

Answer = tuple[str, str]
NONE: Answer = ("", "")


def _given(where: str, words: str) -> Answer:
    """Answer by something that is there."""
    return (words, where) if where else NONE


def _goal(held: _Folder) -> Answer:
    title = held.fits[0].info.get("title", "")
    return (f"how the treatments combine: {title}", "") if title else NONE


def _likelihood(held: _Folder) -> Answer:
    told = "; ".join(f"{name}: {described(name).predictor}" for name in held.models)
    return (
        f"log-odds η of each regimen: {told}. Events of counts are binomial; printed numbers are jointly normal",
        "",
    )


def _priors(held: _Folder) -> Answer:
    rows = held.priors
    return (
        f"{len(rows)} rows: distribution and numbers of every parameter",
        held.shows(store.INFO),
    )


def _reasons(held: _Folder) -> Answer:
    rows = held.priors
    if not all(row["reason"] for row in rows):
        return NONE
    nobody = [row["variable"] for row in rows if row["chosen by"] == "default"]
    words = f"each row has its reason; chosen by nobody, defaults: {', '.join(nobody)}"
    return (words, held.shows(store.INFO))


def _sensitivity(held: _Folder) -> Answer:
    where = held.file(SENSITIVITY, "multiverse.csv")
    if where:
        return (f"readings, models and priors varied: {where}", where)
    sets = {fit.info["priors"] for fit in held.fits}
    return (f"fitted under {', '.join(sorted(sets))}", "") if len(sets) > 1 else NONE


def _prior_predictive(held: _Folder) -> Answer:
    rows = _checks(held, "prior conflict")
    if rows is None:
        return NONE
    verdicts = ", ".join(f"{value:.2g} SD ({verdict})" for value, verdict in rows)
    words = f"how far the evidence lies from what the prior predicts, fit by fit: {verdicts}"
    return (words, held.shows(store.CHECKS))


def _checks(held: _Folder, name: str) -> list[tuple[float, str]] | None:
    found = []
    for fit in held.fits:
        if not fit.has(store.CHECKS):
            continue
        own = store.read_table(fit.folder / store.CHECKS)
        own = own[own.check == name]
        found += [(float(v), str(w)) for v, w in zip(own.value, own.verdict, strict=True)]
    return found or None


def _software(held: _Folder) -> Answer:
    versions = held.fits[0].info["versions"]
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (told, held.shows(store.INFO))


def _engines(held: _Folder) -> set[str]:
    return {fit.info["engine"] for fit in held.fits}


def _worst(held: _Folder, name: str, pick: Callable[[list[float]], float], words: str) -> Answer:
    rows = _checks(held, name)
    if rows is None:
        return NONE
    worst = pick([value for value, _ in rows])
    return (words.format(worst), held.shows(store.CHECKS))


def _no_mcmc(held: _Folder) -> Answer:
    others = sorted(_engines(held) & {"laplace", "smc"})
    if not others:
        return ("all fits are by Markov chain Monte Carlo", "")
    how = {
        "laplace": "Laplace's approximation, corrected by importance sampling: Pareto k",
        "smc": "sequential Monte Carlo: doubling its moves moves neither log evidence nor probabilities",
    }
    return ("; ".join(how[name] for name in others), held.shows(store.CHECKS))


def _failed(held: _Folder) -> str:
    count = sum(bool(fit.info["failed_checks"]) for fit in held.fits)
    return (
        f"; {count} of {len(held.fits)} fits failed a check" if count else "; no fit failed a check"
    )


def _bayes_factors(held: _Folder) -> Answer:
    where = held.file(COMPARISON, "bayes_factors.csv", "averaging.csv")
    return _given(
        where, "of each interaction, with the prior and the prior model probabilities it depends on"
    )


def _seeds(held: _Folder) -> Answer:
    seeds = sorted({str(fit.info["seed"]) for fit in held.fits})
    digest = held.fits[0].info["study_digest"][:12]
    words = f"seed {', '.join(seeds)}; SHA-256 of the evidence begins {digest}; draws, chains and versions of each fit"
    return (words, held.shows(store.INFO))


# --- The checklists ---------------------------------------------------------------------------------


def _barg(held: _Folder) -> Iterator[Item]:
    def item(step: str, asks: str, answer: Answer = NONE) -> Item:
        return Item(BARG, step, asks, *answer)

    start, model = "Preamble", "1 Explain the model"
    yield item(
        start,
        "why Bayesian",
        (
            "probabilities of synergy in each of its senses, from evidence of several kinds in one model, with the "
            "prior that each depends on",
            "",
        ),
    )
    yield item(start, "the goal of the analysis", _goal(held))
    yield item(
        model,
        "variables",
        _given(held.shows("info.json"), "regimens and the yes/no outcome, in the audit"),
    )
    yield item(model, "likelihood and parameters", _likelihood(held))
    yield item(model, "priors", _priors(held))
    yield item(model, "justification of the priors", _reasons(held))
    yield item(
        model, "formal specification", ("source of the package: cotreat.model, cotreat.effects", "")
    )
    yield item(model, "prior predictive check", _prior_predictive(held))
    run = "2 Report the computation"
    yield item(run, "software", _software(held))
    rhat = _worst(
        held, "R-hat", max, "largest R-hat of parameters and of what is made of them {:.4g}"
    )
    if rhat != NONE:
        rhat = (rhat[0] + _failed(held), rhat[1])
    yield item(run, "convergence", rhat)
    yield item(run, "effective sample size", _worst(held, "bulk ESS", min, "smallest {:.0f}"))
    yield item(run, "approximations other than MCMC", _no_mcmc(held))
    after = "3 Describe the posterior"
    yield item(after, "posterior predictive check", _predictive(held))
    yield item(
        after,
        "summary of parameters and estimands",
        _given(
            held.shows(store.SUMMARY),
            "medians with 95% equal-tailed credible intervals, and probabilities",
        ),
    )
    yield item(after, "Bayes factors, with prior model probabilities", _bayes_factors(held))
    decide = "4 Report decisions"
    yield item(
        decide,
        "decisions and their criteria",
        ("a sign is called decided at a probability of at least 0.975 or at most 0.025", ""),
    )
    yield item(decide, "loss or utility of each decision")
    yield item(
        decide,
        "region of practical equivalence",
        (
            "none is used: there is no default, and P(odds ratio > threshold) is given for thresholds that are named",
            "",
        ),
    )
    change = "5 Report sensitivity"
    yield item(change, "to the prior", _sensitivity(held))
    yield item(change, "to the likelihood and the model", _likelihoods(held))
    yield item(change, "of Bayes factors to the prior")
    again = "6 Make it reproducible"
    yield item(again, "software and versions", _software(held))
    yield item(again, "script", (f"cotreat reanalyse {held.fits[0].info['study']}", ""))
    yield item(again, "data", _given(held.shows(store.INFO), "the study file, known by its digest"))
    yield item(again, "seeds and session", _seeds(held))


def _predictive(held: _Folder) -> Answer:
    for name in ("predicted counts (χ²)", "predicted claims (χ²)"):
        rows = _checks(held, name)
        if rows is not None:
            worst = min(value for value, _ in rows)
            words = f"{name}, smallest share of replications at least as far off as what was seen: {worst:.3g}"
            return (words, held.shows("predictive.png", "claims_predictive.png", store.CHECKS))
    return NONE


def _likelihoods(held: _Folder) -> Answer:
    readings = list(dict.fromkeys(fit.info["reading"] for fit in held.fits))
    if len(held.models) + len(readings) <= 2:
        return NONE
    return (f"models {', '.join(held.models)}; readings {', '.join(readings)}", "")


def _robust(held: _Folder) -> Iterator[Item]:
    def item(step: str, asks: str, answer: Answer) -> Item:
        return Item(ROBUST, step, asks, *answer)

    yield item("prior", "specified", _priors(held))
    yield item("prior", "justified", _reasons(held))
    yield item("prior", "sensitivity analysis", _sensitivity(held))
    yield item("analysis", "statistical model", _likelihood(held))
    named = {"numpyro": "NUTS by NumPyro", "nutpie": "NUTS by nutpie", **_OTHERS}
    told = ", ".join(named.get(one, LIBRARIES.get(one, one)) for one in sorted(_engines(held)))
    yield item("analysis", "analytical technique", (told, held.shows(store.INFO)))
    shown = held.shows(store.SUMMARY)
    yield item("results", "central tendency", _given(shown, "posterior medians"))
    yield item(
        "results", "SD or credible interval", _given(shown, "95% equal-tailed credible intervals")
    )


_OTHERS = {
    "laplace": "Laplace's approximation with importance sampling",
    "smc": "sequential Monte Carlo",
}
