"""Readings × models × priors: every answer a reader could have been given, and what moves it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from cotreat.core.constants import ANY, INTERVAL
from cotreat.core.errors import ModelError
from cotreat.diagnostics import checks
from cotreat.estimands.enumerate import enumerate_estimands, is_representative
from cotreat.estimands.estimand import (
    CONDITIONAL,
    Estimand,
    RiskDraws,
    is_beyond_null,
    is_combination_ratio,
    risk_draws_of,
)
from cotreat.estimands.identification import Identification, Status, asked
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.evidence.reported import reported_in
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import ODDS_RATIO
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
from cotreat.study.regimens import NONE
from cotreat.study.study import Study

SETS = (
    "weak",
    *ALIASES.values(),
    "interactions:pessimistic-moderate",
    "interactions:neutral-moderate",
    "interactions:optimistic-moderate",
)
"""Priors of the multiverse: beliefs of moderate strength about effects, and about interactions."""
ROR = "ror"
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
        Specification(study.resolve(interpretation.id), model, priors)
        for interpretation, model in product(study.interpretations, models)
        if is_full or interpretation.id == study.interpretation or model == models[0]
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
    risk_draws = risk_draws_of(tree["posterior"].to_dataset())
    name = str(used["priors"])
    verdict = laplace.GOOD if np.isnan(k) else laplace.verdict(k)
    return Answer(fit.study, fit.model.name, name, k, verdict, effective, evidence, risk_draws)


# --- What is asked -------------------------------------------------------------------------------------


class Asked:
    """What every answer is asked, and what its prior says of the same.

    Estimands and their identification are found out once for a study, reading and model, for no prior
    changes them; prior draws are compiled once for a model.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[tuple[str, str, str], list[tuple[Estimand, Status]]] = {}
        self._induced: dict[tuple[str, bool], Induced] = {}
        self._waists: dict[tuple[int, str], RiskDraws] = {}

    def rows(self, answer: Answer, priors: PriorSet) -> list[dict[str, Any]]:
        """Return the rows of the multiverse that one answer makes; of a bad one a row without numbers."""
        row = {
            "interpretation": answer.study.interpretation,
            "model": answer.model,
            "priors": answer.priors,
            "pareto_k": answer.pareto_k,
            "verdict": answer.verdict,
        }
        if answer.verdict == laplace.UNRELIABLE:
            return [row]
        row["log_evidence"] = answer.log_evidence
        before = self._before(answer, priors)
        after = with_odds(answer.risk_draws, answer.study)
        return [
            {**row, **_answered(one, status, before, after, answer.effective)}
            for one, status in self._asked(answer)
        ]

    def _before(self, answer: Answer, priors: PriorSet) -> RiskDraws:
        """Draw the prior, once for all readings and tables that ask for it."""
        induced = self._of(answer, priors)
        key = (id(induced), priors.name)
        if key not in self._waists:
            self._waists[key] = induced.risk_draws(priors)
        return self._waists[key]

    def _of(self, answer: Answer, priors: PriorSet) -> Induced:
        # A prognostic score is all that readings may have or lack.
        key = (answer.model, CONDITIONAL in answer.risk_draws)
        if key not in self._induced:
            model = find_model(answer.model, answer.study)
            self._induced[key] = Induced(answer.study, model, priors, seed=self._seed)
        return self._induced[key]

    def _asked(self, answer: Answer) -> list[tuple[Estimand, Status]]:
        study, risk_draws = answer.study, answer.risk_draws
        key = (study.digest, study.interpretation, answer.model)
        if key not in self._known:
            model = find_model(answer.model, study)
            identification = Identification(study, model, risk_draws, resolve(study))
            self._known[key] = [(one, identification.of(one)) for one in chief(study, answer.model)]
        return self._known[key]


def chief(study: Study, model: str) -> list[Estimand]:
    """List a measure of each family of synergy, and the odds ratios of one more treatment or of a claim."""
    description = find_model(model, study)
    return [
        one
        for one in enumerate_estimands(study, description, resolve(study))
        if (is_representative(one) and one.is_judged) or _is_chief_ratio(one, study)
    ]


def _is_chief_ratio(one: Estimand, study: Study) -> bool:
    if not one.is_odds_ratio or one.reported_estimate:
        return False
    numbers = reported_in(resolve(study))
    ratios = [c for c in numbers.odds_ratios if c.kind == ODDS_RATIO.name] if numbers else []
    meant = [c.meaning for c in ratios if c.meaning]
    if any(m.kind == "regimens" and one.arms == m.words for m in meant):
        return True
    return set(one.arms) <= set(study.present) and is_combination_ratio(one)


def _answered(
    one: Estimand, status: Status, before: RiskDraws, after: RiskDraws, effective: float
) -> dict[str, Any]:
    row: dict[str, Any] = dict(asked(one, status))
    if not status.has_draws:
        return row
    tail = (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(one.values(after), [tail, 0.5, 1 - tail])
    row |= {"estimate": float(middle), "lower": float(lower), "upper": float(upper)}
    if status.is_open:
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

    interpretation: str
    model: str
    priors: str


HINGES = "what_it_hangs_on.csv"
"""The file that holds what `hinges` returns."""
DEFAULT_INTERPRETATION, MODEL, PRIORS, SENSE = (
    "interpretation",
    "model",
    "priors",
    "sense of synergy",
)
FACTORS = (SENSE, MODEL, DEFAULT_INTERPRETATION, PRIORS)
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
        (from the leading answer), what was asked (``label`` and the columns of an estimand), and ``words`` where
        there is no probability, or it is that with another co-treatment.
    """
    rows: list[dict[str, Any]] = []
    for pair in study.pair_labels:
        own = list(_changes(table, study, base, pair))
        lead = next((row["probability"] for row in own if row["is leading"]), np.nan)
        rows += [{"pair": pair, **row, "difference": row["probability"] - lead} for row in own]
    columns = ["pair", "what changes", "to", "is leading", "label", *WHICH, "judged_on"]
    columns += ["probability", "mc_error", "difference", "words"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _changes(table: pd.DataFrame, study: Study, base: Base, pair: str) -> Iterator[dict[str, Any]]:
    leading = _of(table, base)
    sense = leading_sense(leading, study, pair)
    for one in _senses(leading, study, pair):
        yield _row(SENSE, sense_in_words(one), one == sense, _ask(leading, one), one)
    for factor in (MODEL, DEFAULT_INTERPRETATION, PRIORS):
        for level in table[factor].drop_duplicates():
            changed = Base(**{**vars(base), factor: level})
            own = _of(table, changed)
            if len(own):
                is_leading = level == getattr(base, factor)
                yield _row(factor, level, is_leading, _ask(own, sense), sense)


class Sense(NamedTuple):
    """A measure of synergy of a pair, with which co-treatment, in which stratum."""

    measure: str
    pair: str
    co_treatment: str
    stratum: str


WHICH = ["measure", "co_treatment", "stratum"]
"""Columns of `Sense` but the pair."""


def leading_sense(leading: pd.DataFrame, study: Study, pair: str) -> Sense:
    """Return the measure of a pair's interaction: its ratio of odds ratios, if it has any."""
    own = _judged(leading, study, pair)
    known = own[own.probability.notna()]
    ratio = known[known.measure == ROR]
    first = next((senses_of(rows)[0] for rows in (ratio, known, own) if len(rows)), None)
    return first or Sense(ROR, pair, "", "")


def senses_of(rows: pd.DataFrame) -> list[Sense]:
    """Return which measure each row of a table is of."""
    fields = rows[list(Sense._fields)].fillna("")
    return [Sense(*map(str, row)) for row in fields.itertuples(index=False)]


def of_sense(table: pd.DataFrame, sense: Sense) -> pd.DataFrame:
    """Return the rows of a table that are of a measure of synergy, with any co-treatment."""
    is_own = (table.measure == sense.measure) & (table.pair == sense.pair)
    return table[is_own.fillna(value=False).astype(bool)]


def _senses(leading: pd.DataFrame, study: Study, pair: str) -> list[Sense]:
    """Return each family of synergy with the fewest co-treatments, then with others."""
    return senses_of(_judged(leading, study, pair))


def _judged(table: pd.DataFrame, study: Study, pair: str) -> pd.DataFrame:
    is_own = table.measure.isin(representatives().values()) & (table.pair == pair)
    return table[is_own & (table.judged_on == study.outcome.synergy_on)]


def _of(table: pd.DataFrame, base: Base) -> pd.DataFrame:
    is_own = (table.interpretation == base.interpretation) & (table.model == base.model)
    return table[is_own & (table.priors == base.priors)]


def _ask(own: pd.DataFrame, sense: Sense) -> Any:
    """Return the row of a measure; with the same co-treatment, or else the one that has a probability."""
    if (own.verdict == laplace.UNRELIABLE).any():
        return UNTRUSTED
    rows = of_sense(own, sense)
    same = rows[[one == sense for one in senses_of(rows)]]
    found = same if len(same) else rows[rows.probability.notna()]
    found = found if len(found) else rows
    return found.iloc[0] if len(found) else "not asked"


def _row(factor: str, level: str, is_leading: bool, found: Any, sense: Sense) -> dict[str, Any]:
    row = {"what changes": factor, "to": level, "is leading": is_leading}
    if isinstance(found, str):
        return {**row, "probability": np.nan, "words": found}
    kept = {name: found[name] for name in ("label", *WHICH, "judged_on", "mc_error")}
    words = str(Status(found.status, found.reason))
    if not pd.isna(found.probability):
        own = Sense(found.measure, found.pair, found.co_treatment, found.stratum)
        words = where_in_words(own) if own != sense else ""
    return {**row, **kept, "probability": found.probability, "words": words}


def where_in_words(sense: Sense) -> str:
    """Say with which co-treatment something is asked; nothing where it is the same with all."""
    if sense.co_treatment in ("", ANY):
        return ""
    given = "no other study drug" if sense.co_treatment == NONE else sense.co_treatment
    return f"with {given}" + (f" in {sense.stratum}" if sense.stratum else "")


def sense_in_words(sense: Sense) -> str:
    """Name a family of synergy and with which co-treatment it is asked."""
    where = where_in_words(sense)
    return f"{MEASURES[sense.measure].family.name} ({sense.measure})" + (
        f", {where}" if where else ""
    )
