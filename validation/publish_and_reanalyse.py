"""Simulate, publish, reanalyse: how far a probability of synergy may be trusted that came from print.

Cohorts of worlds of which all is known are drawn patient by patient; a paper prints what the study prints,
rounded; and the print is reanalysed. It tests the approximation, not the code: worlds are no draws from the
prior, and print is no draw from the likelihood.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.calibration.parallel import Mapped, in_turn
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
    World,
    draw,
    plain,
    worlds,
)

PART = 10
"""Cohorts that are drawn and reanalysed together, whatever the number of processes."""
EFFECTIVE_AGAIN = 4_000
"""Effective draws of an answer that could not be trusted and is asked for once more."""
COHORTS = 30
"""Cohorts of each true cohort that are published and reanalysed, unless another number is given."""
TRIES = 5_000
"""Cohorts drawn for one that can be printed, or whose paper claims a synergy, at most."""
SURE = 0.95
"""P(synergy) beyond which a reader would call it shown."""
MODEL, PRIORS = "exchangeable", "weak"
WHOLE = "counts of every patient"
EVERY_PAPER_IN = (MULTIPLICATIVE, SYNERGISTIC)
"""Worlds in which every paper is looked at; in the others the default one, and how it is misread."""
CLAIMED_IN = MULTIPLICATIVE
"""The world without synergy of which cohorts are drawn until a paper claims it."""
ALL, CLAIMED = "all", "claimed"
"""Cohorts as they come, and those whose paper claims the synergy of the first pair."""
KEYS = ["of", "world", "measure", "paper", "pair"]


@dataclass(frozen=True)
class Paper:
    """What is printed, and how that is read.

    Attributes
    ----------
    printed_by, read_as : str
        Readings: by which the paper means its numbers, and by which they are taken.
    more : tuple of Claim
    counted : tuple of str
        Regimens of which patients and events are printed.
    words : str
        What is printed beside the numbers of the study.
    """

    printed_by: str
    read_as: str
    more: tuple[ReportedEstimate, ...] = ()
    counted: tuple[str, ...] = ()
    words: str = ""

    @property
    def label(self) -> str:
        """Name it."""
        if self.read_as != self.printed_by:
            return f"{self.printed_by}, misread as {self.read_as}"
        return f"{self.printed_by}, and {self.words}" if self.words else self.printed_by

    def of(self, study: Study, cohort: Cohort, name: str) -> Study:
        """Print a cohort, and read it."""
        by = study.resolve(self.printed_by)
        found = published(by, cohort, f"{name}, {self.label}", more=self.more, counted=self.counted)
        if self.read_as == self.printed_by:
            return found
        return reread(found, study.resolve(self.read_as))


def papers(study: Study) -> Iterator[Paper]:
    """Yield what is printed: each reading read as it is meant, the default misread, and some numbers more.

    Parameters
    ----------
    study
        Without levels and subgroups.
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
    """Yield papers that print more: regimens of which nothing is said, products, or counts."""

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
    """Cohorts of one world that one process draws and reanalyses.

    Attributes
    ----------
    of : str
        `ALL`; or `CLAIMED`, those in which the one paper claims the synergy of the first pair.
    """

    study: Study
    world: World
    papers: tuple[Paper, ...]
    of: str
    first: int
    count: int
    seed: int


def parts_of(study: Study, cohorts: int, seed: int) -> list[Analysis]:
    """Cut the work into parts.

    Raises
    ------
    SimulationError
        If no worlds can be made in the image of the study.
    ModelError
        If the study cannot carry the model.
    """
    every = list(worlds(study))
    find_model(MODEL, study)
    own = plain(study)
    found = tuple(papers(own))
    default = tuple(p for p in found if p.printed_by == own.interpretations[0].id and not p.words)
    kinds: list[tuple[World, str, tuple[Paper, ...]]] = [
        (world, ALL, found if world.name in EVERY_PAPER_IN else default) for world in every
    ]
    # Of a paper without a product of its own the claim is an odds ratio of the combination, which is there
    # in nearly all cohorts.
    kinds += [
        (world, CLAIMED, (paper,))
        for world in every
        for paper in found
        if world.name == CLAIMED_IN and _has_product(own.resolve(paper.printed_by))
    ]
    return [
        Analysis(own, world, kept, of, first, min(PART, cohorts - first), seed)
        for world, of, kept in kinds
        for first in range(0, cohorts, PART)
    ]


def _has_product(study: Study) -> bool:
    return any("product" in c.meaning.kind for c in used_claims(study) if c.meaning)


def reanalysed(part: Analysis) -> pd.DataFrame:
    """Draw, print and reanalyse the cohorts of a part.

    Returns
    -------
    pandas.DataFrame
        A row for each cohort, paper and pair, of the measure whose truth the world fixes: ``truth``,
        ``is_claimed`` by the paper, of the first pair; ``estimate``, ``lower``, ``upper``, ``probability`` of
        synergy, ``verdict`` and ``tried``, cohorts that were drawn for it.
    """
    asked: list[dict[str, object]] = []
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
            asked.append({"cohort": at, "paper": label, "is_claimed": is_claimed, "tried": tried})
    answers = _answered(specifications, part.seed + part.first)
    rows = [
        {"of": part.of, "world": part.world.name, "measure": part.world.measure, **of, **row}
        for of, answer in zip(asked, answers, strict=True)
        for row in _rows(part.world, answer)
    ]
    return pd.DataFrame(rows)


def _name(part: Analysis, more: str) -> str:
    return f"{part.world.name}, {part.of}, {part.papers[0].label}: {more}"


def _answered(specifications: Sequence[Specification], seed: int) -> list[Answer]:
    """Fit all, and what cannot be trusted again, by itself and with care."""
    answers = fit_many(specifications, seed=seed, processes=1)
    for at, one in enumerate(specifications):
        if answers[at].verdict == laplace.UNRELIABLE:
            (answers[at],) = fit_many(
                [one],
                effective=EFFECTIVE_AGAIN,
                seed=seed + 1,
                processes=1,
                effort=laplace.CAREFUL,
            )
    return answers


def _printable(
    part: Analysis, at: int, rng: np.random.Generator
) -> tuple[Cohort, list[Study], int]:
    """Draw a cohort that every paper can print, and whose synergy it claims where that is asked."""
    for tried in range(1, TRIES + 1):
        cohort = draw(part.world, rng)
        try:
            as_reported = [
                paper.of(part.study, cohort, _name(part, str(at))) for paper in part.papers
            ]
        except UnprintableError:
            continue
        if part.of == ALL or claims_synergy(as_reported[0]):
            return cohort, as_reported, tried
    raise ModelError(
        f"of {TRIES:,} cohorts of the world {part.world.name} in the image of {part.study.id} none can be "
        "printed as asked"
    )


def measures_of(study: Study, name: str) -> dict[str, Estimand]:
    """Return a measure of every pair, on top of no other treatment."""
    return {
        one.pair: one
        for one in enumerate_estimands(study, find_model(MODEL, study), resolve(study))
        if one.measure == name and one.is_judged and one.co_treatment in (NONE, ANY)
    }


def _rows(world: World, answer: Answer) -> Iterator[dict[str, object]]:
    truth = world.truth(is_crude=CONDITIONAL not in answer.risk_draws)
    is_unreliable = answer.verdict == laplace.UNRELIABLE
    for pair, one in measures_of(answer.study, world.measure).items():
        row = {"pair": pair, "truth": float(one.values(truth)), "verdict": answer.verdict}
        yield {**row, **_told(one, answer.risk_draws, is_unreliable=is_unreliable)}


def _told(one: Estimand, risk_draws: xr.Dataset, *, is_unreliable: bool) -> dict[str, float]:
    if is_unreliable:
        return dict.fromkeys(("estimate", "lower", "upper", "probability"), float("nan"))
    values = one.values(risk_draws).values.ravel()
    tail = (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(values, [tail, 0.5, 1 - tail])
    beyond = float(is_beyond_null(one, risk_draws).mean())
    return {"estimate": middle, "lower": lower, "upper": upper, "probability": beyond}


def reanalyse_published(
    study: Study,
    *,
    cohorts: int = COHORTS,
    seed: int = SEED,
    mapped: Mapped = in_turn,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> pd.DataFrame:
    """Draw cohorts in the image of a study, print and reanalyse them.

    Parameters
    ----------
    study
        One of which only numbers are printed.
    cohorts
        Of each world.
    mapped
        What `cotreat.calibration.parallel.workers` gives; it changes no number.
    say
        Called with how many parts are done, and of how many.

    Returns
    -------
    pandas.DataFrame
        What `reanalysed` returns, of all parts.
    """
    parts = parts_of(study, cohorts, seed)
    found: dict[int, pd.DataFrame] = {}
    for at, rows in mapped(reanalysed, parts):
        found[at] = rows
        on_progress(len(found), len(parts))
    return pd.concat([found[at] for at in range(len(parts))], ignore_index=True)


# --- Rates -----------------------------------------------------------------------------------------


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up over cohorts.

    Returns
    -------
    pandas.DataFrame
        By `KEYS`: ``truth``; ``cohorts``, of which ``dropped`` have a posterior that cannot be trusted;
        ``claims``, the share of cohorts drawn whose paper claims the synergy of the first pair; ``sure``, the
        share of those not dropped with P(synergy) above `SURE`, and its interval, from that of none of the
        dropped to that of all; ``coverage`` of 95 % intervals; ``width``, their median width, on the log
        scale of ratios; and the mean ``probability``.
    """
    return pd.DataFrame(
        [
            {**dict(zip(KEYS, key, strict=True)), **_summed(own)}
            for key, own in rows.groupby(KEYS, sort=False)
        ]
    )


def _summed(rows: pd.DataFrame) -> dict[str, float]:
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
    """Return the 95 % interval of a share."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(hits, count, alpha=1 - INTERVAL, method="wilson")
    return float(lower), float(upper)
