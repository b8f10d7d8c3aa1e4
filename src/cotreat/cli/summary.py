"""The text that ends a reanalysis."""

from typing import TYPE_CHECKING

from cotreat.report.lines import four_lines, verdict, verdict_lines
from cotreat.results import headline

if TYPE_CHECKING:
    from cotreat.workflow.reanalyse import Reanalysis, Result


def text_of(result: "Reanalysis") -> str:
    """Return a reanalysis as text: failed checks first, then the conclusion and the headline table.

    Parameters
    ----------
    result
        The reanalysis.

    Returns
    -------
    str
        Lines for the console.
    """
    primary, several = result.primary, len(result.study.interpretations) > 1
    fits = [
        (f"{fit.model}, {fit.interpretation}" if several else fit.model, fit)
        for fit in result.results
    ]
    title = next(name for name, fit in fits if fit is primary)
    lines: list[str] = []
    for name, fit in fits:
        warning = [f"FAILED CHECKS: do not use the numbers of {name}:"] * bool(fit.failed)
        lines += [*warning, *(f"  {line}" for line in fit.failed)]
    lines += [f"{result.study.title}: model {title}, {_priors(primary)} priors"]
    lines += [f"CAUTION, {name}: {caution}" for name, fit in fits for caution in fit.cautions]
    lines += ["", *_other_fit(result)]
    lines += [verdict(result.conclusion), *map(str, four_lines(result.conclusion))]
    lines += ["", headline.headline(primary.summary).to_string(index=False), ""]
    lines += verdict_lines(result.conclusion)
    lines += [f"{name}: {fit.conflict}" for name, fit in fits if fit.conflict]
    lines += [f"{name}: not run: {why}" for name, why in result.refused.items()]
    lines += [f"- {caveat}" for caveat in primary.caveats]
    return "\n".join([*lines, "", f"report: {result.report}"])


def _other_fit(result: "Reanalysis") -> list[str]:
    """Name the fit of the report's conclusion, where it is not the primary fit of this run."""
    primary = result.primary
    interpretation, model, priors = result.conclusion.choice
    if (interpretation, model, priors) == (primary.interpretation, primary.model, _priors(primary)):
        return []
    under = f", interpretation {interpretation}" if len(result.study.interpretations) > 1 else ""
    return [
        f"primary analysis of the report: model {model}, {priors} priors{under}; the conclusion is of this "
        "analysis, the table below of the new fit:"
    ]


def _priors(fit: "Result") -> str:
    return str(fit.summary.priors.iloc[0])
