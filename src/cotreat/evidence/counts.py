"""Counts: events among the patients of each counted regimen."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.core.constants import as_seen
from cotreat.evidence.folds import (
    CELL,
    EVENTS,
    Fold,
    FoldPrediction,
    Folds,
    log_orders,
    summarise_prediction,
)
from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.prior_conflict import distance
from cotreat.evidence.protocol import Discrepancy, Evidence, Given, Point, Predictor
from cotreat.priors import model_data
from cotreat.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

UNEXPECTED = (
    "the prior did not expect such a risk and distorts every estimate, also of synergy: state in "
    "the study file the risk without treatment, [baseline] risk = [lower, upper]"
)
NOT_REPRODUCED = (
    "the model with these priors does not reproduce the counts, and its effects are averages of "
    "unlike ones: resolve a prior–data conflict first, then use a freer model (interaction, saturated)"
)


class Counts(Evidence):
    """The counts of a study by regimen."""

    kind = "counts"
    target_accept = 0.995

    def __init__(self, study: Study) -> None:
        self.study = study

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set: none."""
        return ()

    def coords(self) -> dict[str, tuple[str, ...]]:
        """Return the coordinates of the counted regimens."""
        return {"counted": self.study.counted}

    def data(self, arms: tuple[str, ...]) -> Given:  # noqa: ARG002 - the same whatever the model
        """Return the counts, by name."""
        return {"counted n": self.study.n, "counted events": self.study.events}

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`."""
        return ("counts", self.study.counted)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:  # noqa: ARG002
        """Declare r_a ~ Binomial(n_a, p_a) for every counted arm of the PyMC model in context."""
        import pymc as pm
        import pytensor.tensor as pt

        at = [predictor.arms.index(regimen) for regimen in self.study.counted]
        if predictor.sigma is None:
            risk = {"logit_p": predictor.seen[at]}
        else:
            risk = {"p": averages(pt, predictor.seen[at], predictor.sigma).risk}
        n, events = model_data.state(self.data(predictor.arms)).values()
        # PyMC keeps whole numbers as int32, of which JAX makes functions in single precision.
        n = pt.cast(n, "int64")
        pm.Binomial("events", n=n, observed=events, dims="counted", **risk)

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expected events in the log-odds of all regimens, shape (counted, regimen)."""
        return counts_jacobian(self.study, point)

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the ``events`` by counted regimen."""
        counted = list(self.study.counted)
        risk = as_seen(draws, "risk").sel(arm=counted)
        at = risk.rename(arm="counted").transpose(..., "counted")
        events = at.copy(data=rng.binomial(self.study.n, at.values)).reset_coords(drop=True)
        import xarray as xr

        return xr.Dataset({"events": events})

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates of the counts under the names of `data`."""
        events = self.replicate(draws, rng)["events"]
        return {"counted events": events.transpose("chain", "draw", "counted").values[0]}

    def folds(self) -> Folds:
        """Split the counts by regimen: 0 of 0 has likelihood 1 under any risk."""
        study = self.study
        cells = (
            Fold(
                regimen,
                (
                    ("counted n", at, -float(study.n[at])),
                    ("counted events", at, -float(study.events[at])),
                ),
            )
            for at, regimen in enumerate(study.counted)
        )
        return Folds(CELL, tuple(cells))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the binomial log density of each count, shape (chain, draw, counted)."""
        study = self.study
        risk = draws["risk"].sel(arm=list(study.counted)).transpose("chain", "draw", "arm").values
        pairs = zip(study.n.tolist(), study.events.tolist(), strict=True)
        ways = np.array([log_orders(n, r) for n, r in pairs])
        logs: Array = (
            ways + study.events * np.log(risk) + (study.n - study.events) * np.log1p(-risk)
        )
        return logs

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict the events of one regimen from draws of a fit without it."""
        at = self.study.counted.index(fold.name)
        risk = draws["risk"].sel(arm=fold.name).values.ravel()
        own, n = float(self.study.events[at]), self.study.n[at]
        drawn = rng.binomial(n, risk)
        return [summarise_prediction(fold.name, EVENTS, f"{own:.0f} of {n}", own, drawn)]

    # --- Checks and tables -----------------------------------------------------------------------

    def prior_conflict(self, tree: xr.DataTree) -> Discrepancy:
        """Measure how many SDs the prior is from the observed log-odds of each counted regimen."""
        return counts_conflict(self.study, tree)

    def misfit(self, tree: xr.DataTree) -> Discrepancy:
        """Compare the counts with replicated ones by χ²."""
        seen = as_seen(tree["posterior"].to_dataset(), "risk")
        risk = seen.sel(arm=list(self.study.counted)).transpose(..., "arm").values
        return counts_misfit(self.study, tree, self.study.n * risk)

    def rows(self) -> pd.DataFrame:
        """Return the counts: columns ``id``, ``about``, ``reported``, ``source``."""
        return counts_rows(self.study)


# --- Shared with patients, who are counted by regimen too ------------------------------------------


def counts_jacobian(study: Study, point: Point) -> Array:
    """Differentiate the expected events by regimen in the log-odds of all regimens.

    Returns
    -------
    ndarray, shape (counted, regimen)
        n times the derivative of the risk where the count is of the regimen, else 0.
    """
    weight = averages(np, point.log_odds, point.sigma).weight
    at = [study.regimens.index(regimen) for regimen in study.counted]
    rows = np.zeros((len(at), len(study.regimens)))
    rows[np.arange(len(at)), at] = study.n * weight[at]
    return rows


def counts_conflict(study: Study, tree: xr.DataTree) -> Discrepancy:
    """Measure how many SDs the prior is from the observed log-odds of each counted regimen."""
    seen = as_seen(tree["prior"].to_dataset(), "risk")
    prior = logit(seen.sel(arm=list(study.counted)))
    dims = ("chain", "draw")
    far = distance(prior.mean(dims).values, prior.var(dims).values, study)
    at = int(far.argmax())
    return Discrepancy(study.counted[at], float(far[at]), UNEXPECTED)


def counts_misfit(study: Study, tree: xr.DataTree, mean: Array) -> Discrepancy:
    """Compare the counts with replicated ones by χ²; name the regimen that fits worst.

    Parameters
    ----------
    mean
        Expected events by draw and counted regimen.

    Notes
    -----
    Posterior predictive p-value: the share of draws with χ² of the replicated counts at least that of the
    observed ones (Gelman, Meng & Stern, Stat Sinica 1996;6:733).
    """
    again = tree["posterior_predictive"].to_dataset()
    variance = mean * (1 - mean / study.n)
    observed = (study.events - mean) ** 2 / variance
    expected = (again["events"].values - mean) ** 2 / variance
    share = float(np.mean(expected.sum(-1) >= observed.sum(-1)))
    where = study.counted[int(observed.mean((0, 1)).argmax())]
    return Discrepancy(where, share, NOT_REPRODUCED)


def counts_rows(study: Study) -> pd.DataFrame:
    """Return the counts by regimen: columns ``id``, ``about``, ``reported``, ``source``."""
    rows = [
        (regimen, f"events on {regimen}", f"{events} of {n}", study.source_of(regimen))
        for regimen, events, n in zip(study.counted, study.events, study.n, strict=True)
    ]
    return pd.DataFrame(rows, columns=["id", "about", "reported", "source"])
