"""Arm sizes that are compatible with reported totals and counts, and their uniform distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from cotreat.study.study import Study

SHARE = "share"
"""Name of the variables that divide a total among its arms."""
TOLERANCE = 1e-6
DIRECTIONS = 200_000
"""Number of directions in the Monte Carlo estimate of the volume of a polytope."""
BURN_IN = 30
"""Hit-and-run steps per free dimension before a draw is kept."""


@dataclass(frozen=True)
class Polytope:
    """The polytope of arm sizes under overlapping totals: centre + basis · t ≥ 0.

    Attributes
    ----------
    centre : ndarray, shape (arm,)
        An interior point.
    basis : ndarray, shape (arm, dimension)
        Orthonormal directions that leave every total unchanged.
    """

    centre: NDArray[np.float64]
    basis: NDArray[np.float64]

    def draws(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw t uniformly by parallel hit-and-run chains (Smith, Oper Res 1984;32:1296).

        Parameters
        ----------
        count
            Number of draws, one per chain.
        rng
            Random number generator.

        Returns
        -------
        ndarray, shape (count, dimension)
            Draws of t.
        """
        dimension = self.basis.shape[1]
        at = np.zeros((count, dimension))
        for _ in range(BURN_IN * dimension):
            way = rng.normal(size=at.shape)
            sizes, slopes = self.centre + at @ self.basis.T, way @ self.basis.T
            with np.errstate(divide="ignore", invalid="ignore"):
                ends = -sizes / slopes
            lower = np.where(slopes > 0, ends, -np.inf).max(1)
            upper = np.where(slopes < 0, ends, np.inf).min(1)
            at += rng.uniform(lower, upper)[:, None] * way
        return at

    def log_volume(self, rng: np.random.Generator) -> float:
        """Return the log volume, by the mean over directions of the volume of the ball of that radius.

        Parameters
        ----------
        rng
            Random number generator.

        Returns
        -------
        float
            Monte Carlo estimate of the log volume.
        """
        dimension = self.basis.shape[1]
        way = rng.normal(size=(DIRECTIONS, dimension))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        reach = 1 / np.max(-(way @ self.basis.T) / self.centre, axis=1)
        ball = dimension / 2 * np.log(np.pi) - gammaln(dimension / 2 + 1)
        return float(ball + np.log(np.mean(reach**dimension)))


@dataclass(frozen=True)
class Sizes:
    """Constraints of totals and counts on the arm sizes of a cohort.

    Attributes
    ----------
    fixed : ndarray, shape (arm,)
        Patients of arms of known size, otherwise 0.
    blocks : tuple of (arms, total)
        Disjoint sets of arms with a known total.
    polytope : Polytope or None
        For arms of overlapping totals.
    loose : tuple of int
        Arms in the polytope.
    are_known : bool
        False without reported totals; the one block then has shares of an unknown number.
    """

    fixed: NDArray[np.float64]
    blocks: tuple[tuple[tuple[int, ...], float], ...]
    polytope: Polytope | None = None
    loose: tuple[int, ...] = ()
    are_known: bool = True

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the random variables that `cotreat.evidence.arm_sizes_prior.declare_sizes` declares."""
        names = [f"{SHARE}_{at}" for at in range(1, len(self.blocks) + 1)]
        return (*names, SHARE) if self.polytope else tuple(names)

    @property
    def data(self) -> dict[str, Any]:
        """Data of a PyMC model, by name: totals and known sizes."""
        totals = {f"{n} total": t for n, (_, t) in zip(self.variables, self.blocks, strict=False)}
        return {"fixed sizes": self.fixed, **totals}

    @property
    def ways(self) -> NDArray[np.float64]:
        """Directions that leave every total unchanged, shape (arm, direction)."""
        # Columns of the centring matrix span the contrasts.
        bases = [
            (arms, (np.eye(len(arms)) - 1 / len(arms))[:, 1:] * total / len(arms))
            for arms, total in self.blocks
        ]
        if self.polytope is not None:
            bases.append((self.loose, self.polytope.basis * self.polytope.centre.mean()))
        directions = [np.zeros((len(self.fixed), 0))]
        for arms, basis in bases:
            directions.append(np.zeros((len(self.fixed), basis.shape[1])))
            directions[-1][list(arms)] = basis
        return np.hstack(directions)

    @property
    def free(self) -> tuple[int, ...]:
        """Arms whose size the totals do not determine, in order."""
        return tuple(sorted({*(arm for arms, _ in self.blocks for arm in arms), *self.loose}))

    @cached_property
    def _patients(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Totals of the free arms: rows that sum sizes, shape (total, arm), and their values."""
        rows = np.zeros((len(self.blocks), len(self.fixed)))
        for row, (arms, _) in zip(rows, self.blocks, strict=True):
            row[list(arms)] = 1.0
        totals = np.array([total for _, total in self.blocks])
        if self.polytope is None:
            return rows, totals
        # All linear functions of the sizes that are constant in the polytope.
        left, _, _ = np.linalg.svd(self.polytope.basis)
        more = np.zeros((left.shape[1] - self.polytope.basis.shape[1], len(self.fixed)))
        more[:, list(self.loose)] = left[:, self.polytope.basis.shape[1] :].T
        values = more[:, list(self.loose)] @ self.polytope.centre
        return np.vstack([rows, more]), np.concatenate([totals, values])

    def excess(self, n: NDArray[Any]) -> NDArray[Any]:
        """Return by how much sizes exceed each total, relative to the total.

        Parameters
        ----------
        n
            Patients by arm, shape (arm,), real or complex.

        Returns
        -------
        ndarray, shape (total,)
            0 where the sizes satisfy the totals.
        """
        rows, totals = self._patients
        excess: NDArray[Any] = (rows @ n - totals) / np.maximum(np.abs(totals), 1.0)
        return excess

    def draws(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw sizes uniformly under the constraints.

        Parameters
        ----------
        count
            Number of draws.
        rng
            Random number generator.

        Returns
        -------
        ndarray, shape (count, arm)
            Patients by arm, or shares of them where no total is reported.
        """
        n = np.repeat(self.fixed[None], count, axis=0)
        for arms, total in self.blocks:
            n[:, list(arms)] = total * rng.dirichlet(np.ones(len(arms)), count)
        if self.polytope is not None:
            at = self.polytope.draws(count, rng)
            n[:, list(self.loose)] = self.polytope.centre + at @ self.polytope.basis.T
        return n

    def projected(self, n: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sizes under the constraints that are nearest to given ones.

        Parameters
        ----------
        n
            Patients by arm, shape (arm,).

        Returns
        -------
        ndarray, shape (arm,)
            Sizes that satisfy the totals; those of fixed arms unchanged.
        """
        projected = np.where(np.isin(range(len(n)), self.free), n, self.fixed)
        for arms, total in self.blocks:
            projected[list(arms)] *= total / projected[list(arms)].sum()
        if self.polytope is not None:
            basis, centre = self.polytope.basis, self.polytope.centre
            off = basis @ (basis.T @ (projected[list(self.loose)] - centre))
            # Shrink towards the centre until every arm keeps patients.
            reach = np.max(-off / centre)
            projected[list(self.loose)] = centre + off / max(1.0, reach / 0.98)
        return projected

    def variables_at(self, n: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the random variables of `cotreat.evidence.arm_sizes_prior.declare_sizes` at given sizes.

        Parameters
        ----------
        n
            Sizes under the constraints, shape (count, arm).

        Returns
        -------
        dict
            Values by name of a variable, with the sizes along the first axis.
        """
        names = self.variables
        values = {
            name: n[:, list(arms)] / total
            for name, (arms, total) in zip(names, self.blocks, strict=False)
        }
        if self.polytope is not None:
            off = n[:, list(self.loose)] - self.polytope.centre
            values[SHARE] = off @ self.polytope.basis
        return values

    @property
    def typical(self) -> NDArray[np.float64]:
        """Central sizes under the constraints, shape (arm,)."""
        n = self.fixed.copy()
        for arms, total in self.blocks:
            n[list(arms)] = total / len(arms)
        if self.polytope is not None:
            n[list(self.loose)] = self.polytope.centre
        return n


def sizes_of(study: Study) -> Sizes:
    """Return the constraints on the sizes of the arms in ``study.present``.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    Sizes
        The constraints.

    Raises
    ------
    ValueError
        If no sizes satisfy the totals and counts, or a regimen is in no total.
    """
    labels = study.present
    sizes = dict(zip(study.counted, study.n, strict=True))
    fixed = np.array([sizes.get(regimen, 0) for regimen in labels], float)
    free = [i for i, r in enumerate(labels) if r not in study.counted]
    if not free:
        return Sizes(fixed, ())
    if not study.totals:
        return Sizes(fixed, ((tuple(free), 1.0),), are_known=False)
    within = np.array([study.members(total.patients, labels) for total in study.totals], float)
    left = np.array([total.n for total in study.totals]) - within @ fixed
    within = within[:, free]
    unbounded = [labels[i] for i, column in zip(free, within.T, strict=True) if not column.any()]
    if unbounded:
        raise ValueError(
            f"no total holds {', '.join(unbounded)}, so their number of patients is unknown; "
            'add the total of patients = "all"'
        )
    atoms, atom = np.unique(within, axis=1, return_inverse=True)
    totals, *_ = np.linalg.lstsq(atoms, left, rcond=None)
    is_overlapping = np.linalg.matrix_rank(atoms) < atoms.shape[1]
    tolerance = TOLERANCE * max(1.0, left.max())
    residual = np.abs(atoms @ totals - left).max()
    if residual > tolerance or (not is_overlapping and totals.min() < -tolerance):
        raise _no_sizes(study)
    if is_overlapping:
        from scipy.linalg import null_space
        from scipy.optimize import linprog

        # Maximise the smallest arm.
        count = len(free)
        solution = linprog(
            c=np.r_[np.zeros(count), -1.0],
            A_ub=np.column_stack([-np.eye(count), np.ones(count)]),
            b_ub=np.zeros(count),
            A_eq=np.column_stack([within, np.zeros(len(within))]),
            b_eq=left,
            bounds=[(0, None)] * (count + 1),
        )
        if solution.status != 0 or solution.x[-1] < TOLERANCE:
            raise _no_sizes(study, " with patients in every arm")
        return Sizes(fixed, (), Polytope(solution.x[:-1], null_space(within)), tuple(free))
    if totals.min() < 0.5:
        raise _no_sizes(study, " with patients in every arm")
    blocks = []
    for at, total in enumerate(totals):
        arms = tuple(i for i, own_atom in zip(free, atom.ravel(), strict=True) if own_atom == at)
        if len(arms) == 1:
            fixed[list(arms)] = total
        else:
            blocks.append((arms, float(total)))
    return Sizes(fixed, tuple(sorted(blocks)))


def events_fit(study: Study) -> bool:
    """Return whether some numbers of patients and events satisfy all totals and counts.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    bool
        False where the totals and counts contradict each other.
    """
    from scipy.optimize import linprog

    labels, count = study.present, len(study.present)
    rows, right = [], []
    for total in study.totals:
        inside = study.members(total.patients, labels).astype(float)
        rows.append(np.r_[inside, np.zeros(count)])
        right.append(float(total.n))
        if total.events is not None:
            rows.append(np.r_[np.zeros(count), inside])
            right.append(float(total.events))
    if not rows:
        return True
    arms = {study.label(arm.regimen): arm for arm in study.arms}
    bounds = [(arms[r].n,) * 2 if r in arms else (0, None) for r in labels]
    bounds += [(arms[r].events,) * 2 if r in arms else (0, None) for r in labels]
    solution = linprog(
        c=np.zeros(2 * count),
        A_ub=np.hstack([-np.eye(count), np.eye(count)]),
        b_ub=np.zeros(count),
        A_eq=np.array(rows),
        b_eq=np.array(right),
        bounds=bounds,
    )
    return solution.status == 0


def listed_events(study: Study) -> str:
    """Write the events of the totals.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    str
        For error messages.
    """
    counted = f", with {int(study.events.sum())} of {int(study.n.sum())} counted by regimen"
    totals = [t for t in study.totals if t.events is not None]
    words = ", ".join(f"{t.patients} {t.events} of {t.n}" for t in totals)
    return words + (counted if study.arms else "")


def _no_sizes(study: Study, where: str = "") -> ValueError:
    """Return the error that no arm sizes satisfy the totals and counts."""
    counted = f", with {int(study.n.sum())} counted by regimen" if study.arms else ""
    totals = ", ".join(f"{total.patients} {total.n}" for total in study.totals)
    return ValueError(f"no numbers of patients fit these totals{where}: {totals}{counted}")
