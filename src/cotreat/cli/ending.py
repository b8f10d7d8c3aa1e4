"""The text that ends a reanalysis."""

from typing import TYPE_CHECKING

from cotreat import headline
from cotreat.report.lines import four_lines, verdict

if TYPE_CHECKING:
    from cotreat.reanalysis import Reanalysis, Result


def ending(result: "Reanalysis") -> str:
    """Write a reanalysis as the text that ends a run."""
    leader, found = result.leader, result.conclusion
    lines = []
    for one in result.results:
        if one.failed:
            lines.append(f"FAILED CHECKS: do not use the numbers of {_name(result, one)}:")
            lines += [f"  {line}" for line in one.failed]
    priors = leader.summary.priors.iloc[0]
    lines += [f"{result.study.title}: model {_name(result, leader)}, {priors} priors"]
    lines += [
        f"CAUTION, {_name(result, one)}: {line}" for one in result.results for line in one.cautions
    ]
    lines += ["", *_whose(result), verdict(found), *map(str, four_lines(found))]
    lines += ["", headline.headline(leader.summary).to_string(index=False), ""]
    for one in result.results if len(result.study.readings) == 1 else (leader,):
        shown = [f"{_name(result, one)}: {a}" for a in headline.agreements(one.summary)]
        lines += shown
    lines += [
        f"{_name(result, one)}: {one.conflict}"
        for one in result.results
        if one.conflict is not None
    ]
    lines += [f"{name}: not run: {why}" for name, why in result.refused.items()]
    lines += [f"- {caveat}" for caveat in leader.caveats]
    return "\n".join([*lines, "", f"report: {result.report}"])


def _whose(result: "Reanalysis") -> list[str]:
    """Name the primary analysis of the report, where it is none of this run."""
    leader = result.leader
    reading, model, priors = result.conclusion.choice
    if (reading, model, priors) == (leader.reading, leader.model, leader.summary.priors.iloc[0]):
        return []
    under = f", interpretation {reading}" if len(result.study.readings) > 1 else ""
    return [
        f"primary analysis of the report: model {model}, {priors} priors{under}; the conclusion is of it, the "
        "table below of the fit just made:"
    ]


def _name(result: "Reanalysis", one: "Result") -> str:
    """Name a fit: its model, and its reading where the study has several."""
    return one.model if len(result.study.readings) == 1 else f"{one.model}, {one.reading}"
