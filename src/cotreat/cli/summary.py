"""The text that ends a reanalysis."""

from typing import TYPE_CHECKING

from cotreat.report.lines import four_lines, verdict
from cotreat.results import headline

if TYPE_CHECKING:
    from cotreat.workflow.reanalyse import Reanalysis, Result


def text_of(result: "Reanalysis") -> str:
    """Return a reanalysis as text: failed checks first, then the conclusion and the headline table."""
    primary = result.primary
    shown = result.results if len(result.study.interpretations) == 1 else (primary,)
    lines = [line for fit in result.results for line in _failed(result, fit)]
    lines += [f"{result.study.title}: model {_name(result, primary)}, {_priors(primary)} priors"]
    lines += [f"CAUTION, {_name(result, fit)}: {c}" for fit in result.results for c in fit.cautions]
    lines += ["", *_other_fit(result)]
    lines += [verdict(result.conclusion), *map(str, four_lines(result.conclusion))]
    lines += ["", headline.headline(primary.summary).to_string(index=False), ""]
    lines += [
        f"{_name(result, fit)}: {a}" for fit in shown for a in headline.agreements(fit.summary)
    ]
    lines += [f"{_name(result, fit)}: {fit.conflict}" for fit in result.results if fit.conflict]
    lines += [f"{name}: not run: {why}" for name, why in result.refused.items()]
    lines += [f"- {caveat}" for caveat in primary.caveats]
    return "\n".join([*lines, "", f"report: {result.report}"])


def _failed(result: "Reanalysis", fit: "Result") -> list[str]:
    """Return the failed checks of a fit, under a warning; nothing if it has none."""
    if not fit.failed:
        return []
    warning = f"FAILED CHECKS: do not use the numbers of {_name(result, fit)}:"
    return [warning, *(f"  {line}" for line in fit.failed)]


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


def _name(result: "Reanalysis", fit: "Result") -> str:
    """Name a fit: its model, and its interpretation where the study has several."""
    several = len(result.study.interpretations) > 1
    return f"{fit.model}, {fit.interpretation}" if several else fit.model
