"""Counts: events among the patients of each counted regimen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
    log_binomial_coefficient,
    summarise_prediction,
)
from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.protocol import Discrepancy, Evidence, Given, Point, Predictor
from cotreat.priors import model_data
from cotreat.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

PRIOR_CONFLICT = 2.5
"""Distance in SDs above which a prior conflicts with the data."""
NOT_REPRODUCED = (
    "the model with these priors does not reproduce the counts, and its effects are averages of "
    "unlike ones: resolve a prior–data conflict first, then use a freer model (interaction, saturated)"
)


class Counts(Evidence):
    """The counts of a study by regimen.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    """

    kind = "counts"
    target_accept = 0.995

    def __init__(self, study: Study) -> None:
        self.study = study

    # --- In a model ------------------------------------------------------------------------------

    def coords(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates of the counted regimens.

        Returns
        -------
        dict
            Labels by dimension.
        """
        return {"counted": self.study.counted}

    def data(self, arms: tuple[str, ...]) -> Given:  # noqa: ARG002 - the same whatever the model
        """Return the counts, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.

        Returns
        -------
        dict
            Values by name.
        """
        return {"counted n": self.study.n, "counted events": self.study.events}

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """
        return ("counts", self.study.counted)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:  # noqa: ARG002
        """Declare r_a ~ Binomial(n_a, p_a) for every counted arm of the PyMC model in context.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """
        import pymc as pm
        import pytensor.tensor as pt

        at = [predictor.arms.index(regimen) for regimen in self.study.counted]
        if predictor.sigma is None:
            risk = {"logit_p": predictor.confounded[at]}
        else:
            risk = {"p": averages(pt, predictor.confounded[at], predictor.sigma).risk}
        n, events = model_data.state(self.data(predictor.arms)).values()
        # PyMC keeps whole numbers as int32, of which JAX makes functions in single precision.
        n = pt.cast(n, "int64")
        pm.Binomial("events", n=n, observed=events, dims="counted", **risk)

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expected events by regimen in the log-odds of all regimens.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (counted, regimen)
            n times the derivative of the risk where the count is of the regimen, otherwise 0.
        """
        study, weight = self.study, averages(np, point.log_odds, point.sigma).weight
        at = [study.regimens.index(regimen) for regimen in study.counted]
        rows = np.zeros((len(at), len(study.regimens)))
        rows[np.arange(len(at)), at] = study.n * weight[at]
        return rows

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the ``events`` by counted regimen.

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
        risk = as_seen(draws, "risk").sel(arm=list(self.study.counted)).rename(arm="counted")
        risk = risk.transpose(..., "counted")
        events = risk.copy(data=rng.binomial(self.study.n, risk.values)).reset_coords(drop=True)
        return events.to_dataset(name="events")

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates of the counts under the names of `data`.

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
        events = self.replicate(draws, rng)["events"]
        return {"counted events": events.transpose("chain", "draw", "counted").values[0]}

    def folds(self) -> Folds:
        """Split the counts by regimen: 0 of 0 has likelihood 1 under any risk.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """
        study = self.study
        zipped = zip(study.counted, study.n.tolist(), study.events.tolist(), strict=True)
        folds = [
            Fold(regimen, (("counted n", at, -float(n)), ("counted events", at, -float(events))))
            for at, (regimen, n, events) in enumerate(zipped)
        ]
        return Folds(CELL, tuple(folds))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the binomial log density of each count, shape (chain, draw, counted).

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
        counted, n, r = list(self.study.counted), self.study.n, self.study.events
        risk = draws["risk"].sel(arm=counted).transpose("chain", "draw", "arm").values
        return log_binomial_coefficient(n, r) + r * np.log(risk) + (n - r) * np.log1p(-risk)

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict the events of one regimen from draws of a fit without it.

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
        at = self.study.counted.index(fold.name)
        risk = draws["risk"].sel(arm=fold.name).values.ravel()
        events, n = float(self.study.events[at]), self.study.n[at]
        drawn = rng.binomial(n, risk)
        return [summarise_prediction(fold.name, EVENTS, f"{events:.0f} of {n}", events, drawn)]

    # --- Checks and tables -----------------------------------------------------------------------

    def _expected_events(self, tree: xr.DataTree) -> Array:
        """Return the expected events by draw and counted regimen, shape (chain, draw, counted)."""
        risk = as_seen(tree["posterior"].to_dataset(), "risk").sel(arm=list(self.study.counted))
        return self.study.n * risk.transpose(..., "arm").values

    def misfit(self, tree: xr.DataTree) -> Discrepancy:
        """Compare the events by regimen with replicated ones by χ²; name the regimen that fits worst.

        Parameters
        ----------
        tree
            Draws of a fit.

        Returns
        -------
        Discrepancy or None
            Posterior predictive p-value of χ², with the part that fits worst; None without a measure.

        Notes
        -----
        Posterior predictive p-value: the share of draws with χ² of the replicated counts at least that of the
        observed ones (Gelman, Meng & Stern, Stat Sinica 1996;6:733).
        """
        study, mean = self.study, self._expected_events(tree)
        replicated = tree["posterior_predictive"].to_dataset()["events"].values
        variance = mean * (1 - mean / study.n)
        observed = (study.events - mean) ** 2 / variance
        expected = (replicated - mean) ** 2 / variance
        share = float(np.mean(expected.sum(-1) >= observed.sum(-1)))
        where = study.counted[int(observed.mean((0, 1)).argmax())]
        return Discrepancy(where, share, NOT_REPRODUCED)

    def rows(self) -> pd.DataFrame:
        """Return the counts by regimen: columns ``id``, ``about``, ``reported``, ``source``.

        Returns
        -------
        DataFrame
            Columns ``id``, ``about``, ``reported``, ``source``.
        """
        study = self.study
        rows = [
            (regimen, f"events on {regimen}", f"{events} of {n}", study.arm_of[regimen].source)
            for regimen, events, n in zip(study.counted, study.events, study.n, strict=True)
        ]
        return pd.DataFrame(rows, columns=["id", "about", "reported", "source"])


def distance(mean: Array | float, variance: Array | float, study: Study) -> Array:
    """Return the distance of the counts from their prior prediction, in SDs.

    Parameters
    ----------
    mean, variance
        Of the prior log-odds, by counted regimen or for all.
    study
        The study, whose counts are compared.

    Returns
    -------
    ndarray
        |empirical log-odds − mean| / √(variance + sampling variance), shape (counted,).

    Notes
    -----
    Empirical log-odds with ½ event and ½ non-event added: Haldane, Ann Hum Genet 1956;20:309, and Anscombe,
    Biometrika 1956;43:461.
    """
    share = (study.events + 0.5) / (study.n + 1)
    sampling = 1 / ((study.n + 1) * share * (1 - share))
    return np.abs(logit(share) - mean) / np.sqrt(variance + sampling)
