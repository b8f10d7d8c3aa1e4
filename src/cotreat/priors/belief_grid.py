"""Beliefs about treatment effects and interactions: the grid of belief × strength.

Zampieri et al., Am J Respir Crit Care Med 2021;203:543.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from cotreat.core.errors import ModelError
from cotreat.priors.prior import Prior
from cotreat.study.study import Study

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


def of_pairs(rows: Sequence[Prior], mean: float, sd: float, reason: str) -> tuple[Prior, ...]:
    """Give each pair's log ratio of odds ratios a prior mean and SD, whatever a model draws it from.

    Of pairs that are relatives, γ ~ Normal(μ, τ), the mean is that of μ, and both spreads are scaled alike.
    """
    numbers = {row.variable: row for row in rows}
    spreads = {name: float(numbers[name].sigma or 0) for name in INTERACTIONS if name in numbers}
    # E τ² of a half-normal distribution is its scale squared, so variances add up.
    related = float(np.linalg.norm([spreads[n] for n in ("mu", "tau") if n in spreads]))
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


def believed(named: str, study: Study, *, of_effects: bool) -> tuple[float, float]:
    """Return mean and SD of the log odds ratio of each treatment, or of each pair's ratio of them, under a belief.

    Parameters
    ----------
    named
        One of `BELIEFS`.
    """
    mean, sd, _ = stated_belief(named, of_effects, study)
    return mean, sd


def stated_belief(named: str, is_effect: bool, study: Study) -> tuple[float, float, str]:
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
