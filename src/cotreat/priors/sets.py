"""Construct prior sets by name."""

from dataclasses import replace

from scipy.special import logit, ndtri

from cotreat.priors.belief_grid import (
    DEFAULTS,
    EFFECTS,
    EXPOSURES,
    INTERACTIONS,
    WIDTHS,
    beliefs_of,
    default_name,
    of_pairs,
    stated_belief,
)
from cotreat.priors.defaults import INTERCEPTS, OF_EXPOSURES, PARAMETERS
from cotreat.priors.prior import SHARE_OF_CASES, Prior, PriorSet
from cotreat.study.regimens import NONE
from cotreat.study.study import Study


def prior_set(name: str | PriorSet | None, study: Study) -> PriorSet:
    """Return a prior set by name, with the baseline and the direction of benefit of a study.

    Parameters
    ----------
    name
        ``weak`` or ``exposures``; None for the one that is the default of the study
        (`cotreat.priors.belief_grid.default_name`); ``sceptical``, ``pessimistic``, ``neutral``, ``optimistic``; a
        set of the belief × strength grid about effects (``grid:neutral-strong``), about interactions
        (``interactions:optimistic-weak``), or about both (``grid:neutral-strong:optimistic-weak``, effects first).
        Parameters without a belief have the default priors of the study. A prior set is returned as it is.
    study
        Its study file may contain the baseline risk of a regimen. Its outcome determines whether synergy is judged
        on the event or the non-event, and hence which side is optimistic: more synergy on that side (response,
        survival or, for exposures that are judged on the event, harm).

    Returns
    -------
    PriorSet
        With a prior for every parameter of `cotreat.priors.defaults.PARAMETERS`.

    Raises
    ------
    ModelError
        If no prior set has this name.
    """
    if isinstance(name, PriorSet):
        return name
    name = default_name(study) if name is None else name
    effects, interactions = beliefs_of(name)
    base = name if name in DEFAULTS else default_name(study)
    rows = tuple(_intercept(row, study) for row in _of_default(base))
    if effects:
        rows = tuple(
            _effect(row, effects, study) if row.variable in EFFECTS else row for row in rows
        )
    if interactions in WIDTHS:
        other = {row.variable: row for row in _of_default(WIDTHS[interactions])}
        rows = tuple(
            replace(other[row.variable], chosen_by="user") if row.variable in INTERACTIONS else row
            for row in rows
        )
    elif interactions:
        mean, sd, reason = stated_belief(interactions, False, study)
        rows = of_pairs(rows, mean, sd, reason)
    return PriorSet(name, rows, bool(effects), bool(interactions))


def _of_default(name: str) -> tuple[Prior, ...]:
    """Return the priors of a default prior set."""
    changed = OF_EXPOSURES if name == EXPOSURES else {}
    return tuple(replace(row, **changed.get(row.variable, {})) for row in PARAMETERS.values())


def _intercept(row: Prior, study: Study) -> Prior:
    """Return the prior of an intercept, which the design and a declared baseline determine; others as they are.

    In a case-control study the sampling sets the share of cases, so that the intercept is a nuisance parameter.
    A baseline declared for a regimen outside the cohort says nothing about the mean of the regimens.
    """
    if row.variable not in INTERCEPTS:
        return row
    if study.is_case_control:
        meaning = "log-odds of being a case at the centre of the design, set by the sampling"
        return replace(row, meaning=meaning, scale=SHARE_OF_CASES)
    baseline = study.baseline
    if baseline is None or (row.variable == "m" and not {*study.reference} & {*study.present}):
        return row
    lower, upper = logit([baseline.lower, baseline.upper])
    regimen = study.label(baseline.regimen)
    return replace(
        row,
        mu=float(lower + upper) / 2,
        sigma=float((upper - lower) / (2 * ndtri(0.975))),
        meaning="log-odds without treatment" if regimen == NONE else f"log-odds of {regimen}",
        about="no treatment" if regimen == NONE else regimen,
        reason=baseline.source,
        chosen_by="study file",
    )


def _effect(row: Prior, named: str, study: Study) -> Prior:
    """Return the prior of a treatment effect under a belief."""
    mean, sd, reason = stated_belief(named, True, study)
    return replace(row, mu=mean, sigma=sd, reason=reason, chosen_by="user")
