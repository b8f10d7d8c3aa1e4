"""Simulation-based calibration of a model under one kind of evidence."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from cotreat.calibration.parallel import Mapped, in_turn
from cotreat.calibration.quantities import Ranks, ranks_of
from cotreat.calibration.replicates import RANKED, Job, Replicate, batches_of, run_batch
from cotreat.calibration.uniformity import Uniformity, holm, p_value_by_arviz
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
    table : pandas.DataFrame
        A row per quantity: ``study``, ``model``, ``priors``, ``quantity``, ``kind``, ``replicates``,
        ``dropped``, ``mean_rank`` (0.5 if uniform), ``p_value``, ``p_value_by_arviz`` (for comparison
        only) and ``passes``.
    ranks : Ranks
    uniformity : Uniformity
        Reference distribution of the p-values.
    """

    job: Job
    table: pd.DataFrame
    ranks: Ranks
    uniformity: Uniformity

    @property
    def is_conclusive(self) -> bool:
        """Whether at most the share `MOST_DROPPED` of the replicates was dropped."""
        return self.ranks.dropped <= MOST_DROPPED * (self.ranks.dropped + self.uniformity.count)

    @property
    def passes(self) -> bool:
        """Whether every quantity passes at the family-wise level and the calibration is conclusive."""
        return self.is_conclusive and bool(self.table.passes.all())

    @property
    def sentence(self) -> str:
        """The verdict, with the smallest p-value, in one line."""
        worst = self.worst
        dropped = f", {self.ranks.dropped:,} dropped" if self.ranks.dropped else ""
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
    priors: str | PriorSet = "weak",
    *,
    replicates: int = REPLICATES,
    seed: int = SEED,
    mapped: Mapped = in_turn,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Calibration:
    """Draw parameters from the prior and evidence from the likelihood, and rank the true parameters.

    Parameters
    ----------
    study
        A template: its regimens, numbers of patients and kinds of reported estimates.
    model
        Name of a model.
    replicates
        Parameter sets drawn.
    mapped
        From `cotreat.calibration.parallel.workers`; results do not depend on it.
    on_progress
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
    job = Job.of(study, model, prior_set(priors, study) if isinstance(priors, str) else priors)
    batches = batches_of(job, replicates, seed)
    results: dict[int, list[Replicate]] = {}
    for at, batch in mapped(run_batch, batches):
        results[at] = batch
        on_progress(sum(map(len, results.values())), replicates)
    in_order = [replicate for at in range(len(batches)) for replicate in results[at]]
    ranks = ranks_of(job, in_order, seed)
    uniformity = Uniformity.of(replicates - ranks.dropped, RANKED)
    return Calibration(job, _table(job, ranks, uniformity), ranks, uniformity)


def _table(job: Job, ranks: Ranks, uniformity: Uniformity) -> pd.DataFrame:
    """Test the ranks of every quantity."""
    sets = list(ranks.by_quantity.values())
    table = pd.DataFrame(
        {
            "study": job.study.id,
            "model": job.model.name,
            "priors": job.priors.name,
            "quantity": list(ranks.by_quantity),
            "kind": [ranks.kinds[name] for name in ranks.by_quantity],
            "replicates": uniformity.count,
            "dropped": ranks.dropped,
            "mean_rank": [float((each.mean() + 0.5) / (RANKED + 1)) for each in sets],
            "p_value": [uniformity.p_value(each) for each in sets],
            "p_value_by_arviz": [p_value_by_arviz(each, uniformity.draws) for each in sets],
        }
    )
    return table.assign(passes=holm(table.p_value.tolist(), FAMILY_WISE))
