"""Prior sets by name."""

from dataclasses import replace

from scipy.special import logit, ndtri

from cotreat.priors.belief_grid import EFFECTS, beliefs_of, of_pairs, stated_belief
from cotreat.priors.defaults import BASELINE_MEANING, PARAMETERS
from cotreat.priors.prior import SHARE_OF_CASES, Prior, PriorSet
from cotreat.study.study import Study


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
    """Let a study say its own reference risk, and say where it is no risk at all."""
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
    """Replace the numbers of a row by a belief about each effect."""
    mean, sd, reason = stated_belief(named, True, study)
    return replace(row, mu=mean, sigma=sd, reason=reason, chosen_by="user")
