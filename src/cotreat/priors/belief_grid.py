"""Define the default prior sets and the belief × strength grid of priors on treatment effects and interactions.

Sources: Zampieri et al., Am J Respir Crit Care Med 2021;203:543; of the sceptical prior Spiegelhalter, Freedman &
Parmar, J R Stat Soc A 1994;157:357.
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
WEAK, EXPOSURES = DEFAULTS = ("weak", "exposures")
"""Default prior sets: of treatments, and of exposures that are judged on the event of a harm."""
SCEPTICAL = "sceptical"
"""Belief of no effect, with the probability `BEYOND_EXPECTED` beyond the expected odds ratio."""
BEYOND_EXPECTED = 0.05
WIDTHS = {"narrow": WEAK, "wide": EXPOSURES}
"""Default prior sets whose priors on interactions, γ ~ Normal(0, 0.5) and Normal(0, 1), are shown side by side."""
ALIASES = {
    "pessimistic": "grid:pessimistic-moderate",
    "neutral": "grid:neutral-moderate",
    "optimistic": "grid:optimistic-moderate",
    "enthusiastic": "grid:optimistic-moderate",
}
BELIEFS = tuple(
    f"{belief}-{strength}"
    for belief in ("pessimistic", "neutral", "optimistic")
    for strength in NEUTRAL_SD
)
"""Beliefs with their strengths, ``belief-strength``."""
GRID = tuple(f"grid:{belief}" for belief in BELIEFS)
"""Prior sets with a belief about effects and the default prior on interactions."""
INTERACTION_GRID = tuple(f"interactions:{belief}" for belief in BELIEFS)
"""Prior sets with a belief about interactions and the default prior on effects."""
WIDTH_SETS = tuple(f"interactions:{width}" for width in WIDTHS)
"""Prior sets with a width of the prior on interactions and the default prior on effects."""
NAMES = (*DEFAULTS, SCEPTICAL, *ALIASES, *GRID, *INTERACTION_GRID, *WIDTH_SETS)
"""Names of the prior sets, except those that combine beliefs about effects and interactions."""


def default_name(study: Study) -> str:
    """Return the name of the default prior set of a study.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
        ``exposures`` if synergy is judged on the event of a harm, otherwise ``weak``.
    """
    outcome = study.outcome
    is_of_exposures = outcome.direction == "harm" and outcome.synergy_on == "event"
    return EXPOSURES if is_of_exposures else WEAK


MARK = " (default)"


def as_default(name: str) -> str:
    """Mark the name of a prior set as the default, for tables and figures.

    Parameters
    ----------
    name
        Name of the prior set.

    Returns
    -------
    str
        Such as ``weak (default)``.
    """
    return name + MARK


def is_marked(name: str) -> bool:
    """Return whether a name is marked as the default.

    Parameters
    ----------
    name
        A belief, or what `as_default` returns.

    Returns
    -------
    bool
    """
    return name.endswith(MARK)


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


def grid_name(effects: str, interactions: str, default: str = WEAK) -> str:
    """Return the name of the prior set with given beliefs about effects and interactions.

    Parameters
    ----------
    effects, interactions
        An entry of `BELIEFS`; empty for the default prior. `effects` may be `SCEPTICAL`, `interactions` a key of
        `WIDTHS`.
    default
        Name of the default prior set.

    Returns
    -------
    str
        Name that `beliefs_of` accepts.
    """
    if not effects:
        return f"interactions:{interactions}" if interactions else default
    if effects == SCEPTICAL:
        return effects
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
        For example ``effects: neutral, strong``; the name itself for default and user-defined sets.
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
        False for default and user-defined sets.
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
        An entry of `BELIEFS`; `effects` also `SCEPTICAL`, `interactions` also a key of `WIDTHS`. Empty without a
        belief.

    Raises
    ------
    ModelError
        If no prior set has this name.
    """
    kind, *beliefs = ALIASES.get(name, name).split(":")
    match kind, beliefs:
        case "grid", [effects] if effects in BELIEFS:
            return effects, ""
        case "grid", [effects, interactions] if effects in BELIEFS and interactions in (
            *BELIEFS,
            *WIDTHS,
        ):
            return effects, interactions
        case "interactions", [interactions] if interactions in (*BELIEFS, *WIDTHS):
            return "", interactions
    if name in DEFAULTS:
        return "", ""
    if name == SCEPTICAL:
        return SCEPTICAL, ""
    raise ModelError(
        f"no prior set {name!r}; the prior sets are {', '.join(NAMES)}, and beliefs about effects and "
        "then about interactions such as grid:neutral-strong:optimistic-weak"
    )


def stated_belief(named: str, is_effect: bool, study: Study) -> tuple[float, float, str]:
    """Return the prior mean, the SD and the reason that correspond to a belief.

    Parameters
    ----------
    named
        One of `BELIEFS`, or `SCEPTICAL`.
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
    with the probability beyond the null of `BEYOND_NULL`. The sceptical belief (Spiegelhalter, Freedman & Parmar,
    J R Stat Soc A 1994;157:357) has mean 0 and the probability `BEYOND_EXPECTED` beyond that odds ratio.
    """
    if named == SCEPTICAL:
        sd = float(np.log(EXPECTED_ODDS_RATIO) / -ndtri(BEYOND_EXPECTED))
        words = f"no effect expected, {BEYOND_EXPECTED:.0%} beyond an odds ratio of {EXPECTED_ODDS_RATIO:g}"
        return 0.0, sd, f"sceptical belief: {words}"
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
