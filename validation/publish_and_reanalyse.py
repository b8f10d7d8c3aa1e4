"""Estimate how reliable P(synergy) from reported estimates is: simulate, publish and reanalyse cohorts.

Cohorts are drawn patient by patient from known data-generating scenarios. A simulated paper reports, rounded, the
estimates that the study reports, and the report alone is reanalysed. This tests the approximation, not the code:
scenarios are not draws from the prior, and reports are not draws from the likelihood.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.calibration.parallel import Mapped
from cotreat.core.constants import ANY, INTERVAL, SEED
from cotreat.core.errors import ModelError
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import CONDITIONAL, Estimand, is_beyond_null
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace
from cotreat.inference.batch import Answer, Specification, fit_many
from cotreat.models.registry import find_model
from cotreat.study.regimens import NONE
from cotreat.study.study import Meaning, ReportedEstimate, Study
from validation.published_paper import (
    UnprintableError,
    claims_synergy,
    counted_wholly,
    odds_ratio_of,
    published,
    reread,
    used_claims,
)
from validation.true_cohorts import (
    MULTIPLICATIVE,
    SYNERGISTIC,
    Cohort,
    Scenario,
    draw,
    plain,
    scenarios,
)

PART = 10
"""Number of cohorts per batch, for any number of processes."""
EFFECTIVE_AGAIN = 4_000
"""Effective draws of the second fit, after an unreliable first fit."""
CAREFUL = laplace.Effort(draws=6000, rounds=30, components=16, kept=12_000)
"""Effort of the second fit: three times the draws in about twice the time. Of 290 fits to the same reported
estimates (published/sun2024, ten cohorts), 24 instead of 29 were unreliable; in 19 of them with either effort
the cause was several modes, which more draws do not resolve."""
COHORTS = 30
"""Default number of cohorts per scenario."""
TRIES = 5_000
"""Maximal number of cohorts drawn until one can be reported and, if required, its paper reports synergy."""
SURE = 0.95
"""P(synergy) above which the result is conclusive for synergy."""
MODEL, PRIORS = "exchangeable", "weak"
WHOLE = "counts of every patient"
EVERY_PAPER_IN = (MULTIPLICATIVE, SYNERGISTIC)
"""Scenarios in which every paper is analysed; the others have the default paper and its misinterpretation."""
CLAIMED_IN = MULTIPLICATIVE
"""The scenario without synergy in which cohorts are also selected for significance."""
ALL, CLAIMED = "all", "claimed"
"""All cohorts, and cohorts whose paper reports significant synergy of the first pair."""
KEYS = ["of", "scenario", "measure", "paper", "pair"]


@dataclass(frozen=True)
class Paper:
    """The content of a report and its interpretation.

    Attributes
    ----------
    printed_by, read_as : str
        The interpretation that the paper intends, and the interpretation used in the reanalysis.
    more : tuple of ReportedEstimate
        Reported estimates that are added to those of the study.
    counted : tuple of str
        Regimens whose patients and events are reported.
    words : str
        Description of the added estimates.
    """

    printed_by: str
    read_as: str
    more: tuple[ReportedEstimate, ...] = ()
    counted: tuple[str, ...] = ()
    words: str = ""

    @property
    def label(self) -> str:
        """Name of the paper in tables and figures."""
        if self.read_as != self.printed_by:
            return f"{self.printed_by}, misread as {self.read_as}"
        return f"{self.printed_by}, and {self.words}" if self.words else self.printed_by

    def of(self, study: Study, cohort: Cohort, name: str) -> Study:
        """Report a cohort and interpret the report.

        Parameters
        ----------
        study
            The study whose estimates are reported.
        cohort
            The patients.
        name
            Distinguishes the digest of the result.

        Returns
        -------
        Study
            The report, under the interpretation of the reanalysis.

        Raises
        ------
        UnprintableError
            If an odds ratio is not finite or rounds to 0.
        """
        by = study.resolve(self.printed_by)
        report = published(
            by, cohort, f"{name}, {self.label}", more=self.more, counted=self.counted
        )
        if self.read_as == self.printed_by:
            return report
        return reread(report, study.resolve(self.read_as))


def papers(study: Study) -> Iterator[Paper]:
    """Yield the papers: each interpretation as intended, the default misinterpreted, and additional estimates.

    Parameters
    ----------
    study
        A study without levels and subgroups.

    Yields
    ------
    Paper
        A content of the report and its interpretation.
    """
    default = study.resolve(study.interpretations[0].id)
    for interpretation in study.interpretations:
        yield Paper(interpretation.id, interpretation.id)
    as_reported = {reported_estimate.id for reported_estimate in used_claims(default)}
    for interpretation in study.interpretations[1:]:
        if {
            reported_estimate.id
            for reported_estimate in used_claims(study.resolve(interpretation.id))
        } <= as_reported:
            yield Paper(default.interpretation, interpretation.id)
    yield from _with_more(default)


def _with_more(study: Study) -> Iterator[Paper]:
    """Yield papers with additional estimates: odds ratios of further regimens, products, or counts."""

    def paper(
        words: str, more: tuple[ReportedEstimate, ...] = (), counted: tuple[str, ...] = ()
    ) -> Paper:
        return Paper(study.interpretation, study.interpretation, more, counted, words)

    of_regimens = [c for c in used_claims(study) if c.meaning and c.meaning.kind == "regimens"]
    compared = [c.meaning.words for c in of_regimens if c.meaning]
    left = [r for r in study.present if r not in {word for words in compared for word in words}]
    if compared and left:
        base, model = compared[0][1], of_regimens[0].model
        more = tuple(
            odds_ratio_of(Meaning("regimens", (label, base)), f"{label} vs {base}", model)
            for label in left
        )
        yield paper(f"odds ratios of {', '.join(left)} against {base}", more)
    if len(study.pairs) > 1:
        ends = [(pair, *(other for other in study.pairs if other != pair)) for pair in study.pairs]
        more = tuple(
            odds_ratio_of(Meaning("products", words), f"product {':'.join(words[0])}", "products")
            for words in ends
        )
        yield paper("odds ratios of the products of every pair", more)
    first, second = study.treatment_ids[:2]
    counted = (first, second, f"{first}+{second}")
    if set(counted) <= set(study.present):
        yield paper(f"events and patients on {', '.join(counted)}", counted=counted)


@dataclass(frozen=True)
class Analysis:
    """A batch of cohorts of one scenario.

    Attributes
    ----------
    study : Study
        The study to which the scenario is calibrated.
    scenario : Scenario
        The scenario.
    papers : tuple of Paper
        Reports of each cohort.
    of : str
        `ALL`, or `CLAIMED`: cohorts whose paper reports significant synergy of the first pair.
    first, count : int
        Index of the first cohort, and number of cohorts.
    seed : int
        Seed of the simulation.
    """

    study: Study
    scenario: Scenario
    papers: tuple[Paper, ...]
    of: str
    first: int
    count: int
    seed: int


def parts_of(study: Study, cohorts: int, seed: int) -> list[Analysis]:
    """Split the simulation into batches.

    Parameters
    ----------
    study
        A study with reported estimates.
    cohorts
        Number of cohorts per scenario.
    seed
        Seed of the simulation.

    Raises
    ------
    SimulationError
        If no scenario can be calibrated to the study.
    ModelError
        If the model does not apply to the study.
    """
    every = list(scenarios(study))
    find_model(MODEL, study)
    unstratified = plain(study)
    reports = tuple(papers(unstratified))
    intended = unstratified.interpretations[0].id
    default = tuple(p for p in reports if p.printed_by == intended and not p.words)
    kinds: list[tuple[Scenario, str, tuple[Paper, ...]]] = [
        (scenario, ALL, reports if scenario.name in EVERY_PAPER_IN else default)
        for scenario in every
    ]
    # A paper without a product term would report synergy by an odds ratio of the combination, which is
    # significant in nearly all cohorts.
    kinds += [
        (scenario, CLAIMED, (paper,))
        for scenario in every
        for paper in reports
        if scenario.name == CLAIMED_IN and _has_product(unstratified.resolve(paper.printed_by))
    ]
    return [
        Analysis(unstratified, scenario, kept, of, first, min(PART, cohorts - first), seed)
        for scenario, of, kept in kinds
        for first in range(0, cohorts, PART)
    ]


def _has_product(study: Study) -> bool:
    """Test whether a study reports a product term."""
    return any("product" in c.meaning.kind for c in used_claims(study) if c.meaning)


def reanalysed(part: Analysis) -> pd.DataFrame:
    """Draw, report and reanalyse the cohorts of a batch.

    Parameters
    ----------
    part
        The batch.

    Returns
    -------
    pandas.DataFrame
        One row per cohort, paper and pair, for the measure whose true value the scenario determines:
        ``truth``; ``is_claimed``, whether the paper reports significant synergy of the first pair;
        ``estimate``, ``lower`` and ``upper`` (median and 95 % interval); ``probability`` of synergy;
        ``verdict`` on the approximation; and ``tried``, the number of cohorts drawn for this one.

    Raises
    ------
    ModelError
        If no cohort can be reported as required.
    """
    labelled: list[dict[str, object]] = []
    specifications = []
    for at in range(part.first, part.first + part.count):
        rng = np.random.default_rng((part.seed, at, *_name(part, "").encode()))
        cohort, as_reported, tried = _printable(part, at, rng)
        labels = [paper.label for paper in part.papers]
        if part.of == ALL:
            labels.append(WHOLE)
            as_reported.append(counted_wholly(part.study, cohort, _name(part, f"{at}, whole")))
        for label, study in zip(labels, as_reported, strict=True):
            specifications.append(Specification(study, MODEL, PRIORS))
            is_claimed = claims_synergy(study)
            labelled.append(
                {"cohort": at, "paper": label, "is_claimed": is_claimed, "tried": tried}
            )
    answers = _answered(specifications, part.seed + part.first)
    rows = [
        {
            "of": part.of,
            "scenario": part.scenario.name,
            "measure": part.scenario.measure,
            **of,
            **row,
        }
        for of, answer in zip(labelled, answers, strict=True)
        for row in _rows(part.scenario, answer)
    ]
    return pd.DataFrame(rows)


def _name(part: Analysis, more: str) -> str:
    """Return a name that is unique to a batch and a suffix."""
    return f"{part.scenario.name}, {part.of}, {part.papers[0].label}: {more}"


def _answered(specifications: Sequence[Specification], seed: int) -> list[Answer]:
    """Fit all specifications; repeat each unreliable fit separately, with more draws and more effort."""
    answers = fit_many(specifications, seed=seed, processes=1)
    for at, specification in enumerate(specifications):
        if answers[at].verdict == laplace.UNRELIABLE:
            (answers[at],) = fit_many(
                [specification],
                effective=EFFECTIVE_AGAIN,
                seed=seed + 1,
                processes=1,
                effort=CAREFUL,
            )
    return answers


def _printable(
    part: Analysis, at: int, rng: np.random.Generator
) -> tuple[Cohort, list[Study], int]:
    """Draw a cohort that every paper can report and, if required, whose paper reports synergy."""
    for tried in range(1, TRIES + 1):
        cohort = draw(part.scenario, rng)
        try:
            as_reported = [
                paper.of(part.study, cohort, _name(part, str(at))) for paper in part.papers
            ]
        except UnprintableError:
            continue
        if part.of == ALL or claims_synergy(as_reported[0]):
            return cohort, as_reported, tried
    raise ModelError(
        f"of {TRIES:,} cohorts of the scenario {part.scenario.name}, calibrated to {part.study.id}, none can be "
        "reported as required"
    )


def measures_of(study: Study, name: str) -> dict[str, Estimand]:
    """Return the estimand of a measure for every pair, with no other study drug.

    Parameters
    ----------
    study
        The study.
    name
        Name of the measure.

    Returns
    -------
    dict
        `Estimand` by pair.
    """
    return {
        estimand.pair: estimand
        for estimand in enumerate_estimands(study, find_model(MODEL, study), resolve(study))
        if estimand.measure == name and estimand.is_judged and estimand.co_treatment in (NONE, ANY)
    }


def _rows(scenario: Scenario, answer: Answer) -> Iterator[dict[str, object]]:
    """Yield truth and posterior summary of every pair."""
    truth = scenario.truth(is_crude=CONDITIONAL not in answer.risk_draws)
    is_unreliable = answer.verdict == laplace.UNRELIABLE
    for pair, estimand in measures_of(answer.study, scenario.measure).items():
        row = {"pair": pair, "truth": float(estimand.values(truth)), "verdict": answer.verdict}
        yield {**row, **_summary(estimand, answer.risk_draws, is_unreliable=is_unreliable)}


def _summary(
    estimand: Estimand, risk_draws: xr.Dataset, *, is_unreliable: bool
) -> dict[str, float]:
    """Return median, 95 % interval and P(synergy); NaN for an unreliable fit."""
    if is_unreliable:
        return dict.fromkeys(("estimate", "lower", "upper", "probability"), float("nan"))
    values = estimand.values(risk_draws).values.ravel()
    tail = (1 - INTERVAL) / 2
    lower, median, upper = np.quantile(values, [tail, 0.5, 1 - tail])
    probability = float(is_beyond_null(estimand, risk_draws).mean())
    return {"estimate": median, "lower": lower, "upper": upper, "probability": probability}


def reanalyse_published(
    study: Study,
    *,
    cohorts: int = COHORTS,
    seed: int = SEED,
    mapped: Mapped = map,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> pd.DataFrame:
    """Draw, report and reanalyse cohorts of scenarios calibrated to a study.

    Parameters
    ----------
    study
        A study with reported estimates only.
    cohorts
        Number of cohorts per scenario.
    seed
        Seed of the simulation.
    mapped
        A map over batches, from `cotreat.calibration.parallel.workers`; it does not affect the numbers.
    on_progress
        Called with the number of finished batches and the number of all batches.

    Returns
    -------
    pandas.DataFrame
        The rows of `reanalysed` for all batches.

    Raises
    ------
    SimulationError
        If no scenario can be calibrated to the study.
    ModelError
        If the model does not apply to the study, or no cohort can be reported as required.
    """
    parts = parts_of(study, cohorts, seed)
    tables: list[pd.DataFrame] = []
    for rows in mapped(reanalysed, parts):
        tables.append(rows)
        on_progress(len(tables), len(parts))
    return pd.concat(tables, ignore_index=True)


# --- Rates -----------------------------------------------------------------------------------------


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise the rows over cohorts.

    Parameters
    ----------
    rows
        Rows returned by `reanalyse_published`.

    Returns
    -------
    pandas.DataFrame
        By `KEYS`: ``truth``; ``cohorts``, the number of cohorts; ``dropped``, the number of unreliable fits;
        ``claims``, the share of drawn cohorts whose paper reports significant synergy of the first pair;
        ``sure``, the share of reliable fits with P(synergy) above `SURE`; ``sure_lower`` and ``sure_upper``, its
        95 % interval, which covers every possible result of the dropped fits; ``coverage`` of 95 % intervals;
        ``width``, their median width, on the log scale for ratios; and the mean ``probability``.
    """
    return pd.DataFrame(
        [
            {**dict(zip(KEYS, key, strict=True)), **_summed(group)}
            for key, group in rows.groupby(KEYS, sort=False)
        ]
    )


def _summed(rows: pd.DataFrame) -> dict[str, float]:
    """Return the rates of one group of rows."""
    kept = rows[rows.verdict != laplace.UNRELIABLE]
    is_log = MEASURES[rows.measure.iloc[0]].log
    ends = [np.log(end) if is_log else end for end in (kept.lower, kept.upper)]
    sure, dropped = int((kept.probability > SURE).sum()), len(rows) - len(kept)
    (lower, _), (_, upper) = (_wilson(hits, len(rows)) for hits in (sure, sure + dropped))
    is_covered = (kept.lower <= kept.truth) & (kept.truth <= kept.upper)
    return {
        "truth": rows.truth.iloc[0],
        "cohorts": len(rows),
        "dropped": dropped,
        "claims": rows.is_claimed.sum() / rows.tried.sum(),
        "sure": sure / len(kept) if len(kept) else float("nan"),
        "sure_lower": lower,
        "sure_upper": upper,
        "coverage": is_covered.mean(),
        "width": (ends[1] - ends[0]).median(),
        "probability": kept.probability.mean(),
    }


def _wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a proportion."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(hits, count, alpha=1 - INTERVAL, method="wilson")
    return float(lower), float(upper)
