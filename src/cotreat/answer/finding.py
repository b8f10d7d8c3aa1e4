"""What a fit finds of each pair of treatments, sense by sense."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from cotreat.core.constants import DECIDED
from cotreat.estimands.measures import (
    MEASURES,
    REPRESENTATIVE,
    families,
)
from cotreat.headline import judged
from cotreat.results.old_columns import EVERY, EXTRAPOLATED, OBSERVED

SENSES = {name: family.phrase for name, family in families().items()}
"""What separate effects are taken to do together, in each sense of synergy."""

ERRORS = 2
"""A probability so many Monte Carlo standard errors from where a decision begins is at its edge."""

# What is found of a pair of treatments.
FOR, AGAINST, MIXED, OPEN = "synergy", "no synergy", "a matter of meaning", "undecided"


@dataclass(frozen=True)
class Finding:
    """What a fit says of a pair of treatments on one background.

    Attributes
    ----------
    probability, prior : dict
        Of each family's measure lying beyond its null, after and before the data.
    availability : str
        ``observed``, if the evidence determines these measures, else ``extrapolated``.
    effective : float
        How many independent draws the probabilities are worth.
    """

    pair: str
    background: str
    probability: dict[str, float]
    prior: dict[str, float]
    availability: str
    effective: float = math.inf

    @property
    def verdicts(self) -> dict[str, str]:
        """What each family decides."""
        return {family: self._verdict(p) for family, p in self.probability.items()}

    @property
    def decided_for(self) -> list[str]:
        """Families that decide for synergy."""
        return self._with(FOR)

    @property
    def decided_against(self) -> list[str]:
        """Families that decide against it."""
        return self._with(AGAINST)

    @property
    def at_edge(self) -> list[str]:
        """Families whose draws are too few to tell on which side of a decision they are."""
        return [family for family, p in self.probability.items() if self._is_at_edge(p)]

    @property
    def undecided(self) -> list[str]:
        """Families that decide nothing, and are not at the edge of it."""
        return [family for family in self._with(OPEN) if family not in self.at_edge]

    @property
    def kind(self) -> str:
        """What that comes to."""
        found = set(self.verdicts.values())
        return found.pop() if len(found) == 1 else MIXED

    @property
    def is_observed(self) -> bool:
        """Whether the evidence determines it."""
        return self.availability == OBSERVED

    def _with(self, verdict: str) -> list[str]:
        return [family for family, own in self.verdicts.items() if own == verdict]

    def _verdict(self, p: float) -> str:
        if self._is_at_edge(p) or 1 - DECIDED < p < DECIDED:
            return OPEN
        return FOR if p >= DECIDED else AGAINST

    def _is_at_edge(self, p: float) -> bool:
        error = math.sqrt(p * (1 - p) / self.effective)
        return min(abs(p - DECIDED), abs(p - (1 - DECIDED))) < ERRORS * error


def findings(summary: pd.DataFrame, effective: float = math.inf) -> list[Finding]:
    """Return what a fit says of each pair of treatments, where the evidence says most.

    Of a pair's backgrounds that one is taken of which the evidence determines most, the empty one if they
    are alike; in subgroups one for each. Of its measures, one for each family, those that the evidence
    determines, if there are any.

    Parameters
    ----------
    effective
        How many independent draws the probabilities are worth.
    """
    rows = judged(summary)
    rows = rows[rows.measure.isin(REPRESENTATIVE.values())]
    found = []
    for pair, own in rows.groupby("pair", sort=False):
        shared = own.background.str.startswith(EVERY)
        backgrounds = list(dict.fromkeys(own.background[~shared])) or [""]
        every = [
            _finding(str(pair), b, own[shared | (own.background == b)], effective)
            for b in backgrounds
        ]
        groups = list(dict.fromkeys(_group(finding) for finding in every))
        for group in groups:
            within = [finding for finding in every if _group(finding) == group]
            found.append(max(within, key=lambda f: (f.is_observed, len(f.probability))))
    return found


def _group(finding: Finding) -> str:
    return finding.background.partition(" | ")[2]


def _finding(pair: str, background: str, rows: pd.DataFrame, effective: float) -> Finding:
    observed = rows[rows.availability == OBSERVED]
    used = observed if len(observed) else rows
    used = used.assign(family=[MEASURES[name].family.name for name in used.measure])
    used = used.drop_duplicates("family").set_index("family")
    return Finding(
        pair,
        background,
        {str(k): float(v) for k, v in used.probability.items()},
        {str(k): float(v) for k, v in used.prior_probability.items()},
        OBSERVED if len(observed) else EXTRAPOLATED,
        effective,
    )
