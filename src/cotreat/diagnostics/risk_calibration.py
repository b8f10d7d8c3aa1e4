"""Assess the calibration of predicted risks in the patients of the fit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from cotreat.core.constants import INTERVAL
from cotreat.frequentist.logistic import maximise
from cotreat.study.covariate_patterns import CovariatePatterns

FLAT = 1e-6
"""SD of the predicted log-odds below which there is no slope."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Observed events against predicted risks.

    Attributes
    ----------
    groups : pandas.DataFrame
        One row for each group of patients by quantile of predicted risk (posterior mean): ``patients``,
        ``least`` and ``most`` predicted risk, mean ``predicted`` risk, ``observed`` share with the event,
        ``lower`` and ``upper`` end of the posterior predictive interval of that share, ``off`` (mean
        squared distance of the events from what a draw expects, in variances).
    in_the_large : float
        Shift of the predicted log-odds at which the expected events equal the observed ones.
    slope : float
        Coefficient of the predicted log-odds in a logistic regression of the events: under 1 where
        predictions are too extreme. NaN where all predictions are alike.
    share : float
        Posterior predictive p-value: share of draws whose replicated events are at least as far from
        their expectation, by χ² over the groups, as the observed ones.
    """

    groups: pd.DataFrame
    in_the_large: float
    slope: float
    share: float

    @property
    def worst(self) -> str:
        """The group with the largest discrepancy."""
        row = self.groups.loc[self.groups.off.idxmax()]
        return f"patients with a predicted risk of {row.least:.0%} to {row.most:.0%}"

    def __str__(self) -> str:
        """Return calibration in the large and slope as text."""
        return f"in the large {self.in_the_large:+.2f} (log-odds), slope {self.slope:.2f}"


def calibration_of(tree: xr.DataTree, patterns: CovariatePatterns) -> Calibration:
    """Compute the calibration of predicted risks in the patients of the fit.

    Parameters
    ----------
    tree
        Draws of a fit, with predicted risks and posterior predictions.
    patterns
        Patients by covariate pattern.

    Returns
    -------
    Calibration

    Notes
    -----
    In-the-large and slope after Cox, Biometrika 1958;45:562, with posterior mean risks as predictions;
    the p-value after Gelman, Meng & Stern, Stat Sinica 1996;6:733. The predictions
    were fitted to the same events, so that calibration in new patients would be worse.
    """
    known, again = tree["constant_data"].to_dataset(), tree["posterior_predictive"].to_dataset()
    risk, group = known["predicted_risk"].values, known["risk_group_of"].values
    patients, events = (np.bincount(group, weights) for weights in (patterns.n, patterns.events))
    drawn = again["events_by_risk"].values.reshape(-1, len(patients))
    expected = again["expected_by_risk"].values.reshape(-1, len(patients))
    variance = again["variance_by_risk"].values.reshape(-1, len(patients))
    seen, replicated = ((e - expected) ** 2 / variance for e in (events, drawn))
    tail = (1 - INTERVAL) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail], axis=0) / patients
    ends = pd.Series(risk).groupby(group).agg(["min", "max"])
    groups = pd.DataFrame(
        {
            "patients": patients.astype(int),
            "least": ends["min"],
            "most": ends["max"],
            "predicted": np.bincount(group, patterns.n * risk) / patients,
            "observed": events / patients,
            "lower": lower,
            "upper": upper,
            "off": seen.mean(0),
        }
    )
    share = float((replicated.sum(1) >= seen.sum(1)).mean())
    return Calibration(groups, *recalibrated(risk, patterns.n, patterns.events), share)


def recalibrated(
    risk: NDArray[np.float64], n: NDArray[np.int64], events: NDArray[np.int64]
) -> tuple[float, float]:
    """Return calibration in the large and slope of predicted risks, by cell.

    Parameters
    ----------
    risk, n, events
        Predicted risk, patients and events by covariate pattern.

    Returns
    -------
    float
        Calibration in the large.
    float
        Slope; NaN where all predictions are alike.
    """
    score = logit(risk)
    if not 0 < events.sum() < n.sum():
        return float("nan"), float("nan")
    shift = brentq(lambda a: float(n @ expit(a + score)) - events.sum(), -50, 50)
    if np.sqrt(np.cov(score, fweights=n)) < FLAT:
        return float(shift), float("nan")
    slope = maximise(events, n, np.column_stack([np.ones_like(score), score]))[1]
    return float(shift), float(slope)
