"""Readings × models × priors: every answer a reader could have been given, and what moves it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from cotreat.core.constants import FIXED, IMPLIED, INTERVAL, is_undefined
from cotreat.core.errors import ModelError
from cotreat.diagnostics import checks
from cotreat.estimands.estimand import (
    CONDITIONAL,
    EVERY,
    Availability,
    Estimand,
    Waist,
    enumerate_estimands,
    is_beyond_null,
    is_combination_ratio,
    name_of,
    waist_of,
)
from cotreat.estimands.measures import MEASURES, REPRESENTATIVE
from cotreat.evidence import contrasts
from cotreat.evidence.reported import reported_in
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace
from cotreat.inference.batch import Answer, Specification
from cotreat.inference.record import Fit
from cotreat.inference.sampling import log_evidence, provenance
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors.belief_grid import ALIASES, BELIEFS, grid_name
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.results.supplementary import MULTIVERSE_COLUMNS
from cotreat.sensitivity.prior_predictive import Induced, with_odds
from cotreat.study.study import Study

SETS = (
    "weak",
    *ALIASES.values(),
    "interactions:pessimistic-moderate",
    "interactions:neutral-moderate",
    "interactions:optimistic-moderate",
)
"""Priors of the multiverse: beliefs of moderate strength about effects, and about interactions."""
ROR = REPRESENTATIVE["log-odds"]
UNTRUSTED = "the fit cannot be trusted"


# --- What is fitted ------------------------------------------------------------------------------------


def bases(
    study: Study, models: Sequence[str], priors: PriorSet, *, is_full: bool
) -> list[Specification]:
    """List readings × models under the priors of the analysis.

    Parameters
    ----------
    models
        The first of them leads.
    is_full
        Whether both are crossed; otherwise the leading model takes every reading, and every model the
        study's own.
    """
    return [
        Specification(study.under(reading.id), model, priors)
        for reading, model in product(study.readings, models)
        if is_full or reading.id == study.reading or model == models[0]
    ]


def beside(base: Specification) -> list[Specification]:
    """List `SETS` beside the priors of a specification, those that its model can honour."""
    study, own = base.study, name_of_set(base)
    sets = [prior_set(name, study) for name in SETS if name != ALIASES.get(own, own)]
    return [
        Specification(study, base.model, one) for one in sets if _can_go(study, base.model, one)
    ]


def name_of_set(one: Specification) -> str:
    """Return the name of the priors of a specification."""
    return one.priors if isinstance(one.priors, str) else one.priors.name


def _can_go(study: Study, model: str, priors: PriorSet) -> bool:
    try:
        priors_for(priors, find_model(model, study), study)
    except ModelError:
        return False
    return True


def grid(study: Study, model: str, *, is_full: bool) -> list[Specification]:
    """List the belief × strength grid on effects and on interactions.

    Parameters
    ----------
    is_full
        Whether both are crossed; otherwise one is weak where the other is not.
    """
    beliefs = ("", *BELIEFS)
    return [
        Specification(study, model, name)
        for effects in beliefs
        for interactions in beliefs
        if is_full or not (effects and interactions)
        if _can_go(study, model, prior_set(name := grid_name(effects, interactions), study))
    ]


def answer_of(fit: Fit) -> Answer | None:
    """Return a fit that passes its checks as an answer like those of a batch; None if it fails them."""
    if checks.failures(checks.checks(fit)):
        return None
    tree = fit.draws
    stats, used = tree["sample_stats"].to_dataset(), provenance(tree)
    # NUTS has none of its own; sequential Monte Carlo may have run beside it.
    beside = float(stats.attrs.get("log_evidence", np.nan))
    evidence = log_evidence(tree) if "log_evidence" in stats else beside
    k, effective = (float(stats[n]) if n in stats else np.nan for n in ("pareto_k", "effective"))
    waist = waist_of(tree["posterior"].to_dataset())
    name = str(used["priors"])
    verdict = laplace.GOOD if np.isnan(k) else laplace.verdict(k)
    return Answer(fit.study, fit.model.name, name, k, verdict, effective, evidence, waist)


# --- What is asked -------------------------------------------------------------------------------------


class Asked:
    """What every answer is asked, and what its prior says of the same.

    Estimands and their availability are found out once for a study, reading and model, for no prior
    changes them; prior draws are compiled once for a model.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[tuple[str, str, str], list[tuple[Estimand, str]]] = {}
        self._induced: dict[tuple[str, bool], Induced] = {}
        self._waists: dict[tuple[int, str], Waist] = {}

    def rows(self, answer: Answer, priors: PriorSet) -> list[dict[str, Any]]:
        """Return the rows of the multiverse that one answer makes; of a bad one a row without numbers."""
        row = {
            "reading": answer.study.reading,
            "model": answer.model,
            "priors": answer.priors,
            "pareto_k": answer.pareto_k,
            "verdict": answer.verdict,
        }
        if answer.verdict == laplace.BAD:
            return [row]
        row["log_evidence"] = answer.log_evidence
        before = self._before(answer, priors)
        after = with_odds(answer.waist, answer.study)
        return [
            {**row, **_answered(one, available, before, after, answer.effective)}
            for one, available in self._asked(answer)
        ]

    def _before(self, answer: Answer, priors: PriorSet) -> Waist:
        """Draw the prior, once for all readings and tables that ask for it."""
        induced = self._of(answer, priors)
        key = (id(induced), priors.name)
        if key not in self._waists:
            self._waists[key] = induced.waist(priors)
        return self._waists[key]

    def _of(self, answer: Answer, priors: PriorSet) -> Induced:
        # A prognostic score is all that readings may have or lack.
        key = (answer.model, CONDITIONAL in answer.waist)
        if key not in self._induced:
            model = find_model(answer.model, answer.study)
            self._induced[key] = Induced(answer.study, model, priors, seed=self._seed)
        return self._induced[key]

    def _asked(self, answer: Answer) -> list[tuple[Estimand, str]]:
        study, waist = answer.study, answer.waist
        key = (study.digest, study.reading, answer.model)
        if key not in self._known:
            model = find_model(answer.model, study)
            available = Availability(study, model, waist, resolve(study))
            self._known[key] = [(one, available.of(one)) for one in chief(study, answer.model)]
        return self._known[key]


def chief(study: Study, model: str) -> list[Estimand]:
    """List a measure of each family of synergy, and the odds ratios of one more treatment or of a claim."""
    description = find_model(model, study)
    return [
        one
        for one in enumerate_estimands(study, description, resolve(study))
        if _is_judged(one) or _is_chief_ratio(one, study)
    ]


def _is_judged(one: Estimand) -> bool:
    return one.measure is not None and one.measure.name in REPRESENTATIVE.values() and one.is_judged


def _is_chief_ratio(one: Estimand, study: Study) -> bool:
    if name_of(one.label) != "odds_ratio" or one.claim:
        return False
    numbers = reported_in(resolve(study))
    meant = [c.meaning for c in numbers.odds_ratios if c.meaning] if numbers else []
    if one.label in {contrasts.label(meaning) for meaning in meant}:
        return True
    return set(one.arms) <= set(study.present) and is_combination_ratio(one)


def _answered(
    one: Estimand, available: str, before: Waist, after: Waist, effective: float
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "estimand": one.label,
        "background": one.background,
        "scale": one.scale,
        "availability": available,
    }
    if is_undefined(available) or available == FIXED:
        return row
    tail = (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(one.values(after), [tail, 0.5, 1 - tail])
    row |= {"estimate": float(middle), "lower": float(lower), "upper": float(upper)}
    if available != IMPLIED:
        beyond = is_beyond_null(one, after)
        row["probability"] = float(beyond.mean())
        row["mc_error"] = mc_error(beyond, effective)
        row["prior_probability"] = float(is_beyond_null(one, before).mean())
    return row


def mc_error(beyond: xr.DataArray, effective: float) -> float:
    """Return the standard error of a share of draws, of one that all or none make up that of half a draw.

    Parameters
    ----------
    beyond
        Of booleans, by ``chain`` and ``draw``.
    effective
        Effective draws; NaN where they are to be found from the chains.

    Notes
    -----
    √(p (1 − p) / effective). Where the weights of importance sampling have a Pareto k near 0.7 the true error is
    up to twice that: answers of the tacrolimus cohort under five priors, each fitted 16 times, varied 0.7 to 1.9
    times as much.
    """
    share = float(beyond.mean())
    if np.isnan(effective):
        effective = float(beyond.size)
        if 0 < share < 1:
            draws = beyond.transpose("chain", "draw").values.astype(float)
            effective = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))
    near = min(max(share, 0.5 / effective), 1 - 0.5 / effective)
    return float(np.sqrt(near * (1 - near) / effective))


def table_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Make a table with the columns of the multiverse."""
    return pd.DataFrame(rows).reindex(columns=list(MULTIVERSE_COLUMNS))


# --- What the conclusion hangs on ----------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """The answer that all others are compared with."""

    reading: str
    model: str
    priors: str


HINGES = "what_it_hangs_on.csv"
"""The file that holds what `hinges` returns."""
READING, MODEL, PRIORS, SENSE = "reading", "model", "priors", "sense of synergy"
FACTORS = (SENSE, MODEL, READING, PRIORS)
"""What may be changed, one at a time."""


def hinges(table: pd.DataFrame, study: Study, base: Base) -> pd.DataFrame:
    """Change one thing at a time from the leading answer, for the interaction of each pair.

    Parameters
    ----------
    table
        What `table_of` returns.

    Returns
    -------
    pandas.DataFrame
        Columns ``pair``, ``what changes``, ``to``, ``is leading``, ``probability``, ``mc_error``, ``difference``
        (from the leading answer), what was asked (``estimand``, ``background``, ``scale``), and ``words`` where
        there is no probability, or it is that on another background.
    """
    rows: list[dict[str, Any]] = []
    for pair in study.pair_labels:
        own = list(_changes(table, study, base, pair))
        lead = next((row["probability"] for row in own if row["is leading"]), np.nan)
        rows += [{"pair": pair, **row, "difference": row["probability"] - lead} for row in own]
    columns = ["pair", "what changes", "to", "is leading", "estimand", "background", "scale"]
    columns += ["probability", "mc_error", "difference", "words"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _changes(table: pd.DataFrame, study: Study, base: Base, pair: str) -> Iterator[dict[str, Any]]:
    leading = _of(table, base)
    sense = leading_sense(leading, study, pair)
    for estimand, background in _senses(leading, study, pair):
        is_leading = (estimand, background) == sense
        yield _row(
            SENSE,
            sense_in_words(estimand, background),
            is_leading,
            _ask(leading, estimand, background),
            background,
        )
    for factor in (MODEL, READING, PRIORS):
        for level in table[factor].drop_duplicates():
            changed = Base(**{**vars(base), factor: level})
            own = _of(table, changed)
            if len(own):
                is_leading = level == getattr(base, factor)
                yield _row(factor, level, is_leading, _ask(own, *sense), sense[1])


def leading_sense(leading: pd.DataFrame, study: Study, pair: str) -> tuple[str, str]:
    """Return estimand and background of a pair's interaction: its ratio of odds ratios, if it has any."""
    own = _judged(leading, study, pair)
    known = own[own.probability.notna()]
    ratio = known[known.estimand.map(name_of) == ROR]
    first = next(iter([*ratio.itertuples(), *known.itertuples(), *own.itertuples()]), None)
    return (f"{ROR}[{pair}]", "") if first is None else (first.estimand, first.background)


def _senses(leading: pd.DataFrame, study: Study, pair: str) -> list[tuple[str, str]]:
    """Return each family of synergy on the background with the fewest treatments, then on others."""
    own = _judged(leading, study, pair)
    return list(zip(own.estimand, own.background, strict=True))


def _judged(table: pd.DataFrame, study: Study, pair: str) -> pd.DataFrame:
    labels = [f"{name}[{pair}]" for name in REPRESENTATIVE.values()]
    if "estimand" not in table:
        return table
    return table[table.estimand.isin(labels) & (table.scale == study.outcome.synergy_on)]


def _of(table: pd.DataFrame, base: Base) -> pd.DataFrame:
    is_own = (table.reading == base.reading) & (table.model == base.model)
    return table[is_own & (table.priors == base.priors)]


def _ask(own: pd.DataFrame, estimand: str, background: str) -> Any:
    """Return the row of an estimand; on the same background, or else on the one it is told for all."""
    if (own.verdict == laplace.BAD).any():
        return UNTRUSTED
    rows = own[own.estimand == estimand]
    same = rows[rows.background == background]
    found = same if len(same) else rows[rows.probability.notna()]
    found = found if len(found) else rows
    return found.iloc[0] if len(found) else "not asked"


def _row(factor: str, level: str, is_leading: bool, found: Any, background: str) -> dict[str, Any]:
    row = {"what changes": factor, "to": level, "is leading": is_leading}
    if isinstance(found, str):
        return {**row, "probability": np.nan, "words": found}
    asked = {name: found[name] for name in ("estimand", "background", "scale", "mc_error")}
    words = found.availability
    if not pd.isna(found.probability):
        is_other = found.background != background
        words = where_in_words(found.background) if is_other else ""
    return {**row, **asked, "probability": found.probability, "words": words}


def where_in_words(background: str) -> str:
    """Say on which background something is asked; nothing where it is the same on all."""
    return "" if not background or background.startswith(EVERY) else f"on {background}"


def sense_in_words(estimand: str, background: str) -> str:
    """Name a family of synergy and where it is asked."""
    measure = MEASURES[name_of(estimand)]
    where = where_in_words(background)
    return f"{measure.family} ({measure.name})" + (f", {where}" if where else "")
