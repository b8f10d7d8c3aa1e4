"""Patients in many clusters: the effects of the clusters are integrated out, so that time is linear in clusters."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from cotreat.core.constants import as_seen
from cotreat.evidence.folds import CLUSTER, Fold, Folds, log_binomial_coefficient
from cotreat.evidence.patients import AT_ONCE, Patients
from cotreat.evidence.protocol import Given, Predictor
from cotreat.priors import model_data
from cotreat.priors.declare import state, state_risk
from cotreat.study.covariate_patterns import CovariatePatterns

if TYPE_CHECKING:
    from types import ModuleType

    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study

Array = NDArray[np.float64]

STEPS, LONGEST = 3, 2.0
"""Newton steps to the mode of a cluster's effect, and largest step, in SDs between clusters."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
LOG_WEIGHTS = np.log(WEIGHTS) + NODES**2 / 2 - 0.5 * np.log(2 * np.pi)
"""Nodes about the mode and logs of their weights. The error of a cluster's log likelihood is below 1e-5 with up to
6,000 patients if the SD between clusters is at most 1."""
RISK_NODES, RISK_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
RISK_WEIGHTS = RISK_WEIGHTS / RISK_WEIGHTS.sum()
"""Nodes and weights of mean risks; their error is below 2e-6 if the SD between clusters is at most 1."""


class Clusters(Patients):
    """The patients of a study with more than `MANY_CLUSTERS` clusters, a sample of a population of clusters.

    The log-odds of a patient in cluster k are those of regimen and covariates plus u_k ~ Normal(0, σ²); u_k is
    integrated out by adaptive Gauss–Hermite quadrature. Risks are means over the covariates of all patients and over
    the distribution of u.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification, with individual patient data in clusters.
    """

    target_accept = 0.9

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.blocks = tuple(_blocks(self.patterns))

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        return (*(("delta",) if self.patterns.covariates else ()), "between")

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Indices of the clusters in the order of the blocks."""
        return np.concatenate([self.patterns.cluster[block[:, 0]] for block in self.blocks])

    def coords(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates of the variables that `likelihood` declares.

        Returns
        -------
        dict
            Labels by dimension.
        """
        names = [self.patterns.clusters[at] for at in self.order]
        labels = {"covariate": self.patterns.names, "cluster": names}
        return {dim: of for dim, of in labels.items() if of}

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the clusters as data, by name.

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
        alone = replace(patterns, clusters=(), cluster=np.zeros_like(patterns.cluster))
        weights = alone.weights(arms)
        given = {
            "profile covariates": patterns.values[alone.profiles],
            "profile weights": weights[0] if len(weights) == 1 else weights,
            **self._data_of_events(patterns.events),
        }
        taken = np.array(patterns.regimens)[:, None] == np.array(arms)
        rows = np.hstack([taken, patterns.values])
        for at, block in enumerate(self.blocks):
            given |= {
                f"cluster rows {at}": rows[block],
                f"cluster n {at}": _padded(patterns.n, block),
                f"cluster kept {at}": np.ones(len(block)),
            }
        return given

    def _data_of_events(self, events: NDArray[np.int64]) -> Given:
        """Return events, and numbers of ways to choose them, by block; `events` has shape (…, cell)."""
        given: Given = {}
        ways = log_binomial_coefficient(self.patterns.n, events)
        for at, block in enumerate(self.blocks):
            given[f"cluster events {at}"] = _padded(events, block)
            given[f"cluster ways {at}"] = _padded(ways, block).sum(-1)
        return given

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """
        sizes = tuple(block.shape for block in self.blocks)
        return ("clusters", self.study.counted, self.patterns.names, sizes)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare the marginal likelihood of the events of each cluster in the PyMC model in context.

        Deterministics by arm are ``conditional_risk``, at mean covariates and a cluster effect of 0, and ``risk``,
        standardised over the covariates of all patients and the distribution of cluster effects.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """
        import pymc as pm
        import pytensor.tensor as pt

        data = model_data.state(self.data(predictor.arms))
        coefficients, shift = [predictor.confounded], pt.zeros(data["profile covariates"].shape[0])
        if self.patterns.covariates:
            delta = state(priors, "delta", dims="covariate")
            coefficients.append(delta)
            shift = data["profile covariates"] @ delta
        between, weights = state(priors, "between"), data["profile weights"]

        def standardised(log_odds: pt.TensorVariable) -> pt.TensorVariable:
            against = pt.exp(-(log_odds[:, None] + shift))
            risks = sum(
                weight / (1 + against * pt.exp(-node * between))
                for node, weight in zip(RISK_NODES, RISK_WEIGHTS, strict=True)
            )
            return risks @ weights if weights.ndim == 1 else (risks * weights).sum(1)

        state_risk("conditional_risk", pm.math.invlogit, predictor.log_odds, predictor.confounded)
        state_risk("risk", standardised, predictor.log_odds, predictor.confounded)
        every, terms = pt.concatenate(coefficients), []
        for at in range(len(self.blocks)):
            rows, n, events, ways, kept = (
                data[f"cluster {name} {at}"] for name in ("rows", "n", "events", "ways", "kept")
            )
            terms.append(kept * (ways + log_marginal(pt, rows @ every, n, events, between)))
        pm.CustomDist(
            "events",
            pt.concatenate(terms),
            logp=lambda _, term: term,
            random=lambda term, rng, size: np.zeros(np.shape(term)),  # noqa: ARG005
            observed=np.bincount(self.patterns.cluster, self.patterns.events)[self.order],
            dims="cluster",
        )

    # --- Predictions -----------------------------------------------------------------------------

    def _log_odds(self, draws: xr.Dataset) -> Array:
        """Return the log-odds of each covariate pattern at a cluster effect of 0, from draws of one chain."""
        arms = list(draws["arm"].values)
        at = [arms.index(regimen) for regimen in self.patterns.regimens]
        risk = as_seen(draws, "conditional_risk").transpose("draw", "arm").values
        log_odds = logit(risk)[:, at]
        if self.patterns.covariates:
            log_odds += (
                draws["delta"].transpose("draw", "covariate").values @ self.patterns.values.T
            )
        return log_odds

    def _parts(self, draws: xr.Dataset) -> Iterator[tuple[Array, Array]]:
        """Yield log-odds by covariate pattern, and SDs between clusters, of draws that fit in memory."""
        step = max(1, AT_ONCE // (self.pattern_count * len(NODES)))
        for chain in range(draws.sizes["chain"]):
            for start in range(0, draws.sizes["draw"], step):
                part = draws.isel(chain=chain, draw=slice(start, start + step))
                yield self._log_odds(part), part["between"].values

    def _by_cluster(self, values: Array, block: NDArray[np.int64]) -> Array:
        """Return values by draw, cluster and covariate pattern."""
        return values[:, np.maximum(block, 0)]

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the events in new clusters.

        Effects of clusters of few patients that were estimated from the same events would predict them too well.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        rng
            Random number generator.

        Returns
        -------
        Dataset
            As that of `Patients.replicate`, with the variance of the replicates, which includes that between clusters.
        """
        made = super().replicate(draws, rng)
        squares = (made["events_by_risk"] - made["expected_by_risk"]) ** 2
        variance = squares.mean(("chain", "draw")).broadcast_like(squares).transpose(*squares.dims)
        return made.assign(variance_by_risk=variance)

    def _mean_risks(self, draws: xr.Dataset) -> Array:
        """Return the mean risk of each covariate pattern over draws and clusters, shape (cell,)."""
        sums = [_over_clusters(*part).sum(0) for part in self._parts(draws)]
        return np.sum(sums, axis=0) / (draws.sizes["chain"] * draws.sizes["draw"])

    def _predictions(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Yield drawn and expected events by draw and covariate pattern, of parts of the draws."""
        for part in self._parts(draws):
            yield self._drawn(*part, rng), self.patterns.n * _over_clusters(*part)

    def _drawn(
        self, log_odds: Array, between: Array, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw events by draw and covariate pattern, with new cluster effects."""
        z = rng.normal(size=(len(between), len(self.patterns.clusters)))
        effect = (z * between[:, None])[:, self.patterns.cluster]
        return rng.binomial(self.patterns.n, expit(log_odds + effect))

    def replicate_data(self, draws: xr.Dataset, rng: np.random.Generator) -> dict[str, Any]:
        """Draw replicates of the events under the names of `data`, with new cluster effects.

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
        one = draws.isel(chain=0)
        return self._data_of_events(self._drawn(self._log_odds(one), one["between"].values, rng))

    def folds(self) -> Folds:
        """Leave out one cluster at a time.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """
        names = iter(self.coords()["cluster"])
        return Folds(
            CLUSTER,
            tuple(
                Fold(f"cluster {next(names)}", ((f"cluster kept {at}", row, -1.0),))
                for at, block in enumerate(self.blocks)
                for row in range(len(block))
            ),
        )

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the log marginal likelihood of the events of each cluster, shape (chain, draw, fold).

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
        events, ways = self.patterns.events, self._data_of_events(self.patterns.events)
        parts = []
        for log_odds, between in self._parts(draws):
            logs = [
                ways[f"cluster ways {at}"]
                + log_marginal(
                    np,
                    self._by_cluster(log_odds, block),
                    _padded(self.patterns.n, block),
                    _padded(events, block),
                    between[:, None],
                )
                for at, block in enumerate(self.blocks)
            ]
            parts.append(np.concatenate(logs, axis=1))
        shape = (draws.sizes["chain"], draws.sizes["draw"], -1)
        return np.concatenate(parts).reshape(shape)


def _blocks(patterns: CovariatePatterns) -> Iterator[NDArray[np.int64]]:
    """Yield indices of the covariate patterns of clusters with similar numbers of them, shape (cluster, pattern).

    Places without a pattern, after those with one, are −1.
    """
    order = np.argsort(patterns.cluster, kind="stable")
    _, start, size = np.unique(patterns.cluster[order], return_index=True, return_counts=True)
    classes = np.ceil(np.log2(size))
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        offset = np.arange(size[members].max())
        is_there = offset < size[members][:, None]
        yield np.where(is_there, order[np.where(is_there, start[members][:, None] + offset, 0)], -1)


def _padded(values: NDArray[Any], block: NDArray[np.int64]) -> Array:
    """Return values by cluster and covariate pattern, 0 where there is no pattern; the last axis is that of cells."""
    return np.where(block >= 0, values[..., np.maximum(block, 0)], 0.0)


def _over_clusters(log_odds: Array, between: Array) -> Array:
    """Return risks as means over the distribution of cluster effects, shape (draw, cell)."""
    nodes = zip(RISK_NODES, RISK_WEIGHTS, strict=True)
    return sum((w * expit(log_odds + between[:, None] * z) for z, w in nodes), np.zeros(1))


def log_marginal(xp: ModuleType, log_odds: Any, n: Any, events: Any, between: Any) -> Any:
    """Return the log marginal likelihood of each cluster without numbers of ways, shape (…, cluster).

    Parameters
    ----------
    xp
        NumPy or `pytensor.tensor`.
    log_odds
        At a cluster effect of 0, shape (…, cluster, pattern).
    n, events
        Patients and events, 0 for padding, shape (cluster, pattern).
    between
        SD between clusters, shape (…, 1) or a scalar.

    Returns
    -------
    array, shape (…, cluster)

    Notes
    -----
    Adaptive Gauss–Hermite quadrature: Pinheiro & Bates, J Comput Graph Stat 1995;4:12. The search for the mode starts
    at the shrunken empirical log-odds.
    """
    for_event = xp.exp(xp.clip(log_odds, -300, 300))
    total, all_events = n.sum(-1), events.sum(-1)
    share = (all_events + 0.5) / (total + 1)
    sampling = 1 / ((total + 1) * share * (1 - share))
    empirical = xp.log(share / (1 - share)) - (n * log_odds).sum(-1) / total
    z = empirical * between / (between**2 + sampling)

    def derivatives(z: Any) -> tuple[Any, Any]:
        odds = for_event * xp.exp(between * z)[..., None]
        risk = odds / (1 + odds)
        slope = between * (all_events - (n * risk).sum(-1)) - z
        return slope, 1 + between**2 * (n * risk * (1 - risk)).sum(-1)

    for _ in range(STEPS):
        slope, curvature = derivatives(z)
        z = z + xp.clip(slope / curvature, -LONGEST, LONGEST)
    spread = 1 / xp.sqrt(derivatives(z)[1])
    at = z[..., None] + spread[..., None] * NODES
    effect = at * (between[..., None] if getattr(between, "ndim", 0) else between)
    odds = for_event[..., None] * xp.exp(effect)[..., None, :]
    of_all = (n[..., None] * xp.log(1 + odds)).sum(-2)
    logs = all_events[..., None] * effect - of_all - at**2 / 2 + LOG_WEIGHTS
    summed = logsumexp(logs, axis=-1) if xp is np else xp.logsumexp(logs, axis=-1)
    return summed + xp.log(spread) + (events * log_odds).sum(-1)
