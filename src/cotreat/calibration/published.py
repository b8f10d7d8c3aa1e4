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

from cotreat import laplace
from cotreat.batch import Answer, Specification, fit_many
from cotreat.calibration.printing import (
    UnprintableError,
    counted_wholly,
    estimates,
    odds_ratio_of,
    published,
    reread,
    used_claims,
)
from cotreat.calibration.scale import Mapped, in_turn
from cotreat.calibration.worlds import SYNERGISTIC, Cohort, World, draw, plain, worlds
from cotreat.catalogue import ModelError, find_model
from cotreat.estimands import Estimand, enumerate_estimands, is_beyond_null, subject_of
from cotreat.measures import REPRESENTATIVE
from cotreat.names import COHORTS, SEED
from cotreat.regimens import NONE
from cotreat.study import Claim, Meaning, Study

PART = 10
"""Cohorts that are drawn and reanalysed together, whatever the number of processes."""
EFFECTIVE_AGAIN, AGAIN = 4_000, 2
"""Effective draws of an answer that could not be trusted and is asked for again, and how often that is done."""
TRIES = 2_000
"""Cohorts drawn for one that can be printed, or in which a synergy is claimed, at most."""
SURE, SIGNIFICANT = 0.95, 0.05
"""P(synergy) beyond which a reader would call it shown, and p below which a paper does."""
NULL = 1e-3
"""Truths that are no farther beyond their null than that are not synergistic."""
MODEL, PRIORS = "exchangeable", "weak"
WHOLE = "every patient"
ALL, CLAIMED = "all", "claimed"
"""Cohorts as they come, and those whose paper claims the synergy of the first pair."""
KEYS = ["of", "world", "paper", "read_as", "measure", "is_synergy"]


@dataclass(frozen=True)
class Paper:
    """What is printed, and how that is read.

    Attributes
    ----------
    printed_by, read_as : str
        Readings: by which the paper means its numbers, and by which they are taken.
    name : str
        What is printed, in words.
    more : tuple of Claim
    counted : tuple of str
        Regimens of which patients and events are printed.
    """

    name: str
    printed_by: str
    read_as: str
    more: tuple[Claim, ...] = ()
    counted: tuple[str, ...] = ()

    @property
    def is_more(self) -> bool:
        """Whether more is printed than the study prints."""
        return bool(self.more or self.counted)

    @property
    def is_misread(self) -> bool:
        """Whether it is taken for what it does not mean."""
        return self.printed_by != self.read_as

    def of(self, study: Study, cohort: Cohort, name: str) -> Study:
        """Print a cohort, and read it."""
        by = study.under(self.printed_by)
        found = published(by, cohort, f"{name}, {self.name}", more=self.more, counted=self.counted)
        return reread(found, study.under(self.read_as)) if self.is_misread else found


def papers(study: Study) -> Iterator[Paper]:
    """Yield what is printed: each reading read as it is meant, the default misread, and three numbers more."""
    plain_study = plain(study)
    default = plain_study.readings[0].id
    for reading in plain_study.readings:
        yield Paper(reading.id, reading.id, reading.id)
    printed = {claim.id for claim in used_claims(plain_study.under(default))}
    for reading in plain_study.readings[1:]:
        own = {claim.id for claim in used_claims(plain_study.under(reading.id))}
        if own <= printed:
            yield Paper(default, default, reading.id)
    for name, more, counted in _three_more(plain_study.under(default)):
        yield Paper(f"{default}, and {name}", default, default, more, counted)


def _three_more(study: Study) -> Iterator[tuple[str, tuple[Claim, ...], tuple[str, ...]]]:
    """Yield three numbers that could be printed beside those of a study, in words, as claims and as counts."""
    compared = [
        c.meaning.words for c in used_claims(study) if c.meaning and c.meaning.kind == "regimens"
    ]
    model = next(
        (c.model for c in used_claims(study) if c.meaning and c.meaning.kind == "regimens"), ""
    )
    against = [words[1] for words in compared]
    left = [r for r in study.present if r not in {word for words in compared for word in words}]
    if against and len(left) == THREE:
        base = against[0]
        claims = tuple(
            odds_ratio_of(Meaning("regimens", (label, base)), f"{label} vs {base}", model)
            for label in left
        )
        yield f"odds ratios of {', '.join(left)} against {base}", claims, ()
    if len(study.pairs) == THREE:
        ends = [(pair, *(other for other in study.pairs if other != pair)) for pair in study.pairs]
        claims = tuple(
            odds_ratio_of(Meaning("products", words), f"product {':'.join(words[0])}", "products")
            for words in ends
        )
        yield "the products of one regression with their intervals", claims, ()
    first, second = study.treatment_ids[:2]
    counted = (first, second, f"{first}+{second}")
    if set(counted) <= set(study.present):
        yield f"events and patients on {', '.join(counted)}", (), counted


THREE = 3


@dataclass(frozen=True)
class Part:
    """Cohorts of one world that one process draws and reanalyses.

    Attributes
    ----------
    of : str
        `ALL` or `CLAIMED`: of what is drawn, all, or what a paper would print because its p is small.
    """

    study: Study
    world: World
    papers: tuple[Paper, ...]
    of: str
    first: int
    count: int
    seed: int


def parts_of(study: Study, cohorts: int, seed: int) -> list[Part]:
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
    found = tuple(papers(study))
    return [
        Part(own, world, kept, of, first, min(PART, cohorts - first), seed)
        for world in every
        for of, kept in ((ALL, found), (CLAIMED, tuple(p for p in found if not p.is_more)))
        if of == ALL or world.name != SYNERGISTIC  # a claim of what is so is no false one
        for first in range(0, cohorts, PART)
    ]


def reanalysed(part: Part) -> pd.DataFrame:
    """Draw, print and reanalyse the cohorts of a part.

    Returns
    -------
    pandas.DataFrame
        A row for each cohort, paper and measure of a pair: ``truth``, ``is_synergy`` of the truth,
        ``estimate``, ``lower``, ``upper``, ``probability`` and ``verdict``. Of `CLAIMED` the first pair alone.
    """
    asked: list[dict[str, object]] = []
    specifications = []
    for at in range(part.first, part.first + part.count):
        rng = np.random.default_rng((part.seed, at, *f"{part.world.name} {part.of}".encode()))
        cohort, printed = _printable(part, at, rng)
        whole = counted_wholly(part.study, cohort, f"{part.world.name} {part.of} {at}, whole")
        names = [(paper.name, paper.read_as) for paper in part.papers]
        for (paper, read_as), study in zip(
            [*names, (WHOLE, WHOLE)], [*printed, whole], strict=True
        ):
            specifications.append(Specification(study, MODEL, PRIORS))
            asked.append({"cohort": at, "paper": paper, "read_as": read_as})
    answers = _answered(specifications, part.seed + part.first)
    pairs = part.study.pair_labels[:1] if part.of == CLAIMED else part.study.pair_labels
    rows = [
        {"of": part.of, "world": part.world.name, **of, **row}
        for of, answer in zip(asked, answers, strict=True)
        for row in _rows(part.world, answer, pairs)
    ]
    return pd.DataFrame(rows)


def _answered(specifications: Sequence[Specification], seed: int) -> list[Answer]:
    """Fit all, and what cannot be trusted again, by itself and with more draws."""
    answers = fit_many(specifications, seed=seed, processes=1)
    for at, one in enumerate(specifications):
        for again in range(1, AGAIN + 1):
            if answers[at].verdict != laplace.BAD:
                break
            more = fit_many([one], effective=EFFECTIVE_AGAIN, seed=seed + again, processes=1)
            answers[at] = more[0]
    return answers


def _printable(part: Part, at: int, rng: np.random.Generator) -> tuple[Cohort, list[Study]]:
    """Draw a cohort that every paper can print, and whose synergy it claims where that is asked."""
    study = part.study
    claim = (odds_ratio_of(Meaning("product", study.pairs[0]), study.pair_labels[0], ""),)
    for _ in range(TRIES):
        cohort = draw(part.world, rng)
        try:
            if part.of == CLAIMED:
                (one,) = estimates(study, claim, cohort).values()
                if one.log < 0 or one.p_value >= SIGNIFICANT:
                    continue
            name = f"{part.world.name} {part.of} {at}"
            return cohort, [paper.of(study, cohort, name) for paper in part.papers]
        except UnprintableError:
            continue
    raise ModelError(
        f"of {TRIES:,} cohorts of the {part.world.name} world in the image of {study.id} none can be printed"
    )


def measures_of(study: Study) -> list[Estimand]:
    """List one measure of each family and pair, on top of no other treatment."""
    return [
        one
        for one in enumerate_estimands(study, find_model(MODEL, study))
        if one.measure is not None
        and one.measure.name in REPRESENTATIVE.values()
        and one.is_judged
        and (one.background == NONE or one.background.startswith("every"))
    ]


def _rows(world: World, answer: Answer, pairs: Sequence[str]) -> Iterator[dict[str, object]]:
    truth = world.truth(is_crude=not answer.study.has_uncounted)
    is_bad = answer.verdict == laplace.BAD
    for one in measures_of(answer.study):
        if subject_of(one.label) not in pairs:
            continue
        assert one.measure is not None  # noqa: S101 - for the type checker
        assert one.null is not None  # noqa: S101
        true = float(one.values(truth))
        row = {
            "measure": one.measure.name,
            "pair": subject_of(one.label),
            "truth": true,
            "is_synergy": true > one.null + NULL,
            "verdict": answer.verdict,
        }
        yield row if is_bad else {**row, **_told(one, answer.waist)}


def _told(one: Estimand, waist: xr.Dataset) -> dict[str, float]:
    values = one.values(waist).values.ravel()
    lower, middle, upper = np.quantile(values, [0.025, 0.5, 0.975])
    beyond = float(is_beyond_null(one, waist).mean())
    return {"estimate": middle, "lower": lower, "upper": upper, "probability": beyond}


def reanalyse_published(
    study: Study,
    *,
    cohorts: int = COHORTS,
    seed: int = SEED,
    mapped: Mapped = in_turn,
    say: Callable[[int, int], None] = lambda _done, _all: None,
) -> pd.DataFrame:
    """Draw cohorts in the image of a study, print and reanalyse them.

    Parameters
    ----------
    study
        One of which only numbers are printed.
    cohorts
        Of each world.
    mapped
        What `cotreat.calibration.scale.workers` gives; it changes no number.
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
        say(len(found), len(parts))
    return pd.concat([found[at] for at in range(len(parts))], ignore_index=True)


# --- Rates -----------------------------------------------------------------------------------------


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up over cohorts and pairs.

    Returns
    -------
    pandas.DataFrame
        By `KEYS`: ``cohorts`` and ``answers`` (a cohort has one for each pair), of which ``dropped`` have
        a posterior that cannot be trusted; ``sure``, the share of the others with P(synergy) above
        `SURE`, false where ``is_synergy`` is not so, with an interval that counts cohorts alone, for
        the pairs of one are not independent; ``coverage`` of 95 % intervals; ``width``, their median width, on
        the log scale of ratios; and the mean ``probability``.
    """
    is_kept = rows.verdict != laplace.BAD
    is_ratio = rows.measure.isin(RATIOS)
    lower, upper = rows.lower.where(~is_ratio, np.log(rows.lower)), rows.upper
    wide = upper.where(~is_ratio, np.log(upper)) - lower
    kept = rows.assign(
        is_kept=is_kept,
        sure=(rows.probability > SURE).where(is_kept),
        covered=((rows.lower <= rows.truth) & (rows.truth <= rows.upper)).where(is_kept),
        width=wide,
        own=rows.cohort.where(is_kept),
    )
    table = (
        kept.groupby(KEYS, sort=False)
        .agg(
            cohorts=("own", "nunique"),
            answers=("is_kept", "size"),
            dropped=("is_kept", lambda own: int((~own).sum())),
            sure=("sure", "mean"),
            coverage=("covered", "mean"),
            width=("width", "median"),
            probability=("probability", "mean"),
        )
        .reset_index()
    )
    ends = [_wilson(float(row.sure), int(row.cohorts)) for row in table.itertuples()]
    table[["sure_lower", "sure_upper"]] = ends
    return table


RATIOS = ("ror", "rrr")


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    if not count:
        return float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(share * count, count, method="wilson")
    return float(lower), float(upper)
