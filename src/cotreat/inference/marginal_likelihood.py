"""Marginal likelihoods of one model: as it is, under other data, and with some effects held at nothing.

The density is compiled once. A fit's own draws tell where to look, so that no mode need be sought, and
each answer hands its proposal on to the next.
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
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of
from cotreat.models.registry import Model
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study

Array = NDArray[np.float64]

EFFECTIVE, ENOUGH = 2500, 0.1
"""Effective draws that each answer is to have, an error of 0.02 in a log evidence, and the share of draws
that must be effective for rounds of adaptation to end."""
EFFECTIVE_WHOLE, MOST_WHOLE = 20_000, 400_000
"""The same of the posterior of the fit, an error of 0.007, and draws at most: what is left out is compared
with this one answer each time, so that its error counts once for each. Draws cost microseconds."""
EFFECTIVE_LEFT, ENOUGH_LEFT = 1000, 0.04
"""The same where evidence is left out, to know what to draw from."""
EFFECTIVE_WIDE, MOST_WIDE = 5000, 200_000
"""The same of the draws that are made then, from something wider: what is fitted to few draws is too narrow
here and there, and lacks up to a tenth of the mass without its weights showing it."""
TRIES = 2
"""Times that an answer that cannot be trusted, or is far from what is wanted, is asked for again."""
FAR_FROM, ENOUGH_AGAIN = 0.5, 0.25
"""Less than this share of the effective draws that are wanted is far from it; share of draws that must be
effective when it is asked for again."""
DRAWN = 4000
"""Draws of deterministics that are made at a time: one number, for each is compiled for by itself."""
FEW = 8
"""Coordinates of which modes are found in a second."""
KEPT, ROUNDS = 2000, 12
"""A first proposal is fitted to so many draws of a fit, in so many steps."""
FAR, FARTHER = 0.4, 3.0
"""Where evidence is left out, this share of a proposal has covariances so many times as large."""
AS_IT_IS = 0.005
"""With so small a share of draws that must be effective a proposal is not fitted anew."""
NODES = {1: 41, 2: 31, 3: 25, 4: 21, 5: 13}
"""Nodes of quadrature for each coordinate, by how many there are; of more coordinates there is none."""


class Marginals:
    """The marginal likelihoods that one model of a study can give.

    Parameters
    ----------
    priors
        Only those that the model needs (`cotreat.models.select.priors_for`).
    posterior
        Draws of a fit of the same model, priors and study, dims (chain, draw, …).

    Attributes
    ----------
    given : dict
        The numbers of the study and of the priors, by name.
    """

    def __init__(
        self, study: Study, model: Model, priors: PriorSet, posterior: xr.Dataset, seed: int
    ) -> None:
        evidence = resolve(study)
        self._target_accept = target_accept_of(evidence)
        self._built = build(study, model, priors)
        self._density = Density(self._built, share_orders_of(evidence))
        self._posterior, self._seed = posterior, seed
        self._proposals: dict[tuple[int, ...], Proposal] = {}
        self._known: dict[tuple[int, ...], Approximation] = {}
        self.given: Given = self._density.given
        self._every = given_of(study, model, priors)  # of deterministics too

    @property
    def size(self) -> int:
        """Coordinates of the model."""
        return self._density.size

    @cached_property
    def whole(self) -> Approximation:
        """The posterior of the fit itself."""
        return self.held_at_zero()

    @property
    def variables(self) -> list[str]:
        """Names of the free variables."""
        return list(self._density.places)

    def place(self, variable: str) -> range:
        """Return the coordinates of a variable."""
        return range(self.size)[self._density.places[variable]]

    def held_at_zero(self, held: Sequence[int] = ()) -> Approximation:
        """Return `found` under the numbers of the study and of the fit's priors; worked out once."""
        at = tuple(held)
        if at not in self._known:
            self._known[at] = self.found(self.given, at)
        return self._known[at]

    def found(
        self, numbers: Given, held: Sequence[int] = (), weights: xr.DataArray | None = None
    ) -> Approximation:
        """Approximate the posterior under some numbers, with some coordinates held at 0.

        Parameters
        ----------
        numbers
            With the names and shapes of `given`.
        held
            Coordinates whose prior is normal. ``log_evidence`` is then that of the density at 0: of the
            model without them, times their prior's density there.
        weights
            Logs of the weights by which the fit's draws, or some of them, are more like draws of that
            posterior, dims (chain, draw), where evidence is left out and it is wider than the fit's.

        Returns
        -------
        Approximation
            Of the other coordinates, in their order. Its verdict is for its user to heed.
        """
        at = tuple(held)
        kept = np.setdiff1d(np.arange(self.size), at)
        whole = self._density.surface(numbers)

        def surface(points: Array) -> Array:
            full = np.zeros((len(points), self.size))
            full[:, kept] = points
            return whole(full)

        asked = _asked_for(is_whole=numbers is self.given and not at, is_left=weights is not None)
        approximate = partial(
            laplace.approximate,
            surface,
            self._density.start[kept],
            np.flatnonzero(np.isin(kept, self._density.spreads)),
            **asked,
        )
        if weights is None:
            if at not in self._proposals:
                self._proposals[at] = Proposal.of(_given_zero(self._proposal, kept, at))
            answer = approximate(seed=self._seed, first=self._proposals[at])
            if answer.verdict != laplace.UNRELIABLE:
                self._proposals[at] = answer.proposal
        elif len(kept) <= FEW:
            answer = approximate(seed=self._seed)
        else:
            answer = approximate(seed=self._seed, first=Proposal.of(self._wider(weights)))
        wanted = asked["effective"] * FAR_FROM
        for again in range(1, TRIES + 1):  # from where the one before has come to
            is_unreliable = answer.verdict == laplace.UNRELIABLE
            if not is_unreliable and answer.effective >= wanted:
                break
            enough = laplace.ENOUGH if is_unreliable else ENOUGH_AGAIN
            other = approximate(seed=self._seed + again, first=answer.proposal, enough=enough)
            answer = max(answer, other, key=_worth)
        return answer if weights is None else self._drawn_wider(approximate, answer)

    def _drawn_wider(
        self, approximate: Callable[..., Approximation], answer: Approximation
    ) -> Approximation:
        """Draw anew from something wider than an answer's proposal, fitted once more if few of them count."""
        for again in range(TRIES):
            if answer.verdict == laplace.UNRELIABLE:
                break
            other = approximate(
                seed=self._seed + TRIES + 1,
                first=Proposal.of(_reaching_beyond(answer.proposal.normals)),
                effective=EFFECTIVE_WIDE,
                enough=AS_IT_IS,
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
        """Draws of the fit in coordinates, shape (chain, draw, size)."""
        shape = (self._posterior.sizes["chain"], self._posterior.sizes["draw"])
        return self._in_coordinates(self._posterior).reshape(*shape, self.size)

    def _in_coordinates(self, draws: xr.Dataset) -> Array:
        """Take draws of the free variables, dims (chain, draw, …), to points (draw, size)."""
        flat = {
            n: (v := draws[n].values).reshape(-1, *v.shape[2:]).astype(float)
            for n in self.variables
        }
        return self._density.points(flat)

    @cached_property
    def _proposal(self) -> Normals:
        """A mixture of normals fitted to the draws of the fit."""
        points = self._points.reshape(-1, self.size)
        return self._fitted(points, np.zeros(len(points)))

    def _wider(self, weights: xr.DataArray) -> Normals:
        """Fit a mixture to weighted draws, and reach beyond where they are too few."""
        at = self._posterior.get_index("draw").get_indexer(weights["draw"])
        points = self._points[:, at].reshape(-1, self.size)
        return _reaching_beyond(self._fitted(points, weights.values.ravel()))

    def _fitted(self, points: Array, logs: Array) -> Normals:
        step = max(1, len(points) // KEPT)
        points, weights = points[::step], laplace.flattened(logs[::step], 20.0 * self.size)
        table, rng = gaussian_mixture.terms(points), np.random.default_rng(self._seed)
        fitted = gaussian_mixture.scattered(points, weights, laplace.USUAL.components, rng)
        for _ in range(ROUNDS):
            fitted = fitted.improved(table, weights, 2.0 * self.size)
        return fitted

    def quadrature(self, held: Sequence[int] = ()) -> float:
        """Integrate the density of the study by adaptive Gauss–Hermite quadrature.

        Returns
        -------
        float
            As ``log_evidence`` of `found`; NaN where there are too many coordinates.

        Notes
        -----
        A product rule about the posterior's mean, along the axes of its covariance: Naylor & Smith, Appl
        Stat 1982;31:214. It shares the density with `found`, and nothing else.
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
        logs = np.nan_to_num(logs, neginf=-1e9)  # weights of the outermost nodes may round to 0
        full = np.zeros((len(grid), self.size))
        full[:, kept] = mean + grid @ root.T
        heights = self._density.surface(self.given)(full)
        volume = float(np.log(np.diag(root)).sum())
        return float(logsumexp(heights + logs + 0.5 * (grid**2).sum(1))) + volume

    def draws(
        self, answer: Approximation, names: Sequence[str], held: Sequence[int] = ()
    ) -> xr.Dataset:
        """Draw deterministics of the model, those of the names that it has, under `given`.

        Parameters
        ----------
        answer
            What `found` returned for the same coordinates held, under whatever numbers.

        Returns
        -------
        xarray.Dataset
            Dims (chain, draw, …), one chain of `DRAWN` draws of equal weight, in random order.
        """
        return self.worked_out(self.points(answer, DRAWN, held), names)

    def points(self, answer: Approximation, count: int, held: Sequence[int] = ()) -> Array:
        """Draw points from an answer, with 0 where they are held, shape (count, size)."""
        kept = np.setdiff1d(np.arange(self.size), held)
        points = np.zeros((count, self.size))
        points[:, kept] = answer.resampled(1, count, np.random.default_rng(self._seed))[0]
        return points

    def worked_out(self, points: Array, names: Sequence[str]) -> xr.Dataset:
        """Work out deterministics at `DRAWN` points, dims (chain, draw, …), those of the names there are."""
        values = self._density.deterministics(tuple(names), points, self._every)
        return vectorise.labelled(self._built, values, 1).assign_coords(draw=range(len(points)))

    def sampled(self, numbers: Given, *, draws: int, tune: int, chains: int) -> xr.Dataset:
        """Sample the posterior under some numbers by NUTS.

        Returns
        -------
        xarray.Dataset
            Free variables, and the deterministics under `given`, dims (chain, draw, …).
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
        flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in run.draws.items()}
        values = {**flat, **vectorise.deterministics(built, flat)}
        return vectorise.labelled(built, values, chains).assign_coords(draw=range(draws))


def _reaching_beyond(near: Normals) -> Normals:
    far = Normals(near.weights, near.means, near.covariances * FARTHER)
    return gaussian_mixture.union((1 - FAR, near), (FAR, far))


def _worth(answer: Approximation) -> tuple[bool, float]:
    """Tell which of two answers is better: one that can be trusted, then one with more effective draws."""
    return answer.verdict != laplace.UNRELIABLE, answer.effective


def _asked_for(*, is_whole: bool, is_left: bool) -> dict[str, Any]:
    """Return how many draws, and how good a proposal, `laplace.approximate` is asked for."""
    if is_left:
        return {"effective": EFFECTIVE_LEFT, "enough": ENOUGH_LEFT}
    if is_whole:
        return {"effective": EFFECTIVE_WHOLE, "enough": ENOUGH, "most": MOST_WHOLE}
    return {"effective": EFFECTIVE, "enough": ENOUGH}


def _given_zero(one: Normals, kept: NDArray[np.int64], held: tuple[int, ...]) -> Normals:
    """Return the mixture of the kept coordinates given that the held ones are 0."""
    if not held:
        return one
    at = list(held)
    inner = one.covariances[:, at][:, :, at]
    across = one.covariances[:, kept][:, :, at]
    slopes = np.swapaxes(np.linalg.solve(inner, np.swapaxes(across, 1, 2)), 1, 2)
    off = -one.means[:, at]
    means = one.means[:, kept] + np.einsum("kij,kj->ki", slopes, off)
    covariances = one.covariances[:, kept][:, :, kept] - slopes @ np.swapaxes(across, 1, 2)
    squares = np.einsum("ki,ki->k", off, np.linalg.solve(inner, off[..., None])[..., 0])
    logs = np.log(one.weights) - 0.5 * (squares + np.linalg.slogdet(inner)[1])
    weights = np.maximum(np.exp(logs - logs.max()), gaussian_mixture.LEAST_WEIGHT)
    return Normals(weights / weights.sum(), means, covariances)
