"""The multiverse (interpretations × models × priors), and its one-at-a-time sensitivity analysis."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

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
from cotreat.estimands.margins import margin_of
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
from cotreat.priors.belief_grid import (
    ALIASES,
    BELIEFS,
    WEAK,
    WIDTH_SETS,
    WIDTHS,
    default_name,
    grid_name,
)
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.results.monte_carlo import share_error
from cotreat.results.supplementary import MULTIVERSE_COLUMNS
from cotreat.sensitivity.prior_predictive import Induced, with_odds
from cotreat.sensitivity.records import INTERPRETATION, MODEL, PRIORS, SCALE, Base
from cotreat.study.regimens import NONE
from cotreat.study.study import Study

SETS = (
    WEAK,
    *WIDTH_SETS,
    *dict.fromkeys(ALIASES.values()),
    "interactions:pessimistic-moderate",
    "interactions:neutral-moderate",
    "interactions:optimistic-moderate",
)
"""Prior sets of the multiverse: two widths of the prior on interactions, and beliefs of moderate strength about
effects, and about interactions."""


# --- Specifications --------------------------------------------------------------------------------


def bases(
    study: Study, models: Sequence[str], priors: PriorSet, *, is_full: bool
) -> list[Specification]:
    """List interpretations × models under the priors of the analysis.

    Parameters
    ----------
    study
        With its interpretations.
    models
        The primary one first.
    priors
        Of the analysis.
    is_full
        Whether both are crossed; otherwise the primary model under every interpretation, and every model under
        the study's.

    Returns
    -------
    list of Specification
    """
    return [
        Specification(study.resolve(interpretation.id), model, priors)
        for interpretation, model in product(study.interpretations, models)
        if is_full or interpretation.id == study.interpretation or model == models[0]
    ]


def other_priors(base: Specification) -> list[Specification]:
    """List a specification under `SETS` other than its priors, where its model can use them.

    Parameters
    ----------
    base
        The specification.

    Returns
    -------
    list of Specification
    """
    study, seen, sets = base.study, [_numbers(prior_set(base.priors, base.study))], []
    for other in (prior_set(name, study) for name in SETS):
        if _is_usable(study, base.model, other) and _numbers(other) not in seen:
            seen.append(_numbers(other))
            sets.append(other)
    return [Specification(study, base.model, other) for other in sets]


def _numbers(priors: PriorSet) -> dict[str, dict[str, float]]:
    """Return the parameters of the distribution of each variable."""
    return {row.variable: row.numbers() for row in priors.rows}


def name_of_set(one: Specification) -> str:
    """Return the name of the priors of a specification.

    Parameters
    ----------
    one
        The specification.

    Returns
    -------
    str
    """
    return prior_set(one.priors, one.study).name


def _is_usable(study: Study, model: str, priors: PriorSet) -> bool:
    try:
        priors_for(priors, find_model(model, study), study)
    except ModelError:
        return False
    return True


def grid(study: Study, model: str, *, is_full: bool) -> list[Specification]:
    """List the belief × strength grid on effects and on interactions.

    Parameters
    ----------
    study, model
        Of the primary analysis.
    is_full
        Whether both are crossed; otherwise one is the default where the other is not.

    Returns
    -------
    list of Specification
    """
    default = default_name(study)
    effects_of = ("", *BELIEFS)
    interactions_of = ("", *(width for width, of in WIDTHS.items() if of != default), *BELIEFS)
    return [
        Specification(study, model, name)
        for effects, interactions in product(effects_of, interactions_of)
        if is_full or not (effects and interactions)
        if _is_usable(
            study, model, prior_set(name := grid_name(effects, interactions, default), study)
        )
    ]


def answer_of(fit: Fit) -> Answer | None:
    """Return a fit as an answer of a batch; None if it fails its checks.

    Parameters
    ----------
    fit
        With its draws.

    Returns
    -------
    Answer or None
    """
    if checks.failures(checks.checks(fit)):
        return None
    stats, name = fit.draws["sample_stats"].to_dataset(), str(provenance(fit.draws)["priors"])
    # NUTS has no log evidence; sequential Monte Carlo may have added it.
    added = float(stats.attrs.get("log_evidence", np.nan))
    evidence = log_evidence(fit.draws) if "log_evidence" in stats else added
    k, effective = (float(stats[n]) if n in stats else np.nan for n in ("pareto_k", "effective"))
    verdict = laplace.GOOD if np.isnan(k) else laplace.verdict(k)
    risk_draws = risk_draws_of(fit.posterior)
    engine = str(provenance(fit.draws)["engine"])
    return Answer(
        fit.study, fit.model.name, name, k, verdict, effective, evidence, risk_draws, engine
    )


# --- Rows ------------------------------------------------------------------------------------------


class MultiverseRows:
    """Rows of the multiverse from answers.

    Estimands and their identification are computed once per study, interpretation and model, because they do not
    depend on the prior; prior draws are compiled once per model.

    Parameters
    ----------
    seed
        Of the prior draws.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._estimands: dict[tuple[str, str, str], list[tuple[Estimand, Status]]] = {}
        self._induced: dict[tuple[str, bool], Induced] = {}
        self._priors: dict[tuple[str, bool, str], RiskDraws] = {}

    def rows(self, answer: Answer, priors: PriorSet) -> list[dict[str, Any]]:
        """Return the rows of one answer; of an unreliable one a row without numbers.

        Parameters
        ----------
        answer
            Posterior draws of the risks.
        priors
            Prior set of the fit.

        Returns
        -------
        list of dict
        """
        row = {
            "interpretation": answer.study.interpretation,
            "model": answer.model,
            "priors": answer.priors,
            "engine": answer.engine,
            "pareto_k": answer.pareto_k,
            "verdict": answer.verdict,
        }
        if answer.verdict == laplace.UNRELIABLE:
            return [row]
        row["log_evidence"] = answer.log_evidence
        before = self._prior_draws(answer, priors)
        after = with_odds(answer.risk_draws, answer.study)
        rows, tail = [], (1 - INTERVAL) / 2
        for one, status in self._estimands_of(answer):
            found: dict[str, Any] = {**row, **asked(one, status)}
            if status.has_draws:
                lower, middle, upper = np.quantile(one.values(after), [tail, 0.5, 1 - tail])
                found |= {"estimate": float(middle), "lower": float(lower), "upper": float(upper)}
            if status.has_draws and status.is_open:
                beyond = is_beyond_null(one, after)
                found["probability"] = float(beyond.mean())
                draws = beyond.transpose("chain", "draw").values
                found["mc_error"] = share_error(draws, answer.effective)
                found["prior_probability"] = float(is_beyond_null(one, before).mean())
                found |= _inside(one, answer.study, before, after)
            rows.append(found)
        return rows

    def _prior_draws(self, answer: Answer, priors: PriorSet) -> RiskDraws:
        # Interpretations differ at most in whether the risks have a prognostic score.
        key = (answer.model, CONDITIONAL in answer.risk_draws)
        if key not in self._induced:
            model = find_model(answer.model, answer.study)
            self._induced[key] = Induced(answer.study, model, priors, seed=self._seed)
        drawn = (*key, priors.name)
        if drawn not in self._priors:
            self._priors[drawn] = self._induced[key].risk_draws(priors)
        return self._priors[drawn]

    def _estimands_of(self, answer: Answer) -> list[tuple[Estimand, Status]]:
        study = answer.study
        key = (study.digest, study.interpretation, answer.model)
        if key not in self._estimands:
            model = find_model(answer.model, study)
            identification = Identification(study, model, answer.risk_draws, resolve(study))
            asked_for = estimands_asked(study, answer.model)
            self._estimands[key] = [(one, identification.of(one)) for one in asked_for]
        return self._estimands[key]


def _inside(
    estimand: Estimand, study: Study, before: RiskDraws, after: RiskDraws
) -> dict[str, float]:
    """Return the probabilities of lying inside the margin."""
    margin = margin_of(estimand, study, after)
    if margin is None:
        return {}
    names = {"prior_probability_inside": before, "probability_inside": after}
    values = {name: estimand.values(draws).values for name, draws in names.items()}
    return {
        name: float(((margin.lower < own) & (own < margin.upper)).mean())
        for name, own in values.items()
    }


def estimands_asked(study: Study, model: str) -> list[Estimand]:
    """List a measure of each family of synergy, and odds ratios of one more treatment or reported ones.

    Parameters
    ----------
    study, model
        The study, and name of the model.

    Returns
    -------
    list of Estimand
    """
    evidence = resolve(study)
    numbers = reported_in(evidence)
    ratios = [c for c in numbers.with_interval if c.kind == ODDS_RATIO.name] if numbers else []
    meanings = [c.meaning for c in ratios if c.meaning]
    reported = [meaning.words for meaning in meanings if meaning.kind == "regimens"]

    def is_asked_ratio(one: Estimand) -> bool:
        if not one.is_odds_ratio or one.reported_estimate:
            return False
        is_present = set(one.arms) <= set(study.present)
        return one.arms in reported or (is_present and is_combination_ratio(one))

    return [
        one
        for one in enumerate_estimands(study, find_model(model, study), evidence)
        if (is_representative(one) and one.is_judged) or is_asked_ratio(one)
    ]


def table_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with the columns of the multiverse.

    Parameters
    ----------
    rows
        By name of the column.

    Returns
    -------
    pandas.DataFrame
    """
    return pd.DataFrame(rows).reindex(columns=list(MULTIVERSE_COLUMNS))


# --- One choice at a time --------------------------------------------------------------------------


class Scale(NamedTuple):
    """A measure of synergy of a pair, with a co-treatment, in a stratum."""

    measure: str
    pair: str
    co_treatment: str
    stratum: str


WHICH = ["measure", "co_treatment", "stratum"]
"""Columns of `Scale` except the pair."""
CHANGE_COLUMNS = [
    *("pair", "what changes", "to", "is primary", "label", *WHICH, "judged_on"),
    *("probability", "mc_error", "difference", "words"),
]


def one_at_a_time(table: pd.DataFrame, study: Study, base: Base) -> pd.DataFrame:
    """Change one choice at a time from the primary analysis, for the interaction of each pair.

    Parameters
    ----------
    table
        What `table_of` returns.
    study
        With its pairs.
    base
        The primary analysis.

    Returns
    -------
    pandas.DataFrame
        Columns `CHANGE_COLUMNS`: ``difference`` is that from the primary analysis, and ``words`` states why there
        is no probability, or the co-treatment where it is another.
    """
    rows: list[dict[str, Any]] = []
    for pair in study.pair_labels:
        changes = list(_changes(table, study, base, pair))
        first = next((row["probability"] for row in changes if row["is primary"]), np.nan)
        rows += [{"pair": pair, **c, "difference": c["probability"] - first} for c in changes]
    return pd.DataFrame(rows).reindex(columns=CHANGE_COLUMNS)


def _changes(table: pd.DataFrame, study: Study, base: Base, pair: str) -> Iterator[dict[str, Any]]:
    first = _of_base(table, base)
    scale = primary_scale(first, study, pair)
    for one in scales_of(_judged(first, study, pair)):
        yield _change(SCALE, scale_in_words(one), one == scale, first, one)
    for choice in (MODEL, INTERPRETATION, PRIORS):
        for level in table[choice].drop_duplicates():
            rows = _of_base(table, base._replace(**{choice: level}))
            if len(rows):
                yield _change(choice, level, level == getattr(base, choice), rows, scale)


def primary_scale(table: pd.DataFrame, study: Study, pair: str) -> Scale:
    """Return the measure of a pair's interaction: its ratio of odds ratios, if that has a probability.

    Parameters
    ----------
    table
        Rows of the multiverse of one analysis.
    study, pair
        The pair of treatments of the study.

    Returns
    -------
    Scale
    """
    judged = _judged(table, study, pair)
    known = judged[judged.probability.notna()]
    choices = (known[known.measure == "ror"], known, judged)
    first = next((scales_of(rows)[0] for rows in choices if len(rows)), None)
    return first or Scale("ror", pair, "", "")


def scales_of(rows: pd.DataFrame) -> list[Scale]:
    """Return the measure of each row of a table.

    Parameters
    ----------
    rows
        Rows of the multiverse.

    Returns
    -------
    list of Scale
    """
    fields = rows[list(Scale._fields)].fillna("")
    return [Scale(*map(str, row)) for row in fields.itertuples(index=False)]


def _judged(table: pd.DataFrame, study: Study, pair: str) -> pd.DataFrame:
    is_measure = table.measure.isin(representatives().values()) & (table.pair == pair)
    return table[is_measure & (table.judged_on == study.outcome.synergy_on)]


def _of_base(table: pd.DataFrame, base: Base) -> pd.DataFrame:
    is_same = (table.interpretation == base.interpretation) & (table.model == base.model)
    return table[is_same & (table.priors == base.priors)]


def _change(
    choice: str, level: str, is_primary: bool, table: pd.DataFrame, scale: Scale
) -> dict[str, Any]:
    """Return a row of the analysis: of the same co-treatment, otherwise of one with a probability."""
    row = {"what changes": choice, "to": level, "is primary": is_primary, "probability": np.nan}
    if (table.verdict == laplace.UNRELIABLE).any():
        return {**row, "words": "the fit is unreliable"}
    is_measure = (table.measure == scale.measure) & (table.pair == scale.pair)
    rows = table[is_measure.fillna(value=False).astype(bool)]
    same = rows[[one == scale for one in scales_of(rows)]]
    rows = next((r for r in (same, rows[rows.probability.notna()], rows) if len(r)), rows)
    if not len(rows):
        return {**row, "words": "not enumerated"}
    found = rows.iloc[0]
    words = str(Status(found.status, found.reason))
    if not pd.isna(found.probability):
        (actual,) = scales_of(rows.iloc[:1])
        words = where_in_words(actual) if actual != scale else ""
    kept = {name: found[name] for name in ("label", *WHICH, "judged_on", "mc_error", "probability")}
    return {**row, **kept, "words": words}


def with_scales(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of synergy with a probability, with their scale in words in a column `SCALE`.

    Parameters
    ----------
    table
        The multiverse.

    Returns
    -------
    pandas.DataFrame
    """
    rows = table[table.probability.notna() & table.measure.isin(MEASURES)]
    scales = [scale_in_words(scale) for scale in scales_of(rows)]
    return rows.assign(**{SCALE: pd.Series(scales, rows.index, dtype=object)})


def where_in_words(scale: Scale) -> str:
    """Word the co-treatment of a measure; empty where it is the same with all.

    Parameters
    ----------
    scale
        The measure.

    Returns
    -------
    str
    """
    if scale.co_treatment in ("", ANY):
        return ""
    given = "no other study drug" if scale.co_treatment == NONE else scale.co_treatment
    return f"with {given}" + (f" in {scale.stratum}" if scale.stratum else "")


def scale_in_words(scale: Scale) -> str:
    """Word the scale of synergy and the co-treatment of a measure.

    Parameters
    ----------
    scale
        The measure.

    Returns
    -------
    str
    """
    name = f"{MEASURES[scale.measure].family.name} ({scale.measure})"
    return ", ".join(filter(None, (name, where_in_words(scale))))
