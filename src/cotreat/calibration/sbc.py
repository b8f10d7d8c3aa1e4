"""Simulation-based calibration of a model under one kind of evidence."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from cotreat.calibration.parallel import Mapped
from cotreat.calibration.quantities import ranks_of
from cotreat.calibration.replicates import RANKED, Job, Replicate, batches_of, run_batch
from cotreat.calibration.uniformity import Uniformity, holm
from cotreat.core.constants import FAMILY_WISE, REPLICATES, SEED
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

MOST_DROPPED = 0.05
"""Share of dropped replicates above which a calibration is inconclusive: they differ from the others."""


@dataclass(frozen=True)
class Calibration:
    """Ranks of true values and their tests of uniformity.

    Attributes
    ----------
    job : Job
        What was calibrated: study, model and priors.
    table : pandas.DataFrame
        A row per quantity: ``study``, ``model``, ``priors``, ``quantity``, ``kind``, ``replicates``,
        ``dropped``, ``mean_rank`` (0.5 if uniform), ``p_value`` and ``passes``.
    ranks : pandas.DataFrame
        From `cotreat.calibration.quantities.ranks_of`.
    dropped : int
        Replicates with an unreliable posterior.
    uniformity : Uniformity
        Reference distribution of the p-values.
    """

    job: Job
    table: pd.DataFrame
    ranks: pd.DataFrame
    dropped: int
    uniformity: Uniformity

    @property
    def is_conclusive(self) -> bool:
        """Whether at most the share `MOST_DROPPED` of the replicates was dropped."""
        return self.dropped <= MOST_DROPPED * (self.dropped + self.uniformity.count)

    @property
    def passes(self) -> bool:
        """Whether every quantity passes at the family-wise level and the calibration is conclusive."""
        return self.is_conclusive and bool(self.table.passes.all())

    @property
    def sentence(self) -> str:
        """The verdict, with the smallest p-value, in one line."""
        worst = self.worst
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        verdict = "passes" if self.passes else "FAILS"
        verdict = verdict if self.is_conclusive else "INCONCLUSIVE, too many replicates dropped"
        return (
            f"{self.job.model.name} on {self.job.study.id}: {verdict}; {len(self.table)} quantities, "
            f"{self.uniformity.count:,} replicates{dropped}; smallest p {worst.p_value:.2g} "
            f"({worst.quantity})"
        )

    @property
    def worst(self) -> pd.Series:
        """The row with the smallest p-value."""
        return self.table.loc[self.table.p_value.idxmin()]


def calibrate(
    study: Study,
    model: str,
    priors: str | PriorSet | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = SEED,
    mapped: Mapped = map,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Calibration:
    """Draw parameters from the prior and evidence from the likelihood, and rank the true parameters.

    Parameters
    ----------
    study : Study
        A template: its regimens, numbers of patients and kinds of reported estimates.
    model : str
        Name of a model.
    priors : str, PriorSet or None
        A prior set, or its name; None for the default one of the study.
    replicates : int
        Parameter sets drawn.
    seed : int
        Random seed.
    mapped : Mapped
        From `cotreat.calibration.parallel.workers`; results do not depend on it.
    on_progress : callable
        Called with the numbers of finished and of all replicates.

    Returns
    -------
    Calibration

    Raises
    ------
    ModelError
        If the study cannot carry the model, or its evidence cannot be simulated.

    Notes
    -----
    If parameters and evidence are drawn from the model and its prior, the rank of the true value among
    independent draws of the posterior is uniform (Talts et al. 2018, arXiv:1804.06788), also that of any
    function of parameters and evidence (Modrák et al., Bayesian Anal 2025;20:461). This tests the code,
    not the model. Replicates with an unreliable posterior are dropped and counted: the remaining ranks
    are uniform only if the dropped ones are few or resemble the others.
    """
    job = Job.of(study, model, prior_set(priors, study))
    batches = batches_of(job, replicates, seed)
    completed: list[Replicate] = []
    for batch in mapped(run_batch, batches):
        completed += batch
        on_progress(len(completed), replicates)
    ranks = ranks_of(job, completed, seed)
    dropped = replicates - ranks.shape[1]
    uniformity = Uniformity.of(ranks.shape[1], RANKED)
    names = {"study": job.study.id, "model": job.model.name, "priors": job.priors.name}
    table = pd.DataFrame(names, ranks.index).reset_index().loc[:, [*names, "quantity", "kind"]]
    p_values = [uniformity.p_value(each) for each in ranks.to_numpy()]
    table = table.assign(
        replicates=uniformity.count,
        dropped=dropped,
        mean_rank=(ranks.mean(axis=1).to_numpy() + 0.5) / (RANKED + 1),
        p_value=p_values,
        passes=holm(p_values, FAMILY_WISE),
    )
    return Calibration(job, table, ranks, dropped, uniformity)
