"""Patients by covariate pattern: events among those alike in regimen, covariates and cluster."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.core.constants import as_seen
from cotreat.evidence.counts import counts_conflict, counts_jacobian, counts_misfit, counts_rows
from cotreat.evidence.folds import PATIENT, Fold, FoldPrediction, Folds, log_orders
from cotreat.evidence.protocol import Discrepancy, Evidence, Given, Point, Predictor
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
LARGE = 36.0
"""Above it log(1 + exp x) equals x in double precision."""


class Patients(Evidence):
    """The patients of a study, with covariates or clusters, by covariate pattern."""

    kind = "counts"
    standardises = True
    target_accept = 0.995

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

    def coords(self) -> dict[str, tuple[str, ...] | range]:
        """Return the coordinates of the variables that `likelihood` declares."""
        named = {"covariate": self.patterns.names, "cluster": self.patterns.clusters}
        own = {dim: entries for dim, entries in named.items() if entries}
        return {"cell": range(len(self.patterns.n)), **own}

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the covariate patterns as data, by name."""
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
        """Return everything that determines `likelihood` besides `data`."""
        return ("patients", self.study.counted, self.patterns.names, self.patterns.clusters)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare r_c ~ Binomial(n_c, logistic(η_a + x_c δ + u_k)) in the PyMC model in context.

        Deterministics by arm are ``conditional_risk``, at mean covariates and a cluster effect of 0, and
        ``risk``, standardised over the covariates and clusters of all patients.
        """
        import pymc as pm
        import pytensor.tensor as pt

        patterns = self.patterns
        known = model_data.state(self.data(predictor.arms))
        shift = pt.zeros(len(patterns.n))
        if patterns.covariates:
            shift = shift + known["cell covariates"] @ state(priors, "delta", dims="covariate")
        if patterns.clusters:
            between = state(priors, "between")
            off = pm.Deterministic(
                "cluster_effect",
                between * state(priors, "cluster_z", dims="cluster"),
                dims="cluster",
            )
            shift = shift + off[known["cell cluster"]]
        weights = known["profile weights"]

        def standardised(log_odds: pt.TensorVariable) -> pt.TensorVariable:
            risks = pm.math.invlogit(log_odds[:, None] + shift[known["profile cell"]])
            return risks @ weights if weights.ndim == 1 else (risks * weights).sum(1)

        state_risk("conditional_risk", pm.math.invlogit, predictor.log_odds, predictor.seen)
        state_risk("risk", standardised, predictor.log_odds, predictor.seen)
        pm.CustomDist(
            "events",
            pt.cast(known["cell n"], "int64"),  # JAX makes single precision of functions of int32
            predictor.seen[known["cell arm"]] + shift,
            logp=log_binomial,
            random=_draw_binomial,
            observed=known["cell events"],
            dims="cell",
        )

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expected events by regimen in the log-odds of all regimens."""
        return counts_jacobian(self.study, point)

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the events, summed by regimen and by group of predicted risk.

        Returns
        -------
        Dataset
            ``events`` by regimen and ``events_by_risk`` by group, their expectations ``expected_events`` and
            ``expected_by_risk``, the variance ``variance_by_risk``; by covariate pattern the constants
            ``predicted_risk`` and ``risk_group_of``.
        """
        risk = mean_risks(self.patterns, draws)
        group = groups_of(risk, self.patterns.n)
        again = replicate(self.study, draws, group, rng)
        known = {"predicted_risk": ("cell", risk), "risk_group_of": ("cell", group)}
        import xarray as xr

        return xr.Dataset({**again, **known})

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates of the events under the names of `data`."""
        risk = risks(self.patterns, draws.isel(chain=0))
        return {"cell events": rng.binomial(self.patterns.n, risk)}

    def folds(self) -> Folds:
        """Split each covariate pattern into folds of one patient with and one without the event.

        The constants remove the binomial coefficients, because patients are left out in no order.
        """
        return Folds(PATIENT, tuple(_folds(self.patterns)))

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the log density of a patient of each fold, shape (chain, draw, fold)."""
        patterns, found = self.patterns, []
        for chain in range(draws.sizes["chain"]):
            risk = risks(patterns, draws.isel(chain=chain))
            both = np.stack([np.log(risk), np.log1p(-risk)], axis=-1)
            is_there = np.stack([patterns.events > 0, patterns.events < patterns.n], axis=-1)
            found.append(both[:, is_there])
        return np.stack(found)

    def predict_fold(
        self,
        fold: Fold,  # noqa: ARG002
        draws: xr.Dataset,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> list[FoldPrediction]:
        """Return nothing: single patients are not shown."""
        return []

    # --- Checks and tables -----------------------------------------------------------------------

    def prior_conflict(self, tree: xr.DataTree) -> Discrepancy:
        """Measure how many SDs the prior is from the observed log-odds of each counted regimen."""
        return counts_conflict(self.study, tree)

    def misfit(self, tree: xr.DataTree) -> Discrepancy:
        """Compare the events by regimen with replicated ones by χ²."""
        mean = tree["posterior_predictive"].to_dataset()["expected_events"].values
        return counts_misfit(self.study, tree, mean)

    def rows(self) -> pd.DataFrame:
        """Return the counts by regimen: columns ``id``, ``about``, ``reported``, ``source``."""
        return counts_rows(self.study)


def _folds(patterns: CovariatePatterns) -> Iterator[Fold]:
    for at, (n, r) in enumerate(zip(patterns.n.tolist(), patterns.events.tolist(), strict=True)):
        for events, times, word in ((1, r, "with"), (0, n - r, "without")):
            if times:
                orders = log_orders(n - 1, r - events) - log_orders(n, r)
                yield Fold(
                    f"cell {at}, {patterns.regimens[at]}, {word} event",
                    (("cell n", at, -1.0), ("cell events", at, -float(events))),
                    orders,
                    times,
                )


def log_binomial(
    events: pt.TensorVariable, n: pt.TensorVariable, log_odds: pt.TensorVariable
) -> pt.TensorVariable:
    """Return log C(n, r) + r η − n log(1 + exp η), the log density of r ~ Binomial(n, logistic(η)).

    PyMC's Binomial computes the same from log p and log(1 − p) with guards for p = 0 and 1; its gradient
    takes six times as long.
    """
    import pytensor.tensor as pt

    ways = pt.gammaln(n + 1) - pt.gammaln(events + 1) - pt.gammaln(n - events + 1)
    return ways + events * log_odds - n * _softplus(log_odds)


def _softplus(x: pt.TensorVariable) -> pt.TensorVariable:
    """Return log(1 + exp x).

    PyTensor's own uses log1p, which takes five times as long as a log; the rounding error of 1e-16 does not
    matter in a sum of logs. The halves prevent PyTensor from recognising the expression.
    """
    import pytensor.tensor as pt

    near = pt.minimum(x, LARGE)
    return pt.where(x > LARGE, x, pt.log(0.5 + 0.5 * pt.exp(near)) + np.log(2))


def _draw_binomial(n: Any, log_odds: Any, rng: np.random.Generator, size: Any) -> NDArray[Any]:
    from scipy.special import expit

    return rng.binomial(n, expit(log_odds), size=size)


def by_regimen(study: Study, by_cell: NDArray[Any]) -> NDArray[Any]:
    """Sum covariate patterns by counted regimen, along the last axis."""
    assert study.patterns is not None  # noqa: S101 - for the type checker
    own = np.array(study.patterns.regimens)
    return np.stack([by_cell[..., own == label].sum(-1) for label in study.counted], axis=-1)


def risks(patterns: CovariatePatterns, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the risk of each covariate pattern from draws of one chain, shape (draw, cell)."""
    from scipy.special import expit, logit

    arms = list(posterior["arm"].values)
    at = [arms.index(regimen) for regimen in patterns.regimens]
    seen = as_seen(posterior, "conditional_risk")
    log_odds = logit(seen.transpose("draw", "arm").values)[:, at]
    if patterns.covariates:
        log_odds += posterior["delta"].transpose("draw", "covariate").values @ patterns.values.T
    if patterns.clusters:
        effect = posterior["cluster_effect"].transpose("draw", "cluster").values
        log_odds += effect[:, patterns.cluster]
    return expit(log_odds)


def mean_risks(patterns: CovariatePatterns, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the posterior mean risk of each covariate pattern, shape (cell,)."""
    sums = [risks(patterns, part).sum(0) for part in _parts(patterns, posterior)]
    return np.sum(sums, axis=0) / (posterior.sizes["chain"] * posterior.sizes["draw"])


def groups_of(risk: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group covariate patterns by quantile of risk, with about equally many patients, shape (cell,).

    There are ten groups, or fewer so that each has at least 20 patients.
    """
    most = int(np.clip(n.sum() // LEAST, 2, GROUPS))
    order = np.argsort(risk, kind="stable")
    middle = np.cumsum(n[order]) - n[order] / 2
    group = np.empty(len(n), dtype=np.int64)
    group[order] = np.floor(most * middle / n.sum())
    return np.unique(group, return_inverse=True)[1]


def replicate(
    study: Study, posterior: xr.Dataset, group: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, xr.DataArray]:
    """Draw replicates of the events, summed by regimen and by group of predicted risk.

    Parameters
    ----------
    group
        Group of each covariate pattern, shape (cell,).

    Returns
    -------
    dict
        What `Patients.replicate` returns, without the constants.
    """
    patterns = study.patterns
    assert patterns is not None  # noqa: S101 - for the type checker
    by_group = np.eye(group.max() + 1)[group]
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for part in _parts(patterns, posterior):
        risk = risks(patterns, part)
        drawn, expected = rng.binomial(patterns.n, risk), patterns.n * risk
        for name, values in (
            ("events", by_regimen(study, drawn)),
            ("expected_events", by_regimen(study, expected)),
            ("events_by_risk", (drawn @ by_group).astype(int)),
            ("expected_by_risk", expected @ by_group),
            ("variance_by_risk", (expected * (1 - risk)) @ by_group),
        ):
            sums.setdefault(name, []).append(values)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    coords = {
        "chain": posterior["chain"],
        "draw": posterior["draw"],
        "counted": list(study.counted),
    }
    import xarray as xr

    made = {}
    for name, parts in sums.items():
        dims = ("chain", "draw", "risk_group" if name.endswith("by_risk") else "counted")
        known = {dim: coords[dim] for dim in dims if dim in coords}
        made[name] = xr.DataArray(np.concatenate(parts).reshape(*shape, -1), known, dims)
    return made


def _parts(patterns: CovariatePatterns, posterior: xr.Dataset) -> Iterator[xr.Dataset]:
    """Split a posterior into parts of one chain whose risks by covariate pattern fit in memory."""
    step = max(1, AT_ONCE // len(patterns.n))
    for chain in range(posterior.sizes["chain"]):
        for start in range(0, posterior.sizes["draw"], step):
            yield posterior.isel(chain=chain, draw=slice(start, start + step))
