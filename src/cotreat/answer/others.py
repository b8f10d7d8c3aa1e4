"""What other choices of reading, model and priors find of the same pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from cotreat.answer.finding import Finding
from cotreat.core.constants import CONTRADICTED
from cotreat.estimands.measures import LOG_ODDS, REPRESENTATIVE
from cotreat.priors.sets import grid_name
from cotreat.results.old_columns import EVERY, EXTRAPOLATED, OBSERVED, old_columns
from cotreat.results.supplementary import BAD

Choice = tuple[str, str, str]
"""A reading, a model and a set of priors."""

WEAK = "weak (default)"
"""How the grid of beliefs calls the default, which `cotreat.sensitivity.belief_grid` says too, but loads PyMC."""


@dataclass(frozen=True)
class Alternative:
    """What another choice of reading, model and priors gave.

    Attributes
    ----------
    rows : pandas.DataFrame
        Its posterior rows, with ``estimand``, ``background``, ``availability`` and ``probability``.
    log_evidence : float
        Missing where it is not known.
    is_bad : bool
        Whether its checks failed.
    effective : float
        How many independent draws its probabilities are worth.
    """

    choice: Choice
    rows: pd.DataFrame
    log_evidence: float = float("nan")
    is_bad: bool = False
    effective: float = math.inf


def alternatives_of(multiverse: pd.DataFrame, effective: float = math.inf) -> list[Alternative]:
    """Return the choices of a table with the columns of `cotreat.results.supplementary.MULTIVERSE_COLUMNS`."""
    found = []
    multiverse = old_columns(multiverse)
    for choice, rows in multiverse.groupby(["reading", "model", "priors"], sort=False):
        reading, model, priors = map(str, choice)
        evidence = rows.log_evidence.astype(float).max()
        is_bad = bool((rows.verdict == BAD).any())
        found.append(
            Alternative((reading, model, priors), rows, float(evidence), is_bad, effective)
        )
    return found


def beliefs_of_grid(
    grid: pd.DataFrame, reading: str, model: str, effective: float = math.inf
) -> list[Alternative]:
    """Return the prior sets of a table with the columns of ``cotreat.sensitivity.belief_grid.COLUMNS``.

    They speak of the ratio of odds ratios alone, which is the same on every background.
    """
    found = []
    grid = old_columns(grid)
    for (effects, interactions), rows in grid.groupby(["effects", "interactions"], sort=False):
        beliefs = ["" if belief == WEAK else str(belief) for belief in (effects, interactions)]
        is_ratio = rows.estimand.fillna("").str.startswith(f"{REPRESENTATIVE[LOG_ODDS]}[")
        is_bad = bool((rows.verdict == BAD).any())
        found.append(
            Alternative(
                (reading, model, grid_name(*beliefs)),
                rows[is_ratio].assign(background=EVERY),
                is_bad=is_bad,
                effective=effective,
            )
        )
    return found


@dataclass(frozen=True)
class Echo:
    """What another choice says of each finding of the leading fit.

    Attributes
    ----------
    findings : tuple of Finding or None
        One for each; with fewer families where it can speak of some alone, None where of none.
    """

    choice: Choice
    lead: tuple[Finding, ...]
    findings: tuple[Finding | None, ...]

    @property
    def spoken(self) -> tuple[Finding, ...]:
        """Findings of the leading fit of which it can speak."""
        return tuple(one for one, own in zip(self.lead, self.findings, strict=True) if own)

    @property
    def is_whole(self) -> bool:
        """Whether it can speak of every pair."""
        return len(self.spoken) == len(self.lead)

    @property
    def senses(self) -> tuple[str, ...]:
        """The families of which alone it can speak; none if it can speak of all."""
        own = [one for one in self.findings if one]
        every = [one.probability.keys() for one in self.spoken]
        if all(one.probability.keys() == keys for one, keys in zip(own, every, strict=True)):
            return ()
        return tuple(dict.fromkeys(family for one in own for family in one.probability))

    @property
    def otherwise(self) -> dict[int, Finding]:
        """What it finds otherwise, in any of the families, by the place of the finding."""
        return {
            at: own
            for at, (one, own) in enumerate(zip(self.lead, self.findings, strict=True))
            if own and any(one.verdicts[family] != v for family, v in own.verdicts.items())
        }


def echo(other: Alternative, lead: Sequence[Finding]) -> Echo:
    """Ask another choice of all that the leading fit finds."""
    return Echo(other.choice, tuple(lead), tuple(_asked(other, finding) for finding in lead))


def _asked(other: Alternative, finding: Finding) -> Finding | None:
    names = {f"{REPRESENTATIVE[family]}[{finding.pair}]": family for family in finding.probability}
    rows = other.rows[other.rows.estimand.isin(names) & other.rows.probability.notna()]
    shared = rows.background.fillna("").str.startswith(EVERY)
    rows = rows[shared | (rows.background == finding.background)].drop_duplicates("estimand")
    if not len(rows):
        return None
    found = dict(zip(rows.estimand.map(names), rows.probability.astype(float), strict=True))
    is_observed = (rows.availability == OBSERVED).all()
    return replace(
        finding,
        probability=found,
        prior={},
        availability=OBSERVED if is_observed else EXTRAPOLATED,
        effective=other.effective,
    )


def is_contradicted(
    other: Alternative, others: Sequence[Alternative], lead: Choice, log_evidence: float
) -> bool:
    """Tell whether a reading's evidence is far below that of the leading one, all else alike."""
    reading, *rest = other.choice
    if reading == lead[0]:
        return False
    beside = [a.log_evidence for a in others if a.choice == (lead[0], *rest)]
    if tuple(rest) == lead[1:]:
        beside.append(log_evidence)
    return any(other.log_evidence - default < -CONTRADICTED for default in beside)
