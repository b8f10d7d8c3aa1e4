"""Show how far each prior moves an estimate, and where a prior conflicts with the data.

Both use the normal approximation of the posterior. Without the prior of some parameters θ ~ Normal(μ, K) the
posterior Normal(m, S) would have the precision S⁻¹ − K⁻¹, which gives closed forms in moments of the draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import ODDS_RATIO, risk_draws_of
from cotreat.estimands.identification import Identification
from cotreat.estimands.measures import representatives

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from cotreat.inference.record import Fit

BASELINE, EFFECTS, INTERACTIONS, REGIMENS = "baseline", "effects", "interactions", "regimens"
VARIABLES = {"alpha": BASELINE, "beta": EFFECTS, "gamma": INTERACTIONS, "eta": REGIMENS}
"""Parameters with a normal prior, and what their prior is about. ``eta`` are the log-odds of the saturated model."""
LEAST_DATA = 0.1
"""Share of the posterior precision below which the data determine a direction too little to remove its prior."""
UNRELATED = 0.1
"""Correlation with an estimate below which such a direction does not matter for it."""
CONFLICT_ADVICE = {
    EFFECTS: "the data show a stronger effect than its prior expects, which shrinks it: use a wider prior of the "
    "effects, such as --priors exposures",
    INTERACTIONS: "the data show a stronger interaction than its prior expects, which shrinks it: use a wider prior "
    "of the interactions, such as --priors interactions:wide",
    BASELINE: "the data show another risk than the study file declares: correct [baseline], or remove it, because "
    "without one the prior of the intercept is wide",
}
"""What to do about a conflict, by what the prior is about."""


@dataclass(frozen=True)
class Conflict:
    """The distance between the prior and the data about one parameter.

    Attributes
    ----------
    about : str
        `BASELINE`, `EFFECTS` or `INTERACTIONS`.
    index : str
        The treatment or pair; empty for the baseline.
    value : float
        Distance in SDs.
    """

    about: str
    index: str
    value: float

    def __str__(self) -> str:
        if self.about == INTERACTIONS:
            return f"interaction of {self.index.replace(':', ' and ')}"
        return f"effect of {self.index}" if self.about == EFFECTS else "declared baseline"


def shifts(
    prior: xr.Dataset, posterior: xr.Dataset, values: NDArray[np.float64]
) -> dict[str, float]:
    """Return the shift of the posterior mean that each prior causes, in posterior SDs.

    Parameters
    ----------
    prior, posterior
        Draws of the parameters, dims (chain, draw, …).
    values
        Posterior draws of the estimate, shape (chain · draw,).

    Returns
    -------
    dict
        By what the prior is about: mean with this prior less mean without it, over the posterior SD. NaN if the
        estimate depends on a direction about which the data contain almost nothing.

    Notes
    -----
    With c the posterior covariance of the estimate and θ, the mean without the prior of θ is
    mean + cᵀ (K − S)⁻¹ (m − μ), by the Woodbury identity.
    """
    sd = float(values.std())
    return {
        about: _shift(_draws(prior, name), _draws(posterior, name), values) / sd if sd else np.nan
        for name, about in VARIABLES.items()
        if name in posterior and name in prior
    }


def _draws(draws: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Return the draws of a variable, shape (chain · draw, element)."""
    array = draws[name].transpose("chain", "draw", ...)
    return array.values.reshape(array.sizes["chain"] * array.sizes["draw"], -1)


def _shift(
    prior: NDArray[np.float64], posterior: NDArray[np.float64], values: NDArray[np.float64]
) -> float:
    """Return the mean of `values` less that without the prior of the parameters."""
    root = np.linalg.cholesky(np.atleast_2d(np.cov(prior.T)))
    inside = np.linalg.solve(root, (posterior - prior.mean(0)).T).T
    share_of_prior, ways = np.linalg.eigh(np.atleast_2d(np.cov(inside.T)))
    along = inside @ ways
    covariance = ((along - along.mean(0)) * (values - values.mean())[:, None]).mean(0)
    is_known = 1 - share_of_prior >= LEAST_DATA
    correlation = covariance / (along.std(0) * values.std())
    if (np.abs(correlation[~is_known]) > UNRELATED).any():
        return np.nan
    known = covariance * along.mean(0) / (1 - share_of_prior)
    return -float(known[is_known].sum())


def conflicts(prior: xr.Dataset, posterior: xr.Dataset) -> Iterator[Conflict]:
    """Yield the distance between prior and data for each intercept, effect and interaction.

    Parameters
    ----------
    prior, posterior
        Draws of the parameters, dims (chain, draw, …).

    Yields
    ------
    Conflict
        For each parameter about which the data contain something.

    Notes
    -----
    The data alone (with the other priors) have the estimate m + S (K − S)⁻¹ (m − μ) with variance KS/(K − S), so its
    distance from μ is (m − μ)/√(K − S) in SDs of the prior predictive distribution (Box, J R Stat Soc A 1980;143:383).
    """
    for name, about in VARIABLES.items():
        if about == REGIMENS or name not in posterior or name not in prior:
            continue
        before, after = _draws(prior, name), _draws(posterior, name)
        room = before.var(0) - after.var(0)
        distance = np.abs(after.mean(0) - before.mean(0))
        dims = [dim for dim in posterior[name].dims if dim not in ("chain", "draw")]
        labels = [str(label) for label in posterior[name][dims[0]].values] if dims else [""]
        for label, value, left, whole in zip(labels, distance, room, before.var(0), strict=True):
            if left >= LEAST_DATA * whole:
                yield Conflict(about, label, float(value / np.sqrt(left)))


def shift_table(fit: Fit) -> pd.DataFrame:
    """Return the shifts of the odds ratios and of one measure of interaction per scale.

    Parameters
    ----------
    fit
        With draws of prior and posterior.

    Returns
    -------
    pandas.DataFrame
        A row per estimand: ``label``, ``judged_on``, and a column per prior with the shift in posterior SDs; of ratios on the
        log scale.
    """
    prior, posterior = fit.prior, fit.posterior
    risk_draws = risk_draws_of(posterior)
    identification = Identification(fit.study, fit.model, risk_draws, fit.evidence)
    wanted = {ODDS_RATIO, *representatives().values()}
    rows = []
    for one in enumerate_estimands(fit.study, fit.model, fit.evidence):
        if one.measure not in wanted or not identification.of(one).has_draws:
            continue
        values = one.values(risk_draws).values.ravel()
        values = np.log(values) if one.log else values
        if np.isfinite(values).all():
            row = {"label": one.label, "judged_on": one.judged_on}
            rows.append({**row, **shifts(prior, posterior, values)})
    return pd.DataFrame(rows)


NAMES = {
    BASELINE: "the prior of the baseline",
    EFFECTS: "the prior of the effects",
    INTERACTIONS: "the prior of the interactions",
    REGIMENS: "the prior of the regimens",
}


class Mover(NamedTuple):
    """The prior that moves an estimate most.

    Attributes
    ----------
    prior : str
        Words such as ``the prior of the interactions, Normal(0, 0.5) of the set weak``.
    how : str
        Words such as ``which shifts it by +1.3 posterior SDs``.
    """

    prior: str
    how: str


def named(table: pd.DataFrame, fit: Fit) -> dict[tuple[str, str], Mover]:
    """Name the prior that moves each estimand most.

    Parameters
    ----------
    table
        What `shift_table` returns.
    fit
        The fit, with its priors.

    Returns
    -------
    dict
        By label and the scale on which the estimand is judged.
    """
    abouts = [about for about in NAMES if about in table]
    movers = {}
    for row in table.to_dict("records"):
        unknown = [about for about in abouts if np.isnan(row[about])]
        about = unknown[-1] if unknown else max(abouts, key=lambda one, row=row: abs(row[one]))  # type: ignore[misc]
        how = f"which shifts it by {row[about]:+.1f} posterior SDs".replace("-", "−")
        how = "without which the data do not determine it" if unknown else how
        prior = f"{NAMES[about]}, {_law(about, fit)} of the set {fit.priors.name}"
        movers[row["label"], row["judged_on"]] = Mover(prior, how)
    return movers


def _law(about: str, fit: Fit) -> str:
    """Return the distribution of a prior: ``Normal(0, 0.5)``."""
    names = {BASELINE: ("alpha", "m"), EFFECTS: ("beta",), INTERACTIONS: ("gamma", "mu")}
    wanted = names.get(about, ("tau_arm",))
    row = next(row for row in fit.priors.rows if row.variable in wanted)
    return f"{row.distribution}({', '.join(f'{value:g}' for value in row.numbers().values())})"
