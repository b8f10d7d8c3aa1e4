"""Prior sets as tables: variable, distribution, numbers, reason, and who chose them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from cotreat.models.registry import Model, ModelError
from cotreat.study.study import Study

Distribution = Literal["Normal", "HalfNormal", "ZeroSumNormal", "Dirichlet"]


@dataclass(frozen=True)
class Prior:
    """One row of a prior set.

    Attributes
    ----------
    mu, sigma : float or None
        Numbers of the distribution; None where other variables of the model stand in.
    chosen_by : str
        ``default`` (nobody chose it), ``study file``, or ``user``.
    """

    variable: str
    distribution: Distribution
    mu: float | None
    sigma: float | None
    meaning: str
    reason: str
    chosen_by: str = "default"

    def numbers(self) -> dict[str, float]:
        """Keyword arguments of the distribution that the row itself gives."""
        given = {"mu": self.mu, "sigma": self.sigma}
        wanted = ("mu", "sigma") if self.distribution == "Normal" else ("sigma",)
        return {k: v for k in wanted if (v := given[k]) is not None}

    def given(self) -> dict[str, float]:
        """The same numbers by the names that they have as data of a PyMC model."""
        return {f"{self.variable} {name}": value for name, value in self.numbers().items()}

    def in_words(self) -> str:
        """Say the central 95 % of the prior on the scale people think in."""
        if self.mu is None or self.sigma is None or self.meaning not in _BACK:
            return ""
        lower, upper = self.central()
        return f"{_BACK[self.meaning][0]} {lower:.2f} to {upper:.2f}"

    def central(self) -> tuple[float, float]:
        """Return the central 95 % of a normal prior as risks or ratios."""
        if self.mu is None or self.sigma is None:
            raise ValueError(f"the prior of {self.variable} has no numbers of its own")
        lower, upper = _BACK[self.meaning][1](self.mu + self.sigma * ndtri([0.025, 0.975]))
        return float(lower), float(upper)


PRIOR_CONFLICT = 2.5
"""Counts this many SDs from what the prior predicts are in conflict with it."""

REFERENCE_RISK = "log-odds without treatment"
REFERENCE_SHARE = "log-odds of being a case without treatment, set by the sampling"
ODDS_RATIO = "log odds ratio of a treatment"
PRODUCT = "log ratio of odds ratios of a pair"
BIAS_SINGLE = (
    "log of the factor by which confounding moves a treatment's odds ratio in the evidence"
)
BIAS_PRODUCT = (
    "log of the factor by which confounding moves a pair's ratio of odds ratios in the evidence"
)
BIAS = {"bias_beta": BIAS_SINGLE, "bias_gamma": BIAS_PRODUCT}
"""Variables of unmeasured confounding with their meanings; only sets that ask for them have any."""
_BACK = {
    REFERENCE_RISK: ("risk", expit),
    REFERENCE_SHARE: ("share of cases", expit),
    ODDS_RATIO: ("odds ratio", np.exp),
    PRODUCT: ("ratio of odds ratios", np.exp),
    BIAS_SINGLE: ("factor", np.exp),
    BIAS_PRODUCT: ("factor", np.exp),
}


@dataclass(frozen=True)
class PriorSet:
    """A named table of priors.

    Attributes
    ----------
    about_effects, about_interactions : bool
        Whether the set states a belief about the treatments' effects, or about how they interact, which
        a model without such parameters could not honour.
    """

    name: str
    rows: tuple[Prior, ...]
    about_effects: bool = False
    about_interactions: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9:_-]*", self.name):
            raise ModelError(
                f"{self.name!r} cannot name a prior set, for it names a folder too: use lower-case "
                "letters, digits, :, - and _"
            )

    def __contains__(self, variable: str) -> bool:
        return any(row.variable == variable for row in self.rows)

    def __getitem__(self, variable: str) -> Prior:
        for row in self.rows:
            if row.variable == variable:
                return row
        known = ", ".join(row.variable for row in self.rows)
        raise ModelError(f"the prior set {self.name} has no variable {variable!r}, only {known}")

    def change(self, variable: str, *, reason: str, name: str, **numbers: float) -> Self:
        """Return a set of another `name` with other numbers for one variable, and why.

        Examples
        --------
        >>> weak = prior_set("weak", load_study("isis2"))
        >>> wide = weak.change("gamma", sigma=1.0, name="wide", reason="as wide as an effect")
        """
        new = replace(self[variable], reason=reason, chosen_by="user", **numbers)  # type: ignore[arg-type]
        rows = tuple(new if row.variable == variable else row for row in self.rows)
        return replace(self, name=name, rows=rows)

    def table(self) -> pd.DataFrame:
        """Return the set as a table, one row a variable."""
        return pd.DataFrame(
            [
                {
                    "variable": row.variable,
                    "meaning": row.meaning,
                    "distribution": row.distribution,
                    "mu": row.mu,
                    "sigma": row.sigma,
                    "central 95%": row.in_words(),
                    "reason": row.reason,
                    "chosen by": row.chosen_by,
                }
                for row in self.rows
            ]
        )


def distance(
    mean: NDArray[np.float64] | float, variance: NDArray[np.float64] | float, study: Study
) -> NDArray[np.float64]:
    """Measure how far the counts lie from a prior, in SDs of its prediction.

    Parameters
    ----------
    mean, variance
        Of the prior log-odds, for each counted regimen or for all alike.

    Returns
    -------
    ndarray
        |empirical log-odds − mean| / √(variance + sampling variance), shape (counted,).
    """
    share = (study.events + 0.5) / (study.n + 1)
    sampling = 1 / ((study.n + 1) * share * (1 - share))
    return np.abs(logit(share) - mean) / np.sqrt(variance + sampling)


WEAK = (
    Prior(
        "alpha",
        "Normal",
        -1.67,
        0.65,
        REFERENCE_RISK,
        "most outcomes worth a trial lie between 1 in 20 and 2 in 5",
    ),
    Prior("beta", "Normal", 0.0, 1.0, ODDS_RATIO, "odds ratios past 7 are rare for any drug"),
    Prior("gamma", "Normal", 0.0, 0.5, PRODUCT, "interactions are half the size of effects"),
    Prior("mu", "Normal", 0.0, 0.25, PRODUCT, "the pairs' mean is nearer 0 than any one of them"),
    Prior("tau", "HalfNormal", None, 0.5, "SD of the product terms", "as wide as one product term"),
    Prior("z", "Normal", 0.0, 1.0, "standardised deviation of a pair", "by definition"),
    Prior("m", "Normal", -1.67, 0.65, REFERENCE_RISK, "as the risk without treatment"),
    Prior(
        "tau_arm",
        "HalfNormal",
        None,
        1.0,
        "SD of the regimens' log-odds",
        "regimens may differ as much as a treatment's effect",
    ),
    Prior(
        "eta", "Normal", None, None, "log-odds of a regimen", "mean m and SD tau_arm by definition"
    ),
    Prior(
        "sigma",
        "HalfNormal",
        None,
        1.0,
        "SD of the prognostic score that claims are adjusted for",
        "covariates that predict as strongly as a treatment",
    ),
    Prior(
        "loss",
        "HalfNormal",
        None,
        0.15,
        "loss of precision by adjustment",
        "standard errors up to a third larger than the arms alone would give (Robinson & Jewell 1991)",
    ),
    Prior(
        "shift",
        "Normal",
        0.0,
        0.1,
        "shift of a regression with covariates of its own, integrated out",
        "other covariates move a log odds ratio by about 0.1",
    ),
    Prior(
        "delta",
        "Normal",
        0.0,
        1.0,
        "log odds ratio of a covariate, per SD of a continuous one",
        "covariates predict no stronger than a treatment",
    ),
    Prior(
        "between",
        "HalfNormal",
        None,
        0.5,
        "SD of the clusters' log-odds",
        "clusters differ by half as much as a treatment's effect",
    ),
    Prior(
        "simplex",
        "Dirichlet",
        None,
        None,
        "shares of a treatment's effect that the steps between its levels bring",
        "uniform on all effects that never turn back",
    ),
    Prior(
        "alpha_group",
        "ZeroSumNormal",
        None,
        0.5**0.5,
        "log-odds of the subgroups about their mean",
        "two subgroups differ as by a covariate: log odds ratio ~ Normal(0, 1)",
    ),
    Prior(
        "spread",
        "HalfNormal",
        None,
        0.5,
        "SD of a treatment's effect between subgroups",
        "an effect differs between subgroups about as much as one product term",
    ),
    Prior(
        "effect_z",
        "Normal",
        0.0,
        1.0,
        "standardised deviation of an effect in a subgroup",
        "by definition",
    ),
    Prior("cluster_z", "Normal", 0.0, 1.0, "standardised deviation of a cluster", "by definition"),
    Prior(
        "share",
        "Dirichlet",
        None,
        None,
        "sizes of arms nobody printed",
        "uniform on all sizes that the printed totals allow",
    ),
)

EFFECTS, INTERACTIONS = ("beta",), ("gamma", "mu", "tau")
"""Variables that beliefs about effects, and about interactions, are stated on."""

# Zampieri et al., AJRCCM 2021;203:543, on the log odds ratio. A neutral belief is said by its SD; a
# pessimist or optimist by the share of the prior that lies beyond the null.
NEUTRAL_SD = {"weak": 5.0, "moderate": 0.355, "strong": 0.205}
BEYOND_NULL = {"weak": 0.30, "moderate": 0.15, "strong": 0.05}
EXPECTED_ODDS_RATIO = 2.0
EXPECTED_PRODUCT = EXPECTED_ODDS_RATIO**0.5
"""Interactions are expected to be half the size of effects, as in `WEAK`."""
ALIASES = {
    "sceptical": "grid:pessimistic-moderate",
    "neutral": "grid:neutral-moderate",
    "enthusiastic": "grid:optimistic-moderate",
}
BELIEFS = tuple(
    f"{belief}-{strength}"
    for belief in ("pessimistic", "neutral", "optimistic")
    for strength in NEUTRAL_SD
)
"""What may be believed, and how strongly."""
GRID = tuple(f"grid:{belief}" for belief in BELIEFS)
"""Beliefs about effects; about interactions each set is weak."""
INTERACTION_GRID = tuple(f"interactions:{belief}" for belief in BELIEFS)
"""Beliefs about interactions; about effects each set is weak."""
NAMES = ("weak", *ALIASES, *GRID, *INTERACTION_GRID)
"""Prior sets by name, besides those that hold a belief about each."""


def prior_set(name: str, study: Study) -> PriorSet:
    """Return a prior set by name, its reference risk and directions taken from the study.

    Parameters
    ----------
    name
        ``weak``; ``sceptical``, ``neutral``, ``enthusiastic``; one of the belief × strength grid
        on effects such as ``grid:neutral-strong``, on interactions such as
        ``interactions:optimistic-weak``, or on effects and then interactions such as
        ``grid:neutral-strong:optimistic-weak``.
    study
        Says the risk without treatment if it knows one, and the scale of synergy: an optimist
        expects every treatment, or every combination beyond its parts, to raise the odds there, of a
        response, of survival, or, of exposures judged on the event, of the harm.

    Raises
    ------
    ModelError
        If there is no such set.
    """
    effects, interactions = beliefs_of(name)
    rows = tuple(_reference(row, study) for row in WEAK)
    if effects:
        rows = tuple(
            _effect(row, effects, study) if row.variable in EFFECTS else row for row in rows
        )
    if interactions:
        mean, sd, reason = _stated(interactions, False, study)
        rows = of_pairs(rows, mean, sd, reason)
    return PriorSet(name, rows, bool(effects), bool(interactions))


def of_pairs(rows: Sequence[Prior], mean: float, sd: float, reason: str) -> tuple[Prior, ...]:
    """Give each pair's log ratio of odds ratios a prior mean and SD, whatever a model draws it from.

    Of pairs that are relatives, γ ~ Normal(μ, τ), the mean is that of μ, and both spreads are scaled alike.
    """
    numbers = {row.variable: row for row in rows}
    spreads = {name: float(numbers[name].sigma or 0) for name in INTERACTIONS if name in numbers}
    related = _pairs_sd(spreads, ("mu", "tau"))
    chosen = {
        name: sd if name == "gamma" else sd * spread / related for name, spread in spreads.items()
    }
    return tuple(
        replace(
            row,
            mu=None if row.mu is None else mean,
            sigma=chosen[row.variable],
            reason=reason,
            chosen_by="user",
        )
        if row.variable in chosen
        else row
        for row in rows
    )


def pairs_sd(priors: PriorSet, model: Model) -> float:
    """Return the prior SD of each pair's log ratio of odds ratios under a model."""
    own = [name for name in INTERACTIONS if name in model.parameters]
    return _pairs_sd({name: float(priors[name].sigma or 0) for name in own}, own)


def _pairs_sd(spreads: Mapping[str, float], names: Sequence[str]) -> float:
    # E τ² of a half-normal is its scale squared, so that variances add up.
    return float(np.linalg.norm([spreads[name] for name in names if name in spreads]))


def grid_name(effects: str, interactions: str) -> str:
    """Return the name of the set with a belief of `BELIEFS` about each; an empty one is weak."""
    if not effects:
        return f"interactions:{interactions}" if interactions else "weak"
    return ":".join(filter(None, ("grid", effects, interactions)))


def in_words(name: str) -> str:
    """Say what a prior set believes of what; a set of somebody's own goes by its name."""
    try:
        effects, interactions = beliefs_of(name)
    except ModelError:
        return name
    told = {"effects": effects, "interactions": interactions}
    words = [f"{what}: {belief.replace('-', ', ')}" for what, belief in told.items() if belief]
    return "; ".join(words) or name


def is_belief(name: str) -> bool:
    """Tell whether a name is that of a set that states a belief, and not the default or somebody's own."""
    try:
        return any(beliefs_of(name))
    except ModelError:
        return False


def beliefs_of(name: str) -> tuple[str, str]:
    """Return the beliefs about effects and about interactions that a name states; empty for none.

    Raises
    ------
    ModelError
        If it is no name of a prior set.
    """
    kind, *beliefs = ALIASES.get(name, name).split(":")
    known = all(belief in BELIEFS for belief in beliefs)
    if kind == "grid" and known and 1 <= len(beliefs) <= 2:
        return beliefs[0], "".join(beliefs[1:])
    if kind == "interactions" and known and len(beliefs) == 1:
        return "", beliefs[0]
    if name == "weak":
        return "", ""
    raise ModelError(
        f"no prior set {name!r}; the prior sets are {', '.join(NAMES)}, and beliefs about effects and "
        "then about interactions such as grid:neutral-strong:optimistic-weak"
    )


def _reference(row: Prior, study: Study) -> Prior:
    """Let a study say its own reference risk, and say where it is no risk at all."""
    if row.meaning != REFERENCE_RISK:
        return row
    if study.baseline is not None:
        lower, upper = logit([study.baseline.lower, study.baseline.upper])
        row = replace(
            row,
            mu=float(lower + upper) / 2,
            sigma=float((upper - lower) / (2 * ndtri(0.975))),
            reason=study.baseline.source,
            chosen_by="study file",
        )
    elif study.is_case_control:
        row = replace(row, mu=0.0, sigma=1.5, reason="the sampling sets it, at any value")
    return replace(row, meaning=REFERENCE_SHARE) if study.is_case_control else row


def _effect(row: Prior, named: str, study: Study) -> Prior:
    """Replace the numbers of a row by a belief about each effect."""
    mean, sd, reason = _stated(named, True, study)
    return replace(row, mu=mean, sigma=sd, reason=reason, chosen_by="user")


def believed(named: str, study: Study, *, of_effects: bool) -> tuple[float, float]:
    """Return mean and SD of the log odds ratio of each treatment, or of each pair's ratio of them, under a belief.

    Parameters
    ----------
    named
        One of `BELIEFS`.
    """
    mean, sd, _ = _stated(named, of_effects, study)
    return mean, sd


def _stated(named: str, is_effect: bool, study: Study) -> tuple[float, float, str]:
    """Return mean, SD and reason of a belief about each effect, or each interaction."""
    belief, strength = named.split("-")
    noun = "an odds ratio" if is_effect else "a ratio of odds ratios"
    reason = f"{belief} belief of {strength} strength about every " + (
        "treatment's effect" if is_effect else "interaction"
    )
    if belief == "neutral":
        return 0.0, NEUTRAL_SD[strength], reason
    sign = (1 if belief == "optimistic" else -1) * (
        1 if study.outcome.synergy_on == "event" else -1
    )
    mean = sign * float(np.log(EXPECTED_ODDS_RATIO if is_effect else EXPECTED_PRODUCT))
    sd = abs(mean) / -float(ndtri(BEYOND_NULL[strength]))
    return mean, sd, f"{reason}, expecting {noun} of {np.exp(mean):.3g} of the event"
