"""Uniform priors in a PyMC model: of arm sizes under the reported totals, of variances under standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.arm_sizes import SHARE, Polytope, Sizes
from cotreat.evidence.arm_variances import ArmVariances
from cotreat.priors import model_data

if TYPE_CHECKING:
    import pytensor.tensor as pt


def declare_sizes(sizes: Sizes) -> pt.TensorVariable:
    """Declare the arm sizes in the PyMC model in context, uniform under the constraints, shape (arm,).

    Parameters
    ----------
    sizes
        Constraints on the arm sizes.

    Returns
    -------
    TensorVariable, shape (arm,)
        Patients by arm, or shares of them where no totals are reported.
    """
    import pymc as pm
    import pytensor.tensor as pt

    parts: list[Any] = []
    places: list[int] = []
    data = model_data.state(sizes.data)
    for name, (arms, _) in zip(sizes.variables, sizes.blocks, strict=False):
        parts.append(data[f"{name} total"] * pm.Dirichlet(name, np.ones(len(arms))))
        places += arms
    if sizes.polytope is not None:
        at = _uniform(SHARE, sizes.polytope)
        parts.append(sizes.polytope.centre + sizes.polytope.basis @ at)
        places += sizes.loose
    if not parts:
        return data["fixed sizes"]
    where = np.zeros((len(sizes.fixed), len(places)))
    where[places, range(len(places))] = 1.0
    return data["fixed sizes"] + where @ pt.concatenate(parts)


def declare_variances(variances: ArmVariances) -> pt.TensorVariable:
    """Declare the variances of groups of arms in the PyMC model in context, uniform under the standard errors.

    Parameters
    ----------
    variances
        All variances that the standard errors leave possible.

    Returns
    -------
    TensorVariable, shape (group,)
        Variances of the log odds of the groups.
    """
    import pymc as pm
    import pytensor.tensor as pt

    names = {id(part): name for name, part in variances.free.items()}
    parts: list[Any] = [pt.zeros(0)]
    for part in variances.parts:
        if not part.basis.shape[1]:
            parts.append(part.centre)
        elif part.basis.shape[1] == 1:
            parts.append(part.centre + part.basis[:, 0] * (2 * pm.Uniform(names[id(part)]) - 1))
        else:
            parts.append(part.centre + part.basis @ _uniform(names[id(part)], part.polytope))
    return pt.concatenate(parts)


def _uniform(name: str, polytope: Polytope) -> pt.TensorVariable:
    """Declare the uniform distribution on a polytope.

    The unconstrained y gives t = tanh(|y|) R(y/|y|) y/|y|, with R the distance from the centre to the
    boundary. In polar coordinates the Jacobian is R^d (tanh ρ/ρ)^(d−1) / cosh² ρ.
    """
    import pymc as pm
    import pytensor.tensor as pt

    dimension = polytope.basis.shape[1]

    def reach(direction: Any) -> Any:
        towards = -(polytope.basis @ direction) / polytope.centre
        return 1 / pt.max(towards)

    def length(y: Any) -> Any:
        return pt.sqrt((y**2).sum() + 1e-12)

    class Inside(pm.distributions.transforms.Transform):
        name = "inside"

        def backward(self, value: Any, *_: Any) -> Any:
            rho = length(value)
            return pt.tanh(rho) * reach(value / rho) * value / rho

        def forward(self, value: Any, *_: Any) -> Any:
            rho = length(value)
            return pt.arctanh(rho / reach(value / rho)) * value / rho

        def log_jac_det(self, value: Any, *_: Any) -> Any:
            rho = length(value)
            radial = (dimension - 1) * pt.log(pt.tanh(rho) / rho) - 2 * pt.log(pt.cosh(rho))
            return dimension * pt.log(reach(value / rho)) + radial

    rng = np.random.default_rng(0)
    pool, log_volume = polytope.draws(4000, rng), polytope.log_volume(rng)

    def random(_: Any, rng: np.random.Generator, size: Any = None) -> NDArray[np.float64]:
        return pool[rng.integers(len(pool), size=size)]

    return pm.CustomDist(
        name,
        np.zeros(dimension),  # for its shape
        logp=lambda value, _: pt.zeros(value.shape[:-1]) - log_volume,
        random=random,
        support_point=lambda *_: pt.as_tensor(pool[0]),  # the centre has no direction
        signature="(d)->(d)",
        default_transform=Inside(),
    )
