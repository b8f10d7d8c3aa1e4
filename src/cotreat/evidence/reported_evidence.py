"""Reported estimates as evidence: estimates, p-values and totals of patients without counts by regimen."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri

from cotreat.evidence import arm_sizes_prior, reported_data, reported_folds, reported_likelihood
from cotreat.evidence.contrasts import label, question_of
from cotreat.evidence.folds import CLAIM, Fold, FoldPrediction, Folds
from cotreat.evidence.joint_distribution import jacobian
from cotreat.evidence.protocol import (
    Discrepancy,
    Evidence,
    Given,
    Point,
    Predictor,
    ReportedCoefficient,
)
from cotreat.evidence.reported import ReportedEstimates, inferred_id
from cotreat.evidence.statistics import statistic_of
from cotreat.priors.declare import numbers_of, state
from cotreat.study.study import ReportedEstimate

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

UNEXPECTED = (
    "the prior did not expect such a number and may distort every estimate, also of synergy: state "
    "in the study file the risk without treatment, "
    "[baseline] risk = [lower, upper]"
)
NOT_FITTED = (
    "the reported estimates are incompatible under this model, prior and interpretation: see the "
    "figure of reported estimates, and other interpretations"
)


class ReportedEvidence(Evidence):
    """The reported estimates of a study, conditional on what it counted.

    Parameters
    ----------
    reported
        The estimates that are evidence under the study's interpretation and strata.
    """

    kind = "claims"
    target_accept = 0.98

    def __init__(self, reported: ReportedEstimates) -> None:
        self.reported, self.study = reported, reported.study
        # Replicates of a p-value need its sign and its value, not a bound.
        self.is_replicable = not reported_data.observed(reported).is_tail.any()

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        own = self.reported
        return (
            *(("sigma",) if own.is_adjusted else ()),
            *(("loss",) if own.has_loss else ()),
            *(("shift",) if own.shifted.size else ()),
            *(("share",) if own.sizes.variables else ()),
        )

    def coords(self) -> dict[str, tuple[str, ...]]:
        """Return the coordinates of the variables that `likelihood` declares."""
        return reported_data.coordinates(self.reported)

    def data(self, arms: tuple[str, ...]) -> Given:  # noqa: ARG002 - the same whatever the model
        """Return the estimates, their rounding and the totals, by name."""
        return reported_data.data(self.reported)

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`."""
        return reported_data.shape(self.reported)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare arm sizes and the joint sampling distribution in the PyMC model in context.

        Declares ``size`` by regimen and the variables of `reported_likelihood.likelihood`.
        """
        import pymc as pm
        import pytensor.tensor as pt

        own, arms = self.reported, predictor.arms
        loss = state(priors, "loss") if own.has_loss else None
        size = arm_sizes_prior.state(own.sizes)
        pm.Deterministic("size", size, dims="present")
        shift = numbers_of(priors, "shift")["sigma"] if own.shifted.size else pt.zeros(())
        at = [arms.index(regimen) for regimen in self.study.present]
        is_confounded = predictor.seen is not predictor.log_odds
        unconfounded = predictor.log_odds[at] if is_confounded else None
        reported_likelihood.likelihood(
            own, predictor.seen[at], predictor.sigma, loss, size, shift, unconfounded
        )

    def share_orders(self) -> dict[str, list[int]]:
        """Return the stick-breaking order of the shares of each total."""
        return reported_data.share_orders(self.reported)

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expectation of the estimates that are points.

        A p-value with "<" or an unreported sign does not identify a coefficient, nor does a reported width
        identify a size.
        """
        every = self._differentiated(point)[: len(self.reported.names)]
        return every[~reported_data.observed(self.reported).is_tail]

    @cached_property
    def coefficients(self) -> tuple[ReportedCoefficient, ...]:
        """Coefficients that are reported, then those that are not."""
        own = self.reported
        found = [
            ReportedCoefficient(
                estimate.id,
                *question_of(estimate.meaning, statistic_of(estimate.kind)),
                statistic=statistic_of(estimate.kind),
                is_crude=not estimate.adjusted,
                is_of_regimens=estimate.meaning.kind == "regimens",
            )
            for estimate in own.reported_estimates
            if estimate.meaning is not None
        ]
        found += [ReportedCoefficient(inferred_id(one), *question_of(one)) for one in own.inferred]
        return tuple(found)

    def coefficient_jacobian(self, point: Point) -> Array:
        """Differentiate `coefficients`, in their order."""
        every, own = self._differentiated(point), self.reported
        return np.vstack([every[: len(own.reported_estimates)], every[len(own.names) :]])

    def _differentiated(self, point: Point) -> Array:
        """Differentiate all rows, then the contrasts that are not reported, shape (row, regimen + way)."""
        study, own = self.study, self.reported
        at = [study.regimens.index(regimen) for regimen in study.present]
        n = own.sizes.typical if point.n is None else point.n
        found = jacobian(own, point.log_odds[at], point.sigma, n)
        wide = np.zeros((len(found), len(study.regimens) + found.shape[1] - len(at)))
        wide[:, at] = found[:, : len(at)]
        wide[:, len(study.regimens) :] = found[:, len(at) :]
        return wide

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates: ``claims`` by row, and ``widths`` where these are evidence."""
        mean, covariance = draws["claim_mean"], draws["claim_covariance"]
        root = np.linalg.cholesky(covariance.values)
        noise = rng.normal(size=mean.shape)
        values = mean.values + (root @ noise[..., None])[..., 0]
        drawn = {"claims": mean.copy(data=values)}
        if "width_mean" in draws:
            sd = draws["width_sd"].values
            drawn["widths"] = draws["width_mean"] + sd * rng.normal(size=sd.shape)
        import xarray as xr

        return xr.Dataset(drawn)

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates under the names of `data`."""
        again = self.replicate(draws, rng)
        points = again["claims"].values[0][:, self.reported.kept]
        widths = {"printed widths": again["widths"].values[0]} if "widths" in again else {}
        return {"printed points": points, **widths}

    def folds(self) -> Folds:
        """Split the evidence by estimate, each with its width."""
        return Folds(CLAIM, tuple(reported_folds.folds_of(self.reported)))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array | None:
        """Return the log density of each fold given the others; None with p-values that are ranges."""
        own = self.reported
        if reported_data.observed(own).is_tail[own.kept].any():
            return None
        return reported_folds.densities(own, draws, folds)

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict an estimate and its width from draws of a fit without it."""
        return reported_folds.predict_fold(self.reported, fold, draws, rng)

    # --- Checks and tables -----------------------------------------------------------------------

    def prior_conflict(self, tree: xr.DataTree) -> Discrepancy:
        """Return the normal deviate of each estimate in its prior predictive distribution."""
        seen = tree["observed_data"]["claims"]
        prior = tree["prior"].to_dataset()
        mean = prior["claim_mean"].sel(row=seen.point.values).values.reshape(-1, seen.size)
        at = [list(prior["row"].values).index(name) for name in seen.point.values]
        variance = prior["claim_covariance"].values.reshape(
            len(mean), *prior["claim_covariance"].shape[2:]
        )
        spread = np.sqrt(np.diagonal(variance, axis1=1, axis2=2)[:, at])
        below = ndtr((seen.values - mean) / spread).mean(0)
        far = -ndtri(np.minimum(below, 1 - below))
        worst = int(far.argmax())
        return Discrepancy(str(seen.point.values[worst]), float(far[worst]), UNEXPECTED)

    def misfit(self, tree: xr.DataTree) -> Discrepancy:
        """Compare the estimates with their joint distribution by χ²; return the one with the largest residual."""
        posterior, seen = tree["posterior"].to_dataset(), tree["observed_data"].to_dataset()
        points = seen["point"].values
        off = seen["claims"].values - posterior["claim_mean"].sel(row=points).values
        at = [list(posterior["row"].values).index(name) for name in points]
        covariance = posterior["claim_covariance"].values[..., at, :][..., at]
        distance = (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(-1)
        single = np.abs(off / np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))).mean((0, 1))
        names, count = list(points), len(points)
        if "widths" in seen:
            mean, sd = posterior["width_mean"].values, posterior["width_sd"].values
            width = (seen["widths"].values - mean) / sd
            distance, count = distance + (width**2).sum(-1), count + width.shape[-1]
            single = np.r_[single, np.abs(width).mean((0, 1))]
            names += [f"width of {name}" for name in seen["odds_ratio"].values]
        share = float(chdtrc(count, distance).mean())
        return Discrepancy(names[int(single.argmax())], share, NOT_FITTED)

    def rows(self) -> pd.DataFrame:
        """Return the estimates that are evidence: columns ``id``, ``about``, ``reported``, ``source``."""
        own = self.reported
        found = [(c.id, _about(c), c.as_reported, c.source) for c in own.reported_estimates]
        found += [
            (name, f"events of {total.patients}", f"{total.events} of {total.n}", total.source)
            for name, total in zip(
                own.names[len(own.reported_estimates) :], own.totals, strict=True
            )
        ]
        return pd.DataFrame(found, columns=["id", "about", "reported", "source"])


def _about(estimate: ReportedEstimate) -> str:
    """Return measure and contrast of an estimate, or the words of the source without a contrast."""
    if estimate.meaning is None:
        return estimate.about
    return label(estimate.meaning, statistic_of(estimate.kind))
