"""Simulation-based calibration of a model under one kind of evidence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.calibration.parallel import Mapped, in_turn
from cotreat.calibration.replicates import (
    RANKED,
    Job,
    Ranks,
    Replicate,
    parts_of,
    ranks_of,
    worked_out,
)
from cotreat.calibration.uniformity import Uniformity, holm, p_value_by_arviz
from cotreat.core.constants import FAMILY_WISE, REPLICATES, SEED
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

MOST_DROPPED = 0.05
"""Share of replicates without a posterior that can be trusted, beyond which a calibration tells nothing: those
dropped are not like the others."""


@dataclass(frozen=True)
class Calibration:
    """Whether the posteriors of a model are what they say.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each quantity: ``study``, ``model``, ``priors``, ``quantity``, ``kind``,
        ``replicates``, ``dropped``, ``mean_rank`` (0.5 where uniform), ``p_value`` and ``passes``; and
        ``p_value_by_arviz``, which decides nothing.
    ranks : Ranks
    """

    job: Job
    table: pd.DataFrame
    ranks: Ranks
    uniformity: Uniformity

    @property
    def is_told(self) -> bool:
        """Whether so few replicates were dropped that those left speak for all."""
        return self.ranks.dropped <= MOST_DROPPED * (self.ranks.dropped + self.uniformity.count)

    @property
    def passes(self) -> bool:
        """Whether every quantity passes at the family-wise level, and few replicates were dropped."""
        return self.is_told and bool(self.table.passes.all())

    @property
    def sentence(self) -> str:
        """What came of it, in a line."""
        worst, count = self.worst, len(self.table)
        dropped = f", {self.ranks.dropped:,} dropped" if self.ranks.dropped else ""
        verdict = "passes" if self.passes else "FAILS"
        verdict = verdict if self.is_told else "NOT TOLD, for too many are dropped"
        return (
            f"{self.job.model.name} on {self.job.study.id}: {verdict}; "
            f"{count} quantities, {self.uniformity.count:,} replicates{dropped}; least p {worst.p_value:.2g} "
            f"({worst.quantity})"
        )

    @property
    def worst(self) -> pd.Series:
        """The row with the least p-value."""
        return self.table.loc[self.table.p_value.idxmin()]


def calibrate(
    study: Study,
    model: str,
    priors: str | PriorSet = "weak",
    *,
    replicates: int = REPLICATES,
    seed: int = SEED,
    mapped: Mapped = in_turn,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Calibration:
    """Draw truths from the prior and evidence from the likelihood, and find each truth again.

    Parameters
    ----------
    study
        A template: its regimens, numbers of patients, and which numbers are printed.
    model
        Name of a model.
    replicates
        Truths.
    mapped
        What `cotreat.calibration.parallel.workers` gives; it changes no number.
    say
        Called with how many replicates are done, and of how many.

    Raises
    ------
    ModelError
        If the study cannot carry the model, or prints what cannot be drawn again.

    Notes
    -----
    Where truth and evidence are drawn from model and prior, the rank of the truth among independent
    draws of the posterior is uniform (Talts et al. 2018, arXiv:1804.06788), that of any function of
    parameters and evidence too (Modrák et al., Bayesian Anal 2025;20:461). It tests the code, not the
    model. Replicates whose posterior cannot be trusted are dropped and counted: what is left is
    uniform only where they are few or like the others.
    """
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    job = Job.of(study, model, chosen)
    parts = parts_of(job, replicates, seed)
    found: list[list[Replicate]] = [[] for _ in parts]
    for at, part in mapped(worked_out, parts):
        found[at] = part
        on_progress(sum(map(len, found)), replicates)
    ranks = ranks_of(job, [one for part in found for one in part], seed)
    uniformity = Uniformity.of(replicates - ranks.dropped, RANKED)
    return Calibration(job, table_of(job, ranks, uniformity), ranks, uniformity)


def table_of(job: Job, ranks: Ranks, uniformity: Uniformity) -> pd.DataFrame:
    """Judge every quantity."""
    table = pd.DataFrame(
        {
            "study": job.study.id,
            "model": job.model.name,
            "priors": job.priors.name,
            "quantity": list(ranks.by_quantity),
            "kind": [ranks.kinds[name] for name in ranks.by_quantity],
            "replicates": uniformity.count,
            "dropped": ranks.dropped,
            "mean_rank": [_mean(own) for own in ranks.by_quantity.values()],
            "p_value": [uniformity.p_value(own) for own in ranks.by_quantity.values()],
            "p_value_by_arviz": [
                p_value_by_arviz(own, uniformity.draws) for own in ranks.by_quantity.values()
            ],
        }
    )
    return table.assign(passes=holm(table.p_value.tolist(), FAMILY_WISE))


def _mean(ranks: NDArray[np.int64]) -> float:
    return float((ranks.mean() + 0.5) / (RANKED + 1))
