"""Define the belief × strength grid of priors on treatment effects and interactions.

Source: Zampieri et al., Am J Respir Crit Care Med 2021;203:543.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from cotreat.core.errors import ModelError
from cotreat.priors.prior import Prior
from cotreat.study.study import Study

EFFECTS, INTERACTIONS = ("beta",), ("gamma", "mu", "tau")
"""Variables whose priors state beliefs about effects and about interactions."""

# Zampieri et al., AJRCCM 2021;203:543, on the scale of the log odds ratio. The SD defines a neutral
# belief; the prior probability beyond the null defines a pessimistic or an optimistic belief.
NEUTRAL_SD = {"weak": 5.0, "moderate": 0.355, "strong": 0.205}
BEYOND_NULL = {"weak": 0.30, "moderate": 0.15, "strong": 0.05}
EXPECTED_ODDS_RATIO = 2.0
EXPECTED_PRODUCT = EXPECTED_ODDS_RATIO**0.5
"""Expected ratio of odds ratios: on the log scale, interactions are half the size of effects."""
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
"""Beliefs with their strengths, ``belief-strength``."""
GRID = tuple(f"grid:{belief}" for belief in BELIEFS)
"""Prior sets with a belief about effects and the weak prior on interactions."""
INTERACTION_GRID = tuple(f"interactions:{belief}" for belief in BELIEFS)
"""Prior sets with a belief about interactions and the weak prior on effects."""
NAMES = ("weak", *ALIASES, *GRID, *INTERACTION_GRID)
"""Names of the prior sets, except those that combine beliefs about effects and interactions."""


def of_pairs(rows: Sequence[Prior], mean: float, sd: float, reason: str) -> tuple[Prior, ...]:
    """Set the prior mean and SD of each pair's log ratio of odds ratios γ, under every model.

    Parameters
    ----------
    rows
        Priors of the set.
    mean, sd
        Mean and SD of γ.
    reason
        Reason for these values, as reported.

    Returns
    -------
    tuple of Prior
        All rows; those of `INTERACTIONS` have the new values.

    Notes
    -----
    If interactions are exchangeable across pairs, γ ~ Normal(μ, τ), the prior mean of μ is `mean`, and the prior
    scales of μ and τ are multiplied by one factor, such that the prior variance of γ is ``sd**2``.
    """
    scales = {row.variable: float(row.sigma or 0) for row in rows if row.variable in INTERACTIONS}
    # E τ² of a half-normal distribution is its squared scale, so Var γ is the sum of both squares.
    total_sd = float(np.linalg.norm([scales[n] for n in ("mu", "tau") if n in scales]))
    changed = []
    for row in rows:
        if row.variable in scales:
            sigma = sd if row.variable == "gamma" else sd * scales[row.variable] / total_sd
            mu = None if row.mu is None else mean
            row = replace(row, mu=mu, sigma=sigma, reason=reason, chosen_by="user")  # noqa: PLW2901
        changed.append(row)
    return tuple(changed)


def grid_name(effects: str, interactions: str) -> str:
    """Return the name of the prior set with given beliefs about effects and interactions.

    Parameters
    ----------
    effects, interactions
        An entry of `BELIEFS`; empty for the weak prior.

    Returns
    -------
    str
        Name that `beliefs_of` accepts.
    """
    if not effects:
        return f"interactions:{interactions}" if interactions else "weak"
    return ":".join(filter(None, ("grid", effects, interactions)))


def in_words(name: str) -> str:
    """Describe the beliefs of a prior set in words.

    Parameters
    ----------
    name
        Name of the prior set.

    Returns
    -------
    str
        For example ``effects: neutral, strong``; the name itself for the weak set and for user-defined sets.
    """
    try:
        effects, interactions = beliefs_of(name)
    except ModelError:
        return name
    beliefs = {"effects": effects, "interactions": interactions}
    words = [f"{what}: {belief.replace('-', ', ')}" for what, belief in beliefs.items() if belief]
    return "; ".join(words) or name


def is_belief(name: str) -> bool:
    """Return whether a prior set of this name states a belief.

    Parameters
    ----------
    name
        Name of the prior set.

    Returns
    -------
    bool
        False for the weak set and for user-defined sets.
    """
    return in_words(name) != name


def beliefs_of(name: str) -> tuple[str, str]:
    """Parse the name of a prior set into its beliefs about effects and interactions.

    Parameters
    ----------
    name
        Name of the prior set: an entry of `NAMES`, or ``grid:`` with a belief about effects and a belief about
        interactions.

    Returns
    -------
    effects, interactions : str
        An entry of `BELIEFS`; empty without a belief.

    Raises
    ------
    ModelError
        If no prior set has this name.
    """
    kind, *beliefs = ALIASES.get(name, name).split(":")
    is_valid = all(belief in BELIEFS for belief in beliefs)
    if kind == "grid" and is_valid and 1 <= len(beliefs) <= 2:
        return beliefs[0], "".join(beliefs[1:])
    if kind == "interactions" and is_valid and len(beliefs) == 1:
        return "", beliefs[0]
    if name == "weak":
        return "", ""
    raise ModelError(
        f"no prior set {name!r}; the prior sets are {', '.join(NAMES)}, and beliefs about effects and "
        "then about interactions such as grid:neutral-strong:optimistic-weak"
    )


def stated_belief(named: str, is_effect: bool, study: Study) -> tuple[float, float, str]:
    """Return the prior mean, the SD and the reason that correspond to a belief.

    Parameters
    ----------
    named
        One of `BELIEFS`.
    is_effect
        Whether the belief is about treatment effects; otherwise it is about interactions.
    study
        Study whose outcome determines the direction of benefit or synergy.

    Returns
    -------
    mean, sd : float
        Of the log odds ratio of a treatment, or of the log ratio of odds ratios of a pair.
    reason : str
        Reason for the prior, as reported.

    Notes
    -----
    Zampieri et al., Am J Respir Crit Care Med 2021;203:543. A neutral belief has mean 0 and the SD of `NEUTRAL_SD`.
    Other beliefs expect an odds ratio of `EXPECTED_ODDS_RATIO`, or a ratio of odds ratios of `EXPECTED_PRODUCT`,
    with the probability beyond the null of `BEYOND_NULL`.
    """
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
