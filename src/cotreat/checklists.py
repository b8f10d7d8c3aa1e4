"""Reporting checklists, filled from what the folders of a study hold; what they do not answer stays open.

BARG: Kruschke, Nat Hum Behav 2021;5:1282, six steps after a preamble. ROBUST: Sung et al., J Clin Epidemiol
2005;58:261, seven items. What is asked is said in our words.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cotreat.core.constants import DECIDED
from cotreat.inference.engines import LIBRARIES
from cotreat.models.registry import described, rank
from cotreat.results import store
from cotreat.results.supplementary import (
    ABOUT,
    BAD,
    COMPARISON,
    MULTIVERSE,
    SENSITIVITY,
    PartError,
    read_part,
)

BARG, ROBUST = "BARG", "ROBUST"
UNANSWERED = "unanswered"
FACTORS, AVERAGING = "bayes_factors.csv", "averaging.csv"


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

    @property
    def is_compared(self) -> bool:
        """Whether it stands under a reading that is compared with the default one."""
        return bool((self.info.get("conflict") or {}).get("predictions"))

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def told(self, *names: str) -> str:
        return ", ".join(f"{self.folder.name}/{name}" for name in names if self.has(name))

    def table(self, name: str) -> pd.DataFrame:
        """Read a table; empty where there is none."""
        return store.read_table(self.folder / name) if self.has(name) else pd.DataFrame()


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
        self.fits = sorted(own, key=lambda fit: (rank(fit.info["model"]), fit.is_compared))
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

    def table(self, part: str, name: str) -> pd.DataFrame:
        """Read a table of a part; empty where there is none."""
        return (
            store.read_table(self.place / part / name) if self.file(part, name) else pd.DataFrame()
        )

    def each(self, name: str) -> str:
        """Name a file that every fit holds."""
        return self.shows(name) if len(self.fits) == 1 else f"{name} of each fit"

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
    of = {
        "events of counts are binomial": any(
            "events" in table and table.events.notna().any()
            for table in (fit.table(store.CELLS) for fit in held.fits)
        ),
        "printed numbers are jointly normal": any(
            len(fit.table(store.PRINTED)) for fit in held.fits
        ),
    }
    evidence = "; ".join(words for words, is_there in of.items() if is_there)
    return (f"log-odds η of each regimen: {told}" + (f"; {evidence}" if evidence else ""), "")


def _priors(held: _Folder) -> Answer:
    rows = held.priors
    return (f"{len(rows)} rows: distribution and numbers of every parameter", held.each(store.INFO))


def _reasons(held: _Folder) -> Answer:
    rows = held.priors
    if not all(row["reason"] for row in rows):
        return NONE
    nobody = [row["variable"] for row in rows if row["chosen by"] == "default"]
    words = f"each row has its reason; chosen by nobody, defaults: {', '.join(nobody)}"
    return (words, held.each(store.INFO))


def _sensitivity(held: _Folder) -> Answer:
    every = held.table(SENSITIVITY, MULTIVERSE)
    if len(every):
        fits = every.drop_duplicates(["reading", "model", "priors"])
        bad = int((fits.verdict == BAD).sum())
        sets = fits[fits.verdict != BAD].priors.nunique()
        words = f"{sets} prior sets among {len(fits)} combinations of reading, model and priors"
        return (
            words + (f"; {bad} of these could not be fitted" if bad else ""),
            held.file(SENSITIVITY, MULTIVERSE),
        )
    sets_of = {fit.info["priors"] for fit in held.fits}
    return (f"fitted under {', '.join(sorted(sets_of))}", "") if len(sets_of) > 1 else NONE


def _prior_predictive(held: _Folder) -> Answer:
    rows = _checks(held, "prior conflict")
    if not rows:
        return NONE
    verdicts = ", ".join(f"{one.value:.2g} SD ({one.verdict})" for one in rows)
    words = f"how far the evidence lies from what the prior predicts, fit by fit: {verdicts}"
    return (words, _all_of(rows))


@dataclass(frozen=True)
class _Check:
    """One row of the checks of a fit."""

    fit: _Fit
    value: float
    verdict: str


def _checks(held: _Folder, name: str) -> list[_Check]:
    found = []
    for fit in held.fits:
        table = fit.table(store.CHECKS)
        own = table[table.check == name] if len(table) else table
        found += [_Check(fit, float(row.value), str(row.verdict)) for row in own.itertuples()]
    return found


def _all_of(rows: Sequence[_Check]) -> str:
    """Name the checks of all fits that rows are of."""
    return ", ".join(dict.fromkeys(one.fit.told(store.CHECKS) for one in rows))


def _software(held: _Folder) -> Answer:
    versions = held.fits[0].info["versions"]
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (told, held.shows(store.INFO))


def _engines(held: _Folder) -> set[str]:
    return {fit.info["engine"] for fit in held.fits}


Pick = Callable[..., _Check]
"""Chooses a row by its value: `max` or `min`."""


def _extreme(rows: Sequence[_Check], pick: Pick) -> _Check:
    return pick(rows, key=lambda one: one.value)


def _worst(held: _Folder, name: str, pick: Pick, words: str) -> Answer:
    """Tell the worst value of a check over all fits, and where it stands."""
    rows = _checks(held, name)
    if not rows:
        return NONE
    worst = _extreme(rows, pick)
    return (words.format(worst.value), worst.fit.told(store.CHECKS))


def _no_mcmc(held: _Folder) -> Answer:
    others = sorted(_engines(held) & set(_HOW))
    if not others:
        return ("all fits are by Markov chain Monte Carlo", "")
    told = [_judged(held, name) for name in others]
    return ("; ".join(words for words, _ in told), ", ".join(filter(None, (w for _, w in told))))


_HOW = {
    "laplace": (
        "Laplace's approximation, corrected by importance sampling",
        ("Pareto k of weights",),
    ),
    "smc": (
        "sequential Monte Carlo, judged by what doubling its moves changes",
        ("log evidence, moves doubled", "P(synergy), moves doubled"),
    ),
}
"""Engines without chains: what they are, and the checks that judge them."""


def _judged(held: _Folder, engine: str) -> Answer:
    words, names = _HOW[engine]
    rows = [one for name in names for one in _checks(held, name)]
    rows = [one for one in rows if one.fit.info["engine"] == engine]
    if not rows:
        return (words, "")
    passed = sum(one.verdict == "pass" for one in rows)
    told = "; ".join(
        f"{name} at most {_extreme(own, max).value:.3g}"
        for name in names
        if (own := [one for one in _checks(held, name) if one.fit.info["engine"] == engine])
    )
    return (f"{words}: {told}; {passed} of {len(rows)} checks passed", _all_of(rows))


def _failed(held: _Folder) -> str:
    count = sum(bool(fit.info["failed_checks"]) for fit in held.fits)
    return (
        f"; {count} of {len(held.fits)} fits failed a check" if count else "; no fit failed a check"
    )


def _bayes_factors(held: _Folder) -> Answer:
    found = held.table(COMPARISON, FACTORS)
    if found.empty:
        return NONE
    own = found[found.prior_of_the_fits == "yes"]
    told = "; ".join(
        f"{row.of} ({row.comparison}) {row.bayes_factor:.3g}" for row in own.itertuples()
    )
    words = f"for an interaction against none: {told}" if told else "with the prior each depends on"
    averaged = held.table(COMPARISON, AVERAGING)
    if len(averaged):
        shares = sorted({f"{p:.2g}" for p in averaged.prior_probability.dropna()})
        words += f"; prior model probabilities {', '.join(shares)}"
    return (words, held.file(COMPARISON, FACTORS, AVERAGING))


def _bayes_factors_by_prior(held: _Folder) -> Answer:
    found = held.table(COMPARISON, FACTORS)
    if found.empty:
        return NONE
    told = found.dropna(subset=["prior_sd", "bayes_factor"])
    told = told[told.of == told.of.iloc[0]] if len(told) else told
    if told.prior_sd.nunique() < 2:
        return NONE
    values = ", ".join(
        f"{row.bayes_factor:.3g} with SD {row.prior_sd:g}" for row in told.itertuples()
    )
    return (
        f"of {told.of.iloc[0]}, by the prior SD of each log ratio: {values}",
        held.file(COMPARISON, FACTORS),
    )


def _seeds(held: _Folder) -> Answer:
    seeds = sorted({str(fit.info["seed"]) for fit in held.fits})
    digest = held.fits[0].info["study_digest"][:12]
    words = f"seed {', '.join(seeds)}; SHA-256 of the evidence begins {digest}; draws, chains and versions of each fit"
    return (words, held.each(store.INFO))


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
        (
            f"a sign is called decided at a probability of at least {DECIDED} or at most {1 - DECIDED:.3g}",
            "",
        ),
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
    yield item(change, "of Bayes factors to the prior", _bayes_factors_by_prior(held))
    again = "6 Make it reproducible"
    yield item(again, "software and versions", _software(held))
    yield item(again, "script", (f"cotreat reanalyse {held.fits[0].info['study']}", ""))
    yield item(again, "data", _given(held.shows(store.INFO), "the study file, known by its digest"))
    yield item(again, "seeds and session", _seeds(held))


def _predictive(held: _Folder) -> Answer:
    for name in ("predicted counts (χ²)", "predicted claims (χ²)"):
        rows = _checks(held, name)
        if rows:
            worst = _extreme(rows, min)
            words = f"{name}, smallest share of replications at least as far off as what was seen: {worst.value:.3g}"
            return (words, worst.fit.told("predictive.png", "reported_predictive.png", store.CHECKS))
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
