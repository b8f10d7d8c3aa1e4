"""Patients by covariate pattern: events among those alike in regimen, covariates and cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat.core.constants import as_seen
from cotreat.evidence.counts import Counts
from cotreat.evidence.folds import PATIENT, Fold, FoldPrediction, Folds, log_binomial_coefficient
from cotreat.evidence.protocol import Given, Point, Predictor
from cotreat.priors import model_data
from cotreat.priors.declare import state, state_risk
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.study import Study

if TYPE_CHECKING:
    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

GROUPS, LEAST = 10, 20
"""Largest number of groups of predicted risk, and smallest number of patients in each."""
AT_ONCE = 5_000_000
"""Largest number of risks, by draw and covariate pattern, in memory."""
NEGLIGIBLE = 1e-7
"""Part of a unit column that counts as rounding error."""
LARGE = 36.0
"""Above it log(1 + exp x) equals x in double precision."""


class Patients(Counts):
    """The patients of a study, with covariates or clusters: counted by covariate pattern, and so by regimen.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification, with individual patient data.
    """

    standardises = True

    def __init__(self, study: Study) -> None:
        assert study.patterns is not None  # noqa: S101 - for the type checker
        self.study, self.patterns = study, study.patterns
        self.pattern_count = len(self.patterns.n)

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        of_clusters = ("between", "cluster_z") if self.patterns.clusters else ()
        return (*(("delta",) if self.patterns.covariates else ()), *of_clusters)

    def coords(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates of the variables that `likelihood` declares.

        Returns
        -------
        dict
            Labels by dimension.
        """
        cells, patterns = range(self.pattern_count), self.patterns
        labels = {"cell": cells, "covariate": patterns.names, "cluster": patterns.clusters}
        return {dim: of for dim, of in labels.items() if of}

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the covariate patterns as data, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.

        Returns
        -------
        dict
            Values by name.
        """
        patterns = self.patterns
        weights = patterns.weights(arms)
        return {
            "cell n": patterns.n,
            "cell events": patterns.events,
            "cell arm": np.array([arms.index(regimen) for regimen in patterns.regimens]),
            **({"cell covariates": patterns.values} if patterns.covariates else {}),
            **({"cell cluster": patterns.cluster} if patterns.clusters else {}),
            "profile cell": patterns.profiles,
            "profile weights": weights[0] if len(weights) == 1 else weights,
        }

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """
        return ("patients", self.study.counted, self.patterns.names, self.patterns.clusters)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare r_c ~ Binomial(n_c, logistic(η_a + x_c δ + u_k)) in the PyMC model in context.

        Deterministics by arm are ``conditional_risk``, at mean covariates and a cluster effect of 0, and
        ``risk``, standardised over the covariates and clusters of all patients.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """
        import pymc as pm
        import pytensor.tensor as pt

        patterns = self.patterns
        data = model_data.state(self.data(predictor.arms))
        shift = pt.zeros(len(patterns.n))
        if patterns.covariates:
            shift = shift + data["cell covariates"] @ state(priors, "delta", dims="covariate")
        if patterns.clusters:
            between = state(priors, "between")
            off = pm.Deterministic(
                "cluster_effect",
                between * state(priors, "cluster_z", dims="cluster"),
                dims="cluster",
            )
            shift = shift + off[data["cell cluster"]]
        weights = data["profile weights"]

        def standardised(log_odds: pt.TensorVariable) -> pt.TensorVariable:
            risks = pm.math.invlogit(log_odds[:, None] + shift[data["profile cell"]])
            return risks @ weights if weights.ndim == 1 else (risks * weights).sum(1)

        state_risk("conditional_risk", pm.math.invlogit, predictor.log_odds, predictor.confounded)
        state_risk("risk", standardised, predictor.log_odds, predictor.confounded)
        pm.CustomDist(
            "events",
            pt.cast(data["cell n"], "int64"),  # JAX makes single precision of functions of int32
            predictor.confounded[data["cell arm"]] + shift,
            logp=log_binomial,
            random=lambda n, log_odds, rng, size: rng.binomial(n, expit(log_odds), size=size),
            observed=data["cell events"],
            dims="cell",
        )

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate what the patients determine in the log-odds of all regimens.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (row, regimen)
            That of the counts, or fewer rows where covariates are collinear with the regimens.
        """
        rows = super().jacobian(point)
        determined = self._determined
        if len(determined) == len(rows):
            return rows
        at = [self.study.regimens.index(regimen) for regimen in self.study.counted]
        rows = np.zeros((len(determined), rows.shape[1]))
        rows[:, at] = determined
        return rows

    @cached_property
    def _determined(self) -> Array:
        """Combinations of log-odds of counted regimens that covariates do not absorb, shape (row, counted)."""
        weight = np.sqrt(self.patterns.n)[:, None]
        regimens = np.array(self.patterns.regimens)[:, None] == np.array(self.study.counted)
        taken, covariates = regimens * weight, self.patterns.values * weight
        length = np.linalg.norm(taken, axis=0)
        directions, size, _ = np.linalg.svd(covariates, full_matrices=False)
        base = directions[:, size > NEGLIGIBLE * size.max(initial=0)]
        rest = taken / length - base @ (base.T @ taken / length)
        _, size, combinations = np.linalg.svd(rest, full_matrices=False)
        return combinations[size > NEGLIGIBLE] * length

    def marginal(self) -> Patients:
        """Return the same patients without clusters.

        Returns
        -------
        Patients
        """
        return Patients(self.study.without_clusters())

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the events, summed by regimen and by group of predicted risk.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        rng
            Random number generator.

        Returns
        -------
        Dataset
            ``events`` by regimen and ``events_by_risk`` by group, their expectations ``expected_events`` and
            ``expected_by_risk``, the variance ``variance_by_risk``; by covariate pattern the constants
            ``predicted_risk`` and ``risk_group_of``.
        """
        patterns, chains = self.patterns, draws.sizes["chain"]
        risk = self._mean_risks(draws)
        group = groups_of(risk, patterns.n)
        by_group = np.eye(group.max() + 1)[group]
        sums = defaultdict(list)
        for events, expected in self._predictions(draws, rng):
            sums["events"].append(by_regimen(self.study, events))
            sums["expected_events"].append(by_regimen(self.study, expected))
            sums["events_by_risk"].append((events @ by_group).astype(int))
            sums["expected_by_risk"].append(expected @ by_group)
            sums["variance_by_risk"].append((expected * (1 - expected / patterns.n)) @ by_group)
        import xarray as xr

        made: dict[str, Any] = {}
        for name, parts in sums.items():
            dims = ("chain", "draw", "risk_group" if name.endswith("by_risk") else "counted")
            values = np.concatenate(parts)
            made[name] = (dims, values.reshape(chains, -1, values.shape[-1]))
        made |= {"predicted_risk": ("cell", risk), "risk_group_of": ("cell", group)}
        labels = {"chain": draws["chain"], "draw": draws["draw"]}
        return xr.Dataset(made, {**labels, "counted": list(self.study.counted)})

    def _mean_risks(self, draws: xr.Dataset) -> Array:
        """Return the mean risk of each covariate pattern, shape (cell,)."""
        return mean_risks(self.patterns, draws)

    def _predictions(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Yield drawn and expected events by draw and covariate pattern, of parts of the draws."""
        n = self.patterns.n
        for part in _parts(self.patterns, draws):
            probability = risks(self.patterns, part)
            yield rng.binomial(n, probability), n * probability

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates of the events under the names of `data`.

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
        risk = risks(self.patterns, draws.isel(chain=0))
        return {"cell events": rng.binomial(self.patterns.n, risk)}

    def folds(self) -> Folds:
        """Split each covariate pattern into folds of one patient with and one without the event.

        The constants remove the binomial coefficients, because patients are left out in no order.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """
        return Folds(PATIENT, tuple(_folds(self.patterns)))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the log density of a patient of each fold, shape (chain, draw, fold).

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
        patterns, logs = self.patterns, []
        for chain in range(draws.sizes["chain"]):
            risk = risks(patterns, draws.isel(chain=chain))
            both = np.stack([np.log(risk), np.log1p(-risk)], axis=-1)
            is_there = np.stack([patterns.events > 0, patterns.events < patterns.n], axis=-1)
            logs.append(both[:, is_there])
        return np.stack(logs)

    def predict_fold(
        self,
        fold: Fold,  # noqa: ARG002
        draws: xr.Dataset,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> list[FoldPrediction]:
        """Return nothing: single patients are not shown.

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
        return []

    # --- Checks ----------------------------------------------------------------------------------

    def _expected_events(self, tree: xr.DataTree) -> Array:
        """Return the expected events by draw and counted regimen, shape (chain, draw, counted)."""
        return tree["posterior_predictive"].to_dataset()["expected_events"].values


def _folds(patterns: CovariatePatterns) -> Iterator[Fold]:
    for at, (n, r) in enumerate(zip(patterns.n.tolist(), patterns.events.tolist(), strict=True)):
        for events, times, word in ((1, r, "with"), (0, n - r, "without")):
            if times:
                numerator = log_binomial_coefficient(n - 1, r - events)
                yield Fold(
                    f"cell {at}, {patterns.regimens[at]}, {word} event",
                    (("cell n", at, -1.0), ("cell events", at, -float(events))),
                    float(numerator - log_binomial_coefficient(n, r)),
                    times,
                )


def log_binomial(
    events: pt.TensorVariable, n: pt.TensorVariable, log_odds: pt.TensorVariable
) -> pt.TensorVariable:
    """Return log C(n, r) + r η − n log(1 + exp η), the log density of r ~ Binomial(n, logistic(η)).

    PyMC's Binomial computes the same from log p and log(1 − p) with guards for p = 0 and 1; its gradient
    takes six times as long. PyTensor's softplus uses log1p, which takes five times as long as a log; the
    rounding error of 1e-16 does not matter in a sum of logs.

    Parameters
    ----------
    events
        Number of events.
    n
        Number of patients.
    log_odds
        Log-odds η of the event.

    Returns
    -------
    TensorVariable
        Log density by element.
    """
    import pytensor.tensor as pt

    ways = pt.gammaln(n + 1) - pt.gammaln(events + 1) - pt.gammaln(n - events + 1)
    near = pt.minimum(log_odds, LARGE)
    # The halves prevent PyTensor from recognising log1p.
    log_sum = pt.where(log_odds > LARGE, log_odds, pt.log(0.5 + 0.5 * pt.exp(near)) + np.log(2))
    return ways + events * log_odds - n * log_sum


def by_regimen(study: Study, by_cell: NDArray[Any]) -> NDArray[Any]:
    """Sum covariate patterns by counted regimen, along the last axis.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    by_cell
        Values by covariate pattern, shape (…, cell).

    Returns
    -------
    ndarray, shape (…, counted)
        Sums.
    """
    assert study.patterns is not None  # noqa: S101 - for the type checker
    regimens = np.array(study.patterns.regimens)
    return np.stack([by_cell[..., regimens == arm].sum(-1) for arm in study.counted], axis=-1)


def risks(patterns: CovariatePatterns, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the risk of each covariate pattern from draws of one chain, shape (draw, cell).

    Parameters
    ----------
    patterns
        Covariate patterns.
    posterior
        Draws of one chain.

    Returns
    -------
    ndarray, shape (draw, cell)
        Risks.
    """
    arms = list(posterior["arm"].values)
    at = [arms.index(regimen) for regimen in patterns.regimens]
    risk = as_seen(posterior, "conditional_risk")
    log_odds = logit(risk.transpose("draw", "arm").values)[:, at]
    if patterns.covariates:
        log_odds += posterior["delta"].transpose("draw", "covariate").values @ patterns.values.T
    if patterns.clusters:
        effect = posterior["cluster_effect"].transpose("draw", "cluster").values
        log_odds += effect[:, patterns.cluster]
    return expit(log_odds)


def mean_risks(patterns: CovariatePatterns, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the posterior mean risk of each covariate pattern, shape (cell,).

    Parameters
    ----------
    patterns
        Covariate patterns.
    posterior
        Posterior draws, dims (chain, draw, …).

    Returns
    -------
    ndarray, shape (cell,)
        Mean risks.
    """
    sums = [risks(patterns, part).sum(0) for part in _parts(patterns, posterior)]
    return np.sum(sums, axis=0) / (posterior.sizes["chain"] * posterior.sizes["draw"])


def groups_of(risk: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group covariate patterns by quantile of risk, with about equally many patients, shape (cell,).

    There are ten groups, or fewer so that each has at least 20 patients.

    Parameters
    ----------
    risk
        Risk by covariate pattern, shape (cell,).
    n
        Patients by covariate pattern, shape (cell,).

    Returns
    -------
    ndarray of int, shape (cell,)
        Group of each covariate pattern, from 0.
    """
    most = int(np.clip(n.sum() // LEAST, 2, GROUPS))
    order = np.argsort(risk, kind="stable")
    middle = np.cumsum(n[order]) - n[order] / 2
    group = np.empty(len(n), dtype=np.int64)
    group[order] = np.floor(most * middle / n.sum())
    return np.unique(group, return_inverse=True)[1]


def _parts(patterns: CovariatePatterns, posterior: xr.Dataset) -> Iterator[xr.Dataset]:
    """Split a posterior into parts of one chain whose risks by covariate pattern fit in memory."""
    step = max(1, AT_ONCE // len(patterns.n))
    for chain in range(posterior.sizes["chain"]):
        for start in range(0, posterior.sizes["draw"], step):
            yield posterior.isel(chain=chain, draw=slice(start, start + step))
