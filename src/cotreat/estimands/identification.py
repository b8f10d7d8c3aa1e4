"""Classify estimands: identified by the evidence, not identified, implied or fixed by the model, not estimable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.core.constants import (
    CONDITIONAL,
    FIXED,
    IDENTIFIED,
    IMPLIED,
    NOT_ESTIMABLE,
    NOT_IDENTIFIED,
)
from cotreat.estimands.estimand import EFFECT_RATIO, Estimand, RiskDraws, is_array, on_measure
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.protocol import Evidences, Point, stacked
from cotreat.models.registry import Model
from cotreat.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

ROW_SPACE_TOLERANCE = 1e-6
WALD = "that the widths of the intervals are those of the regressions"
SCORE_HELD = "the SD of the prognostic score"


@dataclass(frozen=True)
class Status:
    """The status of an estimand, with the reason.

    Attributes
    ----------
    name : str
        Column ``status``, one of `cotreat.core.constants.STATUSES`.
    reason : str
        Column ``reason``: why it is not estimable, or what is assumed.
    """

    name: str
    reason: str = ""

    @property
    def is_estimable(self) -> bool:
        """Whether it has a value."""
        return self.name != NOT_ESTIMABLE

    @property
    def is_open(self) -> bool:
        """Whether it has a probability: prior and evidence, not the model alone, determine it."""
        return self.name in (IDENTIFIED, NOT_IDENTIFIED)

    @property
    def has_draws(self) -> bool:
        """Whether it has a posterior distribution."""
        return self.is_open or self.name == IMPLIED

    def __str__(self) -> str:
        return self.name if self.is_estimable else f"{self.name}: {self.reason}"

    @property
    def columns(self) -> dict[str, str]:
        """Values of the columns ``status`` and ``reason``."""
        return {"status": self.name, "reason": self.reason}


def asked(estimand: Estimand, status: Status) -> dict[str, str]:
    """Return the values of the columns `cotreat.core.constants.ASKED` of an estimand.

    Parameters
    ----------
    estimand
        The estimand.
    status
        Its status.

    Returns
    -------
    dict
        Values by column.
    """
    return {"label": estimand.label, **estimand.columns, **status.columns}


def not_estimable(reason: str) -> Status:
    """Return the status of an estimand without a value.

    Parameters
    ----------
    reason
        Reason why there is no value.

    Returns
    -------
    Status
        The status with its reason.
    """
    return Status(NOT_ESTIMABLE, reason)


class Identification:
    """Classify the estimands of a study under a model.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        The model.
    risk_draws
        Draws under `model`, with the regimens whose risk it models.
    evidence
        What the study resolves to.
    """

    def __init__(
        self, study: Study, model: Model, risk_draws: RiskDraws, evidence: Evidences
    ) -> None:
        self._study, self._model = study, model
        self._risk_draws, self._evidence = risk_draws, evidence

    @cached_property
    def _determined(self) -> Determination:
        return Determination(self._study, point_of(self._study, self._risk_draws), self._evidence)

    def of(self, estimand: Estimand) -> Status:
        """Return the status of an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Status
            The status, with the reason or assumption.
        """
        if self._study.why_no_risks and estimand.needs_risks:
            return not_estimable(self._study.why_no_risks)
        missing = [a for a in estimand.arms if a not in self._risk_draws.coords["arm"].values]
        if missing:
            return not_estimable(f"no patients in {', '.join(missing)}")
        if is_fixed(estimand, self._model):
            return Status(FIXED, estimand.assumption)
        if estimand.synergy is not None and not self._model.has_products:
            return Status(IMPLIED, estimand.assumption)
        return self._determined.of(estimand)


def is_fixed(estimand: Estimand, model: Model) -> bool:
    """Return whether the model holds an estimand at its null.

    Parameters
    ----------
    estimand
        The estimand.
    model
        The model.

    Returns
    -------
    bool
        True for product terms of a model without them.
    """
    synergy = estimand.synergy
    is_product = synergy.is_contrast if synergy is not None else estimand.measure == EFFECT_RATIO
    return is_product and not model.has_products


class Determination:
    """Determine by rank which estimands the evidence identifies near a point, whatever the model.

    An estimand is *identified* where its gradient in the log-odds of all regimens, and in the arm sizes that
    totals leave free, lies in the row space of the evidence's Jacobian; otherwise it is *not identified*. The rows are
    counts, estimates, totals and the widths of intervals; the SD of the prognostic score and the shifts between
    regressions are held.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    point
        Log-odds, score SD and arm sizes at which the rank is determined.
    evidence
        What the study resolves to.
    """

    def __init__(self, study: Study, point: Point, evidence: Evidences) -> None:
        self._study, self._point, self._evidence = study, point, evidence

    @cached_property
    def _jacobians(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Jacobian of the evidence without widths, and with them."""
        without = jacobian(self._evidence, self._point)
        widths = [piece.width_jacobian(self._point) for piece in self._evidence]
        of_widths = np.vstack(stacked(widths, len(self._study.regimens)))
        return without, np.vstack([without, of_widths])

    def of(self, estimand: Estimand) -> Status:
        """Return whether the evidence alone identifies an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Status
            Identified or not identified.
        """
        columns = self._jacobians[0].shape[1]
        padded = [np.pad(row, (0, columns - len(row))) for row in self._directions(estimand)]
        without, whole = (
            all(in_row_space(row, rows) for row in padded) for rows in self._jacobians
        )
        if whole and not without:
            reason = "; ".join(filter(None, [estimand.assumption, self._assumed]))
            return Status(IDENTIFIED, reason)
        return Status(IDENTIFIED if whole else NOT_IDENTIFIED, estimand.assumption)

    @property
    def _assumed(self) -> str:
        """What is assumed where the widths of intervals identify an estimand."""
        held = f" and {SCORE_HELD}" if self._point.sigma is not None else ""
        return f"assuming {WALD}{held}"

    def _directions(self, estimand: Estimand) -> Sequence[NDArray[np.float64]]:
        """Return the directions that must be identified, each shape (regimen,) or (regimen + free size,)."""
        study, measure = self._study, estimand.synergy
        if measure is not None and not measure.smooth:
            # Which of two regimens is the better one is identified only where both risks are.
            return [np.array([float(r == a) for r in study.regimens]) for a in estimand.arms[1:]]
        if estimand.reported_estimate:
            return [self._coefficients[estimand.reported_estimate]]
        slope = gradient(estimand, study.regimens, self._point)
        if np.isnan(slope).any() and measure is not None:
            # A synergy index without a value here is identified where the measure of its sign is.
            stand_in = on_measure(estimand, MEASURES[measure.sign_of])
            slope = gradient(stand_in, study.regimens, self._point)
        return [slope]

    @cached_property
    def _coefficients(self) -> dict[str, NDArray[np.float64]]:
        """Gradient of each reported coefficient, by its id."""
        blocks = [piece.coefficient_jacobian(self._point) for piece in self._evidence]
        ids = [coefficient.id for piece in self._evidence for coefficient in piece.coefficients]
        rows = np.vstack(stacked(blocks, len(self._study.regimens)))
        return dict(zip(ids, rows, strict=True))


def jacobian(evidence: Evidences, point: Point) -> NDArray[np.float64]:
    """Differentiate the expectation of all evidence in the log-odds of all regimens, and in arm sizes.

    Parameters
    ----------
    evidence
        Evidence of the study.
    point
        Point at which the evidence is differentiated.

    Returns
    -------
    ndarray
        Rows of all evidence, shape (row, regimen + free size); free sizes are those that totals leave open.
    """
    blocks = [piece.jacobian(point) for piece in evidence]
    return np.vstack(stacked(blocks, len(point.log_odds)))


def gradient(estimand: Estimand, arms: tuple[str, ...], point: Point) -> NDArray[np.float64]:
    """Differentiate an estimand in the conditional log-odds of each arm.

    Parameters
    ----------
    estimand
        The estimand.
    arms
        Regimens of the log-odds of `point`.
    point
        With one log-odds for each of `arms`.

    Returns
    -------
    ndarray
        Shape (arm,); NaN where the estimand has no value.

    Notes
    -----
    By the complex step (Squire & Trapp, SIAM Rev 1998;40:110), exact to machine precision.
    """
    step = 1e-20
    own = list(dict.fromkeys(estimand.arms))  # the derivative in any other arm is 0
    at = [arms.index(arm) for arm in own]
    moved = point.log_odds[at] + 1j * step * np.eye(len(at))
    sigma = point.sigma if estimand.needs_risks else None
    risks = averages(np, moved.ravel(), sigma).risk.reshape(moved.shape)
    slope = np.zeros(len(arms))
    slope[at] = estimand.of(*(risks[:, own.index(arm)] for arm in estimand.arms)).imag / step
    return slope


def in_row_space(vector: NDArray[np.float64], rows: NDArray[np.float64]) -> bool:
    """Return whether a vector is a linear combination of the rows of a matrix.

    Parameters
    ----------
    vector
        Shape (column,).
    rows
        Shape (row, column).

    Returns
    -------
    bool
        True within `ROW_SPACE_TOLERANCE`.
    """
    weights, *_ = np.linalg.lstsq(rows.T, vector, rcond=None)
    residual = np.linalg.norm(rows.T @ weights - vector)
    return bool(residual <= ROW_SPACE_TOLERANCE * max(np.linalg.norm(vector), 1e-300))


def point_of(study: Study, risk_draws: RiskDraws) -> Point:
    """Return the mean of draws; regimens without draws get the mean of the others.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    risk_draws
        Draws of the risks by arm.

    Returns
    -------
    Point
        Log-odds of the mean risks, mean score SD and mean arm sizes.
    """
    if is_array(risk_draws):
        return Point(_log_odds(study, risk_draws))
    mean = {name: float(risk_draws[name].mean()) for name in ("sigma",) if name in risk_draws}
    dims = [dim for dim in ("chain", "draw") if dim in risk_draws.dims]
    n = risk_draws["size"].mean(dims).values if "size" in risk_draws else None
    risk = risk_draws[CONDITIONAL if CONDITIONAL in risk_draws else "risk"]
    return Point(_log_odds(study, risk), mean.get("sigma"), n)


def _log_odds(study: Study, risk: xr.DataArray) -> NDArray[np.float64]:
    """Return the log-odds of the mean risk of all regimens, kept finite."""
    mean = risk.mean([dim for dim in risk.dims if dim != "arm"])
    filled = mean.reindex(arm=list(study.regimens), fill_value=float(mean.mean()))
    return logit(np.clip(filled.values, 1e-9, 1 - 1e-9))
