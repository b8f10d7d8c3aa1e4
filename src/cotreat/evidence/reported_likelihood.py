"""Reported estimates in a PyMC model: points, tails and widths of their joint sampling distribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from cotreat.evidence.joint_distribution import Joint, joint_distribution
from cotreat.evidence.reported import ReportedEstimates, z_value
from cotreat.evidence.statistics import Estimators
from cotreat.evidence.width_distribution import Widths, width_distribution
from cotreat.priors import model_data
from cotreat.study.study import ReportedEstimate

if TYPE_CHECKING:
    import pytensor.tensor as pt

FAR_OUT = -20.0
"""Log probability below which the inverse of erf loses precision."""


def likelihood(
    reported: ReportedEstimates,
    log_odds: pt.TensorVariable,
    sigma: pt.TensorVariable | None,
    loss: pt.TensorVariable | None,
    n: pt.TensorVariable,
    shift_sd: pt.TensorVariable,
    unconfounded: pt.TensorVariable | None = None,
    variances: pt.TensorVariable | None = None,
) -> None:
    """Declare the reported estimates in the PyMC model in context.

    Parameters
    ----------
    reported
        The reported estimates.
    log_odds, n
        By arm of ``study.present``.
    sigma, loss
        SD of the prognostic score and precision loss; None without adjustment.
    shift_sd
        SD of the shift of a regression with its own covariates.
    unconfounded
        Log-odds by arm for the deterministic ``log_ratio`` under unmeasured confounding.
    variances
        Variances of the groups of arms where no totals are reported; None for central ones.
    """
    import pymc as pm
    import pytensor.tensor as pt

    def coefficients(log_odds: pt.TensorVariable, regressions: Estimators) -> pt.TensorVariable:
        """Return expected coefficients at some log-odds by arm."""
        return one_node(lambda xp, *at: regressions.moments(xp, *at).mean)(log_odds, sigma, n)

    data = model_data.state(reported.data)
    at = log_odds, sigma, loss, n, shift_sd
    joint = one_node(lambda xp, *at: joint_distribution(xp, reported, *at))(*at, variances)
    widths = Widths(pt.zeros(0), pt.zeros((0, 0)))
    if reported.width_rows:
        distribution = one_node(lambda xp, *at: width_distribution(xp, reported, *at))
        widths = distribution(*at, data["reported points"], data["reported rounding"])
    ratios = [joint.ratios]
    if unconfounded is not None:
        ratios, log_odds = [coefficients(unconfounded, reported.regressions)], unconfounded
    if reported.inferred:
        ratios.append(coefficients(log_odds, reported.regressions_inferred))
    pm.Deterministic("log_ratio", pt.concatenate(ratios), dims="reported_estimate")
    observe(reported, joint, widths)


def one_node(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of an array module and arrays as one node of a PyTensor graph, through JAX.

    As a PyTensor graph it has thousands of nodes, which take seconds to rewrite.

    Parameters
    ----------
    function
        Function of an array module and arrays.

    Returns
    -------
    callable
        Function of PyTensor variables, with the result of `function` as variables.
    """
    import jax.numpy as jnp
    from pytensor import wrap_jax

    @wrap_jax
    def in_jax(*given: Any) -> Any:
        return function(jnp, *given)

    return in_jax


def observe(reported: ReportedEstimates, joint: Joint, widths: Widths) -> None:
    """Declare the likelihood given the sampling distributions in the PyMC model in context.

    Declares the observed ``reported`` (points) and ``widths`` (log standard errors), the potential ``tails``
    (p-values that are ranges), and deterministics of their means and covariances.

    Parameters
    ----------
    reported
        The reported estimates.
    joint, widths
        The joint distribution, and that of the widths given the points, as PyTensor variables.
    """
    import pymc as pm
    import pytensor.tensor as pt

    data = model_data.state(reported.data)
    covariance = joint.covariance + pt.diag(data["reported rounding"])
    pm.Deterministic("reported_mean", joint.mean, dims="row")
    pm.Deterministic("reported_covariance", covariance, dims=("row", "row_"))
    points, values = reported.points, data["reported points"]
    tails = [at for at in reported.kept if reported.is_tail[at]]
    inner = covariance[points][:, points]
    pm.CustomDist(
        "reported",
        joint.mean[points],
        inner,
        logp=partial(_normal_log_density, count=len(points)),
        signature="(k),(k,k)->(k)",
        observed=values,
        dims="point",
    )
    if tails:
        across = covariance[tails][:, points]
        weights = pt.linalg.solve(inner, across.T, assume_a="pos").T
        mean = joint.mean[tails] + weights @ (values - joint.mean[points])
        rest = covariance[tails][:, tails] - weights @ across.T
        pm.Potential("tails", _tails([reported.reported_estimates[at] for at in tails], mean, rest))
    if reported.width_rows:
        mean = pm.Deterministic("width_mean", widths.mean, dims="width")
        covariance = widths.covariance + pt.diag(data["width rounding"])
        pm.CustomDist(
            "widths",
            mean,
            pm.Deterministic("width_covariance", covariance, dims=("width", "width_")),
            logp=partial(_normal_log_density, count=len(reported.width_rows)),
            signature="(k),(k,k)->(k)",
            observed=data["reported widths"],
            dims="width",
        )


def _normal_log_density(value: Any, mean: Any, covariance: Any, *, count: int) -> Any:
    """Return the log density of a multivariate normal by sequential conditioning.

    The loop is unrolled for the few rows: library calls per particle took most of the time.
    """
    import pytensor.tensor as pt

    off, rest, total = value - mean, covariance, pt.zeros(())
    for _ in range(count):
        variance, across = rest[0, 0], rest[0, 1:]
        total -= 0.5 * (off[0] ** 2 / variance + pt.log(2 * np.pi * variance))
        weights = across / variance
        off = off[1:] - weights * off[0]
        rest = rest[1:, 1:] - weights[:, None] * across
    return total


def _tails(estimates: list[ReportedEstimate], mean: Any, covariance: Any) -> Any:
    """Return the log probability of p-values that are ranges, given all other numbers.

    By the GHK simulator (Hajivassiliou, McFadden & Ruud, J Econom 1996;72:85): each tail but the last has a latent uniform
    variable, on which the next is conditional. Unreported signs are summed over.
    """
    import pymc as pm
    import pytensor.tensor as pt

    chol = pt.linalg.cholesky(covariance)
    latent = [
        pm.Uniform(f"tail_{e.id}") if e.is_below and at < len(estimates) - 1 else None
        for at, e in enumerate(estimates)
    ]
    free = [at for at, e in enumerate(estimates) if not e.is_below]
    logs = []
    for pattern in product((1.0, -1.0), repeat=len(free)):
        signs = dict(zip(free, pattern, strict=True))
        total: Any = 0.0
        errors: list[Any] = []
        for at, (estimate, uniform) in enumerate(zip(estimates, latent, strict=True)):
            z, error = z_value(estimate.value.value), 0.0
            centre = mean[at] + sum((chol[at, j] * errors[j] for j in range(at)), start=0.0)
            if estimate.is_below:
                upper = _log_cdf((centre - z) / chol[at, at]) if estimate.sign != "-" else -np.inf
                lower = _log_cdf((-z - centre) / chol[at, at]) if estimate.sign != "+" else -np.inf
                mass = {"+": upper, "-": lower}.get(estimate.sign)
                mass = pt.logaddexp(upper, lower) if mass is None else mass
                if uniform is not None:  # the next estimates need a standardised deviate in it
                    above, below = pt.log(uniform) + mass, pt.log1p(-uniform) + mass
                    inside = above < upper  # never where there is no upper tail
                    error = pt.switch(inside, -_quantile(above), _quantile(below))
            else:
                error = (signs[at] * z - centre) / chol[at, at]
                mass = pm.logp(pm.Normal.dist(), error) - pt.log(chol[at, at])
            total = total + mass
            errors.append(error)
        logs.append(total)
    return pt.logsumexp(pt.stack(logs))


def _log_cdf(z: Any) -> Any:
    """Return the log of the normal distribution function.

    Both branches are finite everywhere, because JAX differentiates both.
    """
    import pytensor.tensor as pt

    low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
    return pt.switch(
        pt.lt(z, -1.0),
        pt.log(pt.erfcx(-low / np.sqrt(2)) / 2) - low**2 / 2,
        pt.log1p(-pt.erfc(high / np.sqrt(2)) / 2),
    )


def _quantile(log_p: Any) -> Any:
    """Return the standard normal quantile of a probability, given its log."""
    import pytensor.tensor as pt

    near = np.sqrt(2) * pt.erfinv(2 * pt.exp(pt.maximum(log_p, FAR_OUT)) - 1)
    low = pt.minimum(log_p, FAR_OUT)
    far = -pt.sqrt(-2 * low - pt.log(-4 * np.pi * low))
    for _ in range(3):  # Newton's method in the log of the distribution function
        log_cdf = _log_cdf(far)
        slope = pt.exp(-0.5 * far**2 - 0.5 * np.log(2 * np.pi) - log_cdf)
        far = far - (log_cdf - low) / slope
    return pt.switch(log_p > FAR_OUT, near, far)
