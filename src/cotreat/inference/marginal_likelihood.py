"""Compute marginal likelihoods of one model: under its own data, under other data, and with effects fixed at 0.

The density is compiled once. The first proposal is fitted to the draws of a fit, which replaces the search for
modes, and each result passes its proposal on to the next.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.evidence.protocol import Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import gaussian_mixture, laplace, nuts, vectorise
from cotreat.inference.gaussian_mixture import Normals
from cotreat.inference.laplace import Approximation, Proposal
from cotreat.inference.sampling import target_accept_of
from cotreat.inference.search import search_of
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of
from cotreat.models.registry import Model
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study

Array = NDArray[np.float64]

EFFECTIVE, ENOUGH = 2500, 0.1
"""Target effective sample size (a standard error of 0.02 of a log evidence), and share of draws that must be
effective for adaptation to stop."""
EFFECTIVE_WHOLE, MOST_WHOLE = 20_000, 400_000
"""Target effective sample size for the posterior of the fit (a standard error of 0.007), and largest number of
draws. Every leave-one-out result is a difference from this one, so that its error enters each of them. Draws
cost microseconds."""
EFFECTIVE_LEFT, ENOUGH_LEFT = 1000, 0.04
"""The same for the adaptation of a proposal when evidence is left out."""
EFFECTIVE_WIDE, MOST_WIDE = 5000, 200_000
"""Target effective sample size and largest number of draws from the widened proposal that follows: a proposal
fitted to few draws is too narrow in places and can miss up to a tenth of the mass without a sign of it in the
weights."""
TRIES = 2
"""Number of further attempts if a result is unreliable or has far fewer effective draws than wanted."""
FAR_FROM, ENOUGH_AGAIN = 0.5, 0.25
"""Share of the target effective sample size below which an attempt is repeated, and share of draws that must
be effective in that attempt."""
DRAWN = 4000
"""Number of draws of deterministics per call: a single number, because each number is compiled separately."""
FEW = 8
"""Largest number of coordinates for which a search for modes takes about a second."""
KEPT, ROUNDS = 2000, 12
"""Number of draws of a fit, and of steps of expectation–maximisation, for the first proposal."""
FAR, FARTHER = 0.4, 3.0
"""Weight and covariance factor of the wide part of a proposal when evidence is left out."""
UNADAPTED = 0.005
"""Required share of effective draws, so small that a proposal is not adapted."""
NODES = {1: 41, 2: 31, 3: 25, 4: 21, 5: 13}
"""Quadrature nodes per coordinate, by number of coordinates; more coordinates are not supported."""


class Marginals:
    """Compute marginal likelihoods of one model of a study.

    Parameters
    ----------
    study
        The study, resolved to one interpretation.
    model
        The model.
    priors
        Priors of the parameters of the model and no others (`cotreat.models.select.priors_for`).
    posterior
        Draws of a fit of the same model, priors and study, dims (chain, draw, …).
    seed
        Seed of the random numbers.

    Attributes
    ----------
    given : dict
        The numbers of the study and of the priors, by name.

    Raises
    ------
    ModelError
        If the study or the priors are incompatible with the model.
    """

    def __init__(
        self, study: Study, model: Model, priors: PriorSet, posterior: xr.Dataset, seed: int
    ) -> None:
        self._evidence = evidence = resolve(study)
        self._target_accept = target_accept_of(evidence)
        self._built = build(study, model, priors)
        self._density = Density(self._built, share_orders_of(evidence))
        self._posterior, self._seed = posterior, seed
        self._proposals: dict[tuple[int, ...], Proposal] = {}
        self._approximations: dict[tuple[int, ...], Approximation] = {}
        self.given: Given = self._density.given
        self._data = given_of(study, model, priors)  # of deterministics too

    @property
    def size(self) -> int:
        """Number of coordinates of the model."""
        return self._density.size

    @cached_property
    def whole(self) -> Approximation:
        """Approximation of the posterior of the fit, under its own data and priors."""
        return self.held_at_zero()

    @property
    def variables(self) -> list[str]:
        """Names of the free variables."""
        return list(self._density.places)

    def place(self, variable: str) -> range:
        """Return the indices of a variable's coordinates.

        Parameters
        ----------
        variable
            Name of a free variable.

        Returns
        -------
        range
            Indices into a point.
        """
        return range(self.size)[self._density.places[variable]]

    def held_at_zero(self, held: Sequence[int] = ()) -> Approximation:
        """Return the approximation under the fit's own data and priors, computed once per set of coordinates.

        Parameters
        ----------
        held
            Indices of the coordinates that are fixed at 0.

        Returns
        -------
        Approximation
            As `approximation` returns it.
        """
        at = tuple(held)
        if at not in self._approximations:
            self._approximations[at] = self.approximation(self.given, at)
        return self._approximations[at]

    def approximation(
        self, numbers: Given, held: Sequence[int] = (), weights: xr.DataArray | None = None
    ) -> Approximation:
        """Approximate the posterior under given numbers, with some coordinates fixed at 0.

        Parameters
        ----------
        numbers
            Numbers of data and priors, with the names and shapes of `given`.
        held
            Indices of coordinates with a normal prior, which are fixed at 0. ``log_evidence`` is then the log
            marginal likelihood of the model without them plus their log prior density at 0.
        weights
            Log importance weights of some or all draws of the fit with respect to the target posterior, dims
            (chain, draw); given if evidence is left out, which widens the posterior.

        Returns
        -------
        Approximation
            Weighted draws of the other coordinates, in their order. The caller must check ``verdict``.
        """
        at = tuple(held)
        kept = np.setdiff1d(np.arange(self.size), at)
        whole = self._density.surface(numbers)

        def surface(points: Array) -> Array:
            full = np.zeros((len(points), self.size))
            full[:, kept] = points
            return whole(full)

        settings: dict[str, Any] = {"effective": EFFECTIVE, "enough": ENOUGH}
        if weights is not None:
            settings = {"effective": EFFECTIVE_LEFT, "enough": ENOUGH_LEFT}
        elif numbers is self.given and not at:
            settings = {"effective": EFFECTIVE_WHOLE, "enough": ENOUGH, "most": MOST_WHOLE}
        approximate = partial(
            laplace.approximate,
            surface,
            self._density.start[kept],
            np.flatnonzero(np.isin(kept, self._density.spreads)),
            **settings,
        )
        if weights is None:
            if at not in self._proposals:
                self._proposals[at] = Proposal.of(_given_zero(self._proposal, kept, at))
            answer = approximate(seed=self._seed, first=self._proposals[at])
            if answer.verdict != laplace.UNRELIABLE:
                self._proposals[at] = answer.proposal
        elif len(kept) <= FEW:
            rng = np.random.default_rng(self._seed)
            search = None if at else search_of(self._density, self._evidence, numbers, rng)
            answer = approximate(seed=self._seed, search=search)
        else:
            answer = approximate(seed=self._seed, first=Proposal.of(self._wider(weights)))
        wanted = settings["effective"] * FAR_FROM
        for again in range(1, TRIES + 1):  # Each attempt starts from the last proposal.
            is_unreliable = answer.verdict == laplace.UNRELIABLE
            if not is_unreliable and answer.effective >= wanted:
                break
            enough = laplace.ENOUGH if is_unreliable else ENOUGH_AGAIN
            other = approximate(seed=self._seed + again, first=answer.proposal, enough=enough)
            answer = max(answer, other, key=_worth)
        return answer if weights is None else self._from_wider_proposal(approximate, answer)

    def _from_wider_proposal(
        self, approximate: Callable[..., Approximation], answer: Approximation
    ) -> Approximation:
        """Return draws from a widened proposal, which is adapted once more if few draws are effective."""
        for again in range(TRIES):
            if answer.verdict == laplace.UNRELIABLE:
                break
            other = approximate(
                seed=self._seed + TRIES + 1,
                first=Proposal.of(_widened(answer.proposal.normals)),
                effective=EFFECTIVE_WIDE,
                enough=UNADAPTED,
                most=MOST_WIDE,
            )
            if other.verdict != laplace.UNRELIABLE and other.effective >= FAR_FROM * EFFECTIVE_WIDE:
                return other
            if again == 0:
                first = answer.proposal
                other = approximate(seed=self._seed + TRIES, first=first, enough=ENOUGH_AGAIN)
                answer = max(answer, other, key=_worth)
        return answer

    @cached_property
    def _points(self) -> Array:
        """Draws of the fit in standardised coordinates, shape (chain, draw, size)."""
        draws = self._posterior[self.variables].astype(float)
        points = self._density.points(vectorise.flat(draws, self.variables))
        return points.reshape(draws.sizes["chain"], -1, self.size)

    @cached_property
    def _proposal(self) -> Normals:
        """A mixture of normals fitted to the draws of the fit."""
        points = self._points.reshape(-1, self.size)
        return self._fitted(points, np.zeros(len(points)))

    def _wider(self, weights: xr.DataArray) -> Normals:
        """Return a mixture fitted to weighted draws and widened, because these draws are few in the tails."""
        at = self._posterior.get_index("draw").get_indexer(weights["draw"])
        points = self._points[:, at].reshape(-1, self.size)
        return _widened(self._fitted(points, weights.values.ravel()))

    def _fitted(self, points: Array, logs: Array) -> Normals:
        """Return a mixture fitted to thinned points with log weights."""
        step = max(1, len(points) // KEPT)
        points, weights = points[::step], laplace.tempered_weights(logs[::step], 20.0 * self.size)
        table, rng = gaussian_mixture.terms(points), np.random.default_rng(self._seed)
        fitted = gaussian_mixture.scattered(points, weights, laplace.USUAL.components, rng)
        for _ in range(ROUNDS):
            fitted = fitted.improved(table, weights, 2.0 * self.size)
        return fitted

    def quadrature(self, held: Sequence[int] = ()) -> float:
        """Return the log marginal likelihood by adaptive Gauss–Hermite quadrature.

        Parameters
        ----------
        held
            Indices of the coordinates that are fixed at 0.

        Returns
        -------
        float
            Counterpart of ``log_evidence`` of `held_at_zero`; NaN if there are too many coordinates.

        Notes
        -----
        A product rule centred at the posterior mean and scaled by the posterior covariance: Naylor & Smith,
        Appl Stat 1982;31:214. The result shares only the density, the mean and the covariance with `approximation`.
        """
        kept = np.setdiff1d(np.arange(self.size), held)
        if len(kept) not in NODES:
            return float("nan")
        about = self.held_at_zero(held)
        mean = about.weights @ about.points
        off = about.points - mean
        root = np.linalg.cholesky((off * about.weights[:, None]).T @ off)
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[len(kept)])
        grid = np.stack(np.meshgrid(*[nodes] * len(kept), indexing="ij"), -1).reshape(-1, len(kept))
        logs = np.log(np.stack(np.meshgrid(*[weights] * len(kept), indexing="ij"), -1))
        logs = logs.reshape(-1, len(kept)).sum(1)
        logs = np.nan_to_num(logs, neginf=-1e9)  # Weights of the outermost nodes may round to 0.
        full = np.zeros((len(grid), self.size))
        full[:, kept] = mean + grid @ root.T
        heights = self._density.surface(self.given)(full)
        volume = float(np.log(np.diag(root)).sum())
        return float(logsumexp(heights + logs + 0.5 * (grid**2).sum(1))) + volume

    def draws(
        self, answer: Approximation, names: Sequence[str], held: Sequence[int] = ()
    ) -> xr.Dataset:
        """Draw deterministics of the model from an approximation, under the numbers `given`.

        Parameters
        ----------
        answer
            What `approximation` returned for the same fixed coordinates, under any numbers.
        names
            Names of deterministics; names that the model does not have are ignored.
        held
            Indices of the coordinates that are fixed at 0.

        Returns
        -------
        xarray.Dataset
            Dims (chain, draw, …), one chain of `DRAWN` draws of equal weight, in random order.
        """
        return self.deterministics(self.points(answer, DRAWN, held), names)

    def points(self, answer: Approximation, count: int, held: Sequence[int] = ()) -> Array:
        """Draw points of equal weight from an approximation.

        Parameters
        ----------
        answer
            What `approximation` returned for the same fixed coordinates.
        count
            Number of points.
        held
            Indices of the coordinates that are fixed at 0.

        Returns
        -------
        ndarray, shape (count, size)
            Points, with 0 at the fixed coordinates.
        """
        kept = np.setdiff1d(np.arange(self.size), held)
        points = np.zeros((count, self.size))
        points[:, kept] = answer.resampled(1, count, np.random.default_rng(self._seed))[0]
        return points

    def deterministics(self, points: Array, names: Sequence[str]) -> xr.Dataset:
        """Compute deterministics of the model at points, under the numbers `given`.

        Parameters
        ----------
        points
            `DRAWN` points, shape (draw, size).
        names
            Names of deterministics; names that the model does not have are ignored.

        Returns
        -------
        xarray.Dataset
            Dims (chain, draw, …), one chain.
        """
        values = self._density.deterministics(tuple(names), points, self._data)
        return vectorise.labelled(self._built, values, 1).assign_coords(draw=range(len(points)))

    def sampled(self, numbers: Given, *, draws: int, tune: int, chains: int) -> xr.Dataset:
        """Sample the posterior under given numbers by NUTS.

        Parameters
        ----------
        numbers
            Numbers of data and priors, with the names and shapes of `given`.
        draws, tune
            Kept draws and warm-up draws per chain.
        chains
            Number of chains.

        Returns
        -------
        xarray.Dataset
            Free variables, and deterministics under `given`, dims (chain, draw, …).
        """
        built: Any = self._built
        accept = self._target_accept
        try:
            for name in self.given:
                built[name].set_value(np.asarray(numbers[name]))
            run = nuts.run(
                built, draws=draws, tune=tune, chains=chains, target_accept=accept, seed=self._seed
            )
        finally:
            for name, value in self.given.items():
                built[name].set_value(np.asarray(value))
        flat = vectorise.flat(run.draws, run.draws)
        return vectorise.completed(built, flat, chains).assign_coords(draw=range(draws))


def _widened(near: Normals) -> Normals:
    """Return a mixture widened by components of larger covariance."""
    far = Normals(near.weights, near.means, near.covariances * FARTHER)
    return gaussian_mixture.union((1 - FAR, near), (FAR, far))


def _worth(answer: Approximation) -> tuple[bool, float]:
    """Return the sort key of approximations: reliable before unreliable, then by effective draws."""
    return answer.verdict != laplace.UNRELIABLE, answer.effective


def _given_zero(normals: Normals, kept: NDArray[np.int64], held: tuple[int, ...]) -> Normals:
    """Return the conditional mixture of the kept coordinates, given 0 at the held ones."""
    if not held:
        return normals
    at = list(held)
    inner = normals.covariances[:, at][:, :, at]
    across = normals.covariances[:, kept][:, :, at]
    slopes = np.swapaxes(np.linalg.solve(inner, np.swapaxes(across, 1, 2)), 1, 2)
    off = -normals.means[:, at]
    means = normals.means[:, kept] + np.einsum("kij,kj->ki", slopes, off)
    covariances = normals.covariances[:, kept][:, :, kept] - slopes @ np.swapaxes(across, 1, 2)
    squares = np.einsum("ki,ki->k", off, np.linalg.solve(inner, off[..., None])[..., 0])
    logs = np.log(normals.weights) - 0.5 * (squares + np.linalg.slogdet(inner)[1])
    weights = np.maximum(np.exp(logs - logs.max()), gaussian_mixture.LEAST_WEIGHT)
    return Normals(weights / weights.sum(), means, covariances)
