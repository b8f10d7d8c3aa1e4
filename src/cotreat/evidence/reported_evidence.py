"""Reported estimates as evidence: estimates, p-values and totals of patients without counts by regimen."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc

from cotreat.evidence import reported_folds, reported_likelihood, reported_predictive
from cotreat.evidence.arm_sizes_prior import declare_sizes, declare_variances
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
    ShareStarts,
)
from cotreat.evidence.reported import ReportedEstimates, inferred_id
from cotreat.evidence.size_equations import size_starts
from cotreat.evidence.statistics import statistic_of
from cotreat.priors.declare import numbers_of, state

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

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

    kind = "reported estimates"

    def __init__(self, reported: ReportedEstimates) -> None:
        self.reported, self.study = reported, reported.study
        # Replicates of a p-value need its sign and its value, not a bound.
        self.is_replicable = not reported.is_tail.any()

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        reported = self.reported
        is_needed = {
            "sigma": reported.is_adjusted,
            "loss": reported.has_loss,
            "shift": reported.shifted.size > 0,
            "share": len(reported.sizes.variables) > 0,
            "variance": reported.has_free_variances,
        }
        return tuple(name for name, needed in is_needed.items() if needed)

    def coords(self) -> dict[str, tuple[str, ...]]:
        """Return the coordinates of the variables that `likelihood` declares.

        Returns
        -------
        dict
            Labels by dimension.
        """
        reported = self.reported
        ids = tuple(estimate.id for estimate in reported.reported_estimates)
        return {
            "present": self.study.present,
            "reported_estimate": (*ids, *reported.inferred_ids),
            "width": tuple(ids[at] for at in reported.width_rows),
            "width_": tuple(ids[at] for at in reported.width_rows),
            "row": reported.names,
            "row_": reported.names,
            "point": tuple(reported.names[at] for at in reported.points),
        }

    def data(self, arms: tuple[str, ...]) -> Given:  # noqa: ARG002 - the same whatever the model
        """Return the estimates, their rounding and the totals, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.

        Returns
        -------
        dict
            Values by name.
        """
        return self.reported.data

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """
        reported, study, sizes = self.reported, self.study, self.reported.sizes
        loose = sizes.polytope
        polytope = loose and (loose.centre.tolist(), loose.basis.tolist())
        return (
            # Tails, and standard errors without sizes, are constants of the density.
            tuple(
                (
                    *(e.kind, e.meaning, e.adjusted, e.model, e.sign, e.is_below),
                    e.value if is_tail else None,
                    None if sizes.are_known else (e.ci, e.level),
                )
                for e, is_tail in zip(reported.reported_estimates, reported.is_tail, strict=False)
            ),
            tuple(total.patients for total in reported.totals),
            (reported.inferred, tuple(reported.width_rows)),
            (study.present, study.counted, tuple(study.n.tolist()), tuple(study.events.tolist())),
            (tuple(arms for arms, _ in sizes.blocks), str(polytope), sizes.loose, sizes.are_known),
        )

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare arm sizes and the joint sampling distribution in the PyMC model in context.

        Declares ``size`` by regimen and the variables of `reported_likelihood.likelihood`.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """
        import pymc as pm
        import pytensor.tensor as pt

        reported, arms = self.reported, predictor.arms
        loss = state(priors, "loss") if reported.has_loss else None
        size = declare_sizes(reported.sizes)
        pm.Deterministic("size", size, dims="present")
        variances = None
        if reported.has_free_variances:
            variances = pm.Deterministic("group_variance", declare_variances(reported.variances))
        shift = pt.zeros(())
        if reported.shifted.size:
            shift = pm.Deterministic("shift_sd", numbers_of(priors, "shift")["sigma"])
        at = [arms.index(regimen) for regimen in self.study.present]
        is_confounded = predictor.confounded is not predictor.log_odds
        unconfounded = predictor.log_odds[at] if is_confounded else None
        reported_likelihood.likelihood(
            reported,
            predictor.confounded[at],
            predictor.sigma,
            loss,
            size,
            shift,
            unconfounded,
            variances,
        )

    def share_orders(self) -> dict[str, list[int]]:
        """Return the stick-breaking order of the shares of each total: arms in most contrasts first.

        In this order the stick-breaking coordinates are nearly independent.

        Returns
        -------
        dict
            Indices of the arms by variable, in the order of stick-breaking.
        """
        words = [word for meaning in self.reported.meanings for word in meaning.words]
        mentions = [words.count(regimen) for regimen in self.study.present]
        sizes = self.reported.sizes
        return {
            name: sorted(range(len(arms)), key=lambda at, arms=arms: -mentions[arms[at]])  # type: ignore[misc]
            for name, (arms, _) in zip(sizes.variables, sizes.blocks, strict=False)
        }

    def size_starts(self, data: Given, rng: np.random.Generator) -> ShareStarts | None:
        """Return arm sizes that solve the equations of the reported numbers, or draws under the totals.

        Parameters
        ----------
        data
            Numbers of the model, by name.
        rng
            Random number generator.

        Returns
        -------
        ShareStarts or None
            None where every arm size is known.
        """
        sizes = self.reported.sizes
        if not sizes.variables:
            return None
        starts = size_starts(self.reported, data, rng)
        return ShareStarts(sizes.variables_at(starts.sizes), starts.is_complete)

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expectation of the estimates that are points.

        A p-value with "<" or an unreported sign does not identify a coefficient.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (row, regimen + way)
            Derivatives with respect to the log-odds of all regimens, then to the free directions of the arm sizes, and
            to the log of the precision loss, if it is a parameter.
        """
        every = self._differentiated(point)[: len(self.reported.names)]
        return every[~self.reported.is_tail]

    def width_jacobian(self, point: Point) -> Array:
        """Differentiate the log standard errors that are evidence, as `jacobian` does.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (width, regimen + way)
            Derivatives, in the order of ``reported.width_rows``.
        """
        count = len(self.reported.width_rows)
        every = self._differentiated(point)
        return every[len(every) - count :]

    @cached_property
    def coefficients(self) -> tuple[ReportedCoefficient, ...]:
        """Coefficients that are reported, then those that are not."""
        reported, coefficients = self.reported, []
        for e, meaning in zip(reported.reported_estimates, reported.meanings, strict=True):
            question = (*question_of(meaning, statistic_of(e.kind)), statistic_of(e.kind))
            is_of_regimens = meaning.kind == "regimens"
            coefficients.append(
                ReportedCoefficient(e.id, *question, not e.adjusted, is_of_regimens)
            )
        inferred = (ReportedCoefficient(inferred_id(m), *question_of(m)) for m in reported.inferred)
        return (*coefficients, *inferred)

    def coefficient_jacobian(self, point: Point) -> Array:
        """Differentiate `coefficients`, in their order.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (coefficient, regimen + way)
            Derivatives, in the order of `coefficients`.
        """
        every, reported = self._differentiated(point), self.reported
        inferred = slice(len(reported.names), len(reported.names) + len(reported.inferred))
        return np.vstack([every[: len(reported.reported_estimates)], every[inferred]])

    def _differentiated(self, point: Point) -> Array:
        """Differentiate all rows, the contrasts that are not reported, and the log standard errors."""
        regimens, reported = self.study.regimens, self.reported
        at = [regimens.index(regimen) for regimen in self.study.present]
        n = reported.sizes.typical if point.n is None else point.n
        by_arm, by_way = np.split(
            jacobian(reported, point.log_odds[at], point.sigma, n), [len(at)], axis=1
        )
        by_regimen = np.zeros((len(by_arm), len(regimens)))
        by_regimen[:, at] = by_arm
        if reported.has_loss:
            adjusted = [
                e.adjusted
                for e in map(reported.reported_estimates.__getitem__, reported.width_rows)
            ]
            by_loss = np.zeros(len(by_arm))
            by_loss[len(by_arm) - len(adjusted) :] = adjusted
            by_way = np.column_stack([by_way, by_loss])
        return np.hstack([by_regimen, by_way])

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates: ``reported`` by row, and ``widths`` given the points where these are evidence.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        rng
            Random number generator.

        Returns
        -------
        Dataset
            Replicates; variables without the dimension ``draw`` are constants.
        """
        reported, mean = self.reported, draws["reported_mean"]
        values = _normal(mean.values, draws["reported_covariance"].values, rng)
        replicates = mean.copy(data=values).to_dataset(name="reported")
        if "width_mean" not in draws:
            return replicates
        points = values[..., reported.points]
        widths = reported_folds.width_distributions(reported, draws, points)
        rounding = np.diag(reported.data["width rounding"])
        drawn = _normal(widths.mean, widths.covariance + rounding, rng)
        return replicates.assign(widths=draws["width_mean"].copy(data=drawn))

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates under the names of `data`.

        Parameters
        ----------
        draws
            Draws of one chain.
        rng
            Random number generator.

        Returns
        -------
        dict
            Replicates by the names of `data`, with the draws along the first axis.
        """
        again = self.replicate(draws, rng)
        points = again["reported"].values[0][:, self.reported.kept]
        widths = {"reported widths": again["widths"].values[0]} if "widths" in again else {}
        return {"reported points": points, **widths}

    def folds(self) -> Folds:
        """Split the evidence by estimate, each with its width.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """
        return Folds(CLAIM, tuple(reported_predictive.folds_of(self.reported)))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array | None:
        """Return the log density of each fold given the others; None with p-values that are ranges.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        folds
            Folds, as `folds` returns them.

        Returns
        -------
        ndarray or None, shape (chain, draw, fold)
            Log densities; None where parts of the evidence have no density.
        """
        if self.reported.is_tail[self.reported.kept].any():
            return None
        return reported_folds.densities(self.reported, draws, folds)

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict an estimate and its width from draws of a fit without it.

        Parameters
        ----------
        fold
            The fold that is left out.
        draws
            Draws of a fit without the fold.
        rng
            Random number generator.

        Returns
        -------
        list of FoldPrediction
            Predictions of the fold's numbers; empty where they are not shown.
        """
        return reported_folds.predict_fold(self.reported, fold, draws, rng)

    # --- Checks and tables -----------------------------------------------------------------------

    def misfit(self, tree: xr.DataTree) -> Discrepancy:
        """Compare the estimates with their joint distribution by χ²; return the one with the largest residual.

        Parameters
        ----------
        tree
            Draws of a fit.

        Returns
        -------
        Discrepancy or None
            Posterior predictive p-value of χ², with the part that fits worst; None without a measure.
        """
        posterior, data = tree["posterior"].to_dataset(), tree["observed_data"].to_dataset()
        names = list(data["point"].values)
        at = [list(posterior["row"].values).index(name) for name in names]
        residual = data["reported"].values - posterior["reported_mean"].values[..., at]
        covariance = posterior["reported_covariance"].values[..., at, :][..., at]
        distance, standardised = _distances(residual, covariance)
        if "widths" in data:
            residual = data["widths"].values - posterior["width_mean"].values
            of_widths, width = _distances(residual, posterior["width_covariance"].values)
            distance = distance + of_widths
            standardised = np.concatenate([standardised, width], axis=-1)
            names += [f"width of {name}" for name in data["width"].values]
        share = float(chdtrc(len(names), distance).mean())
        worst = int(np.abs(standardised).mean((0, 1)).argmax())
        return Discrepancy(names[worst], share, NOT_FITTED)

    def rows(self) -> pd.DataFrame:
        """Return the estimates that are evidence: columns ``id``, ``about``, ``reported``, ``source``.

        Returns
        -------
        DataFrame
            Columns ``id``, ``about``, ``reported``, ``source``.
        """
        reported = self.reported
        rows = [
            (e.id, label(meaning, statistic_of(e.kind)), e.as_reported, e.source)
            for e, meaning in zip(reported.reported_estimates, reported.meanings, strict=True)
        ]
        rows += [
            (f"events[{t.patients}]", f"events of {t.patients}", f"{t.events} of {t.n}", t.source)
            for t in reported.totals
        ]
        return pd.DataFrame(rows, columns=["id", "about", "reported", "source"])


def _normal(mean: Array, covariance: Array, rng: np.random.Generator) -> Array:
    """Draw from a multivariate normal distribution for each mean and covariance."""
    noise = rng.normal(size=mean.shape)
    return np.asarray(mean + (np.linalg.cholesky(covariance) @ noise[..., None])[..., 0])


def _distances(residual: Array, covariance: Array) -> tuple[Array, Array]:
    """Return the squared Mahalanobis distance of each residual, and its standardised elements."""
    distance = (residual * np.linalg.solve(covariance, residual[..., None])[..., 0]).sum(-1)
    return distance, residual / np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
