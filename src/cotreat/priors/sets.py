"""Construct prior sets by name."""

from dataclasses import replace

from scipy.special import logit, ndtri

from cotreat.priors.belief_grid import EFFECTS, beliefs_of, of_pairs, stated_belief
from cotreat.priors.defaults import BASELINE_MEANING, PARAMETERS
from cotreat.priors.prior import SHARE_OF_CASES, Prior, PriorSet
from cotreat.study.study import Study


def prior_set(name: str | PriorSet, study: Study) -> PriorSet:
    """Return a prior set by name, with the reference risk and the direction of benefit of a study.

    Parameters
    ----------
    name
        ``weak``; ``sceptical``, ``neutral``, ``enthusiastic``; a set of the belief × strength grid about
        effects (``grid:neutral-strong``), about interactions (``interactions:optimistic-weak``), or about both
        (``grid:neutral-strong:optimistic-weak``, effects first). A prior set is returned as it is.
    study
        Its study file may contain the risk without treatment. Its outcome determines whether synergy is
        judged on the event or the non-event: optimistic beliefs expect that every treatment, or every
        interaction, increases the odds on that side (response, survival or, for exposures that are judged on
        the event, harm).

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
    effects, interactions = beliefs_of(name)
    rows = tuple(_reference(row, study) for row in PARAMETERS.values())
    if effects:
        rows = tuple(
            _effect(row, effects, study) if row.variable in EFFECTS else row for row in rows
        )
    if interactions:
        mean, sd, reason = stated_belief(interactions, False, study)
        rows = of_pairs(rows, mean, sd, reason)
    return PriorSet(name, rows, bool(effects), bool(interactions))


def _reference(row: Prior, study: Study) -> Prior:
    """Return the prior of the log-odds without treatment from the study file; other priors are unchanged.

    In a case-control study these log-odds are of being a case, not of the event.
    """
    if row.meaning != BASELINE_MEANING:
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
    if not study.is_case_control:
        return row
    meaning = "log-odds of being a case without treatment, set by the sampling"
    return replace(row, meaning=meaning, scale=SHARE_OF_CASES)


def _effect(row: Prior, named: str, study: Study) -> Prior:
    """Return the prior of a treatment effect under a belief."""
    mean, sd, reason = stated_belief(named, True, study)
    return replace(row, mu=mean, sigma=sd, reason=reason, chosen_by="user")
