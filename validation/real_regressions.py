"""Compare posteriors from published regressions with the truth: cohorts of patients, drawn from the prior.

Parameters and arm sizes are drawn from the prior, patients from them, and the reported estimates are fitted to the
patients by maximum likelihood and rounded. Unlike simulation-based calibration, this tests the sampling distribution
that the likelihood assumes for reported estimates, not the code alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat.calibration.quantities import quantities_of
from cotreat.calibration.replicates import BATCH, RANKED, Batch, Job, draw_parameters, run_batch
from cotreat.calibration.uniformity import Uniformity
from cotreat.core.constants import CONDITIONAL, SEED
from cotreat.evidence.protocol import Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of
from validation.published_paper import UnprintableError, published
from validation.simulate import whole_sizes
from validation.true_cohorts import Cohort

MEAN_Z, RATIO = 0.1, (0.9, 1.1)
"""Largest absolute mean z shift, and range of the ratio of posterior SD to root mean squared error."""


@dataclass(frozen=True)
class Simulated:
    """Cohorts whose regressions are estimable.

    Attributes
    ----------
    truth : ndarray, shape (cohort, size)
        True parameters, in the coordinates of the density.
    evidence : list of dict
        Published evidence by name, for each cohort.
    rejected : int
        Cohorts without estimable regressions, which were rejected together with their true parameters.
    """

    truth: NDArray[np.float64]
    evidence: list[Given]
    rejected: int


def simulate(job: Job, count: int, seed: int) -> Simulated:
    """Draw parameters and patients, fit the regressions that the study reports, and round their estimates.

    Parameters
    ----------
    job
        Model and study: reported estimates and totals, without counts by regimen.
    count
        Number of cohorts drawn.
    seed
        Random seed.

    Returns
    -------
    Simulated
        The cohorts with estimable regressions. The rejection depends on the data alone, so posteriors of the others
        remain calibrated.
    """
    density = Density(build(job.study, job.model, job.priors), share_orders_of(resolve(job.study)))
    free, parameters = draw_parameters(density.built, count, seed)
    points, rng, kept, evidence = density.points(free), np.random.default_rng(seed), [], []
    for at in range(count):
        cohort = _cohort(job, parameters.isel(chain=0, draw=at), rng)
        try:
            study = published(job.study, cohort, f"{job.study.digest}, cohort {at}")
        except UnprintableError:
            continue
        if any(estimate.is_below for estimate in study.reported_estimates):
            continue  # A p-value below the smallest reported one has another likelihood.
        kept.append(at)
        evidence.append(given_of(study, job.model, job.priors))
    return Simulated(points[kept], evidence, count - len(kept))


def _cohort(job: Job, parameters: xr.Dataset, rng: np.random.Generator) -> Cohort:
    """Draw patients given parameters; arm sizes are rounded to whole patients under the reported totals."""
    present = list(job.study.present)
    n = parameters["size"].sel(present=present).values
    risk = parameters[CONDITIONAL if CONDITIONAL in parameters else "risk"].sel(arm=present).values
    sizes = whole_sizes(job.study, n, round(n.sum()))
    regimen = np.repeat(np.arange(len(sizes)), sizes)
    score = rng.normal(size=len(regimen))
    log_odds = np.log(risk / (1 - risk))[regimen]
    if "sigma" in parameters:
        log_odds = log_odds + float(parameters["sigma"]) * score
    return Cohort(regimen, score, rng.binomial(1, expit(log_odds)))


def compare(
    job: Job,
    count: int,
    seed: int = SEED,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> pd.DataFrame:
    """Compare the posterior of each cohort with its true parameters and estimands.

    Parameters
    ----------
    job
        Model and study.
    count
        Number of cohorts drawn.
    seed
        Random seed.
    on_progress
        Called with the numbers of finished and of all cohorts.

    Returns
    -------
    pandas.DataFrame
        A row per quantity: ``study``, ``model``, ``quantity``, ``kind``; ``cohorts``, ``rejected`` (regressions not
        estimable) and ``unreliable`` (posteriors without a reliable approximation); ``mean_z``, the mean of (posterior
        mean − truth) / posterior SD; ``ratio``, the root mean square of the posterior SD divided by the root mean
        squared error; ``p_value`` of the uniformity of ranks; and ``is_within``, whether `MEAN_Z` and `RATIO` hold.
        Estimands with positive values are compared on the log scale.
    """
    simulated = simulate(job, count, seed)
    truth, evidence, replicates = simulated.truth, simulated.evidence, []
    for at in range(0, len(truth), BATCH):
        part = slice(at, at + BATCH)
        replicates += run_batch(Batch(job, truth[part], evidence[part], at, seed))
        on_progress(len(replicates), len(truth))
    points = np.stack([each.points for each in replicates if len(each.points) > 1])
    unreliable = len(replicates) - len(points)
    uniformity, rng = Uniformity.of(len(points), RANKED), np.random.default_rng(seed)
    rows = []
    for quantity, kind, values in quantities_of(job, points):
        is_log = kind == "estimand" and (values > 0).all()
        rows.append(
            {
                "study": job.study.id,
                "model": job.model.name,
                "quantity": quantity,
                "kind": kind,
                "cohorts": len(points),
                "rejected": simulated.rejected,
                "unreliable": unreliable,
                **_compared(np.log(values) if is_log else values),
                "p_value": uniformity.p_value(_ranks(values, rng)),
            }
        )
    table = pd.DataFrame(rows)
    is_centred = table.mean_z.abs() <= MEAN_Z
    return table.assign(is_within=is_centred & table.ratio.between(*RATIO))


def _compared(values: NDArray[np.float64]) -> dict[str, float]:
    """Compare draws of posteriors with the truth, which is the first of each row."""
    truth, draws = values[:, 0], values[:, 1:]
    error, sd = draws.mean(1) - truth, draws.std(1, ddof=1)
    # The mean of the draws has a Monte Carlo variance of sd² / draws.
    squared = np.mean(error**2 - sd**2 / draws.shape[1])
    return {"mean_z": float(np.mean(error / sd)), "ratio": float(np.sqrt(np.mean(sd**2) / squared))}


def _ranks(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rank the first of each row among the others; ties are broken at random."""
    below, equal = (values[:, 1:] < values[:, :1]).sum(1), (values[:, 1:] == values[:, :1]).sum(1)
    return below + rng.integers(0, equal + 1)
