"""Names of reported numbers in figures, and notes on them."""

from collections import Counter
from collections.abc import Iterable

from cotreat.evidence.contrasts import KINDS, LEVEL_NAME
from cotreat.evidence.reported import Dependence, ReportedEstimates
from cotreat.evidence.statistics import COMPARISONS, ODDS_RATIO, Statistic, statistic_of
from cotreat.plots.labels import LINE, fold
from cotreat.plots.style import number
from cotreat.study.study import ReportedEstimate, Total

MARK = " †"
"""Mark of a number that follows from others."""


def row_names(numbers: ReportedEstimates) -> dict[str, str]:
    """Name each reported number by its contrast; mark those that follow from others.

    Parameters
    ----------
    numbers
        The reported estimates of the fit.

    Returns
    -------
    dict[str, str]
        Label by id of the estimate.
    """
    estimates = numbers.reported_estimates
    is_mixed = len({estimate.adjusted for estimate in estimates}) > 1
    plain = {estimate.id: _about(estimate, is_mixed=is_mixed) for estimate in estimates}
    counts = Counter(plain.values())
    names = {id_: name + f" ({id_})" * (counts[name] > 1) for id_, name in plain.items()}
    names |= {f"events[{total.patients}]": patients(total) for total in numbers.totals}
    follows = {dependence.name for dependence in numbers.dependences}
    return {row: name + MARK * (row in follows) for row, name in names.items()}


def _about(estimate: ReportedEstimate, *, is_mixed: bool) -> str:
    """Return the contrast of a number, in the ids of the study file."""
    assert estimate.meaning is not None  # noqa: S101 - for the type checker: evidence has one
    kind = KINDS[estimate.meaning.kind]
    about = kind.subject(estimate.meaning.words).replace(":", " × ")
    statistic = statistic_of(estimate.kind)
    if statistic is not ODDS_RATIO:
        about = f"{about}, {statistic.words}"
    if kind.name not in (ODDS_RATIO.name, LEVEL_NAME):
        about = f"{kind.name.removeprefix('mutual_').replace('_', ' ')} {about}"
    return f"{about}, crude" if is_mixed and not estimate.adjusted else about


def axis_label(statistics: Iterable[Statistic]) -> str:
    """Return the label of an axis; contrasts of product terms are ratios of ratios.

    Parameters
    ----------
    statistics
        Kinds of the reported numbers of a panel.

    Returns
    -------
    str
    """
    words = [
        f"{s.words}, or ratio of {s.words}s"
        if s.link.is_log and s.contrasts == COMPARISONS
        else s.words
        for s in statistics
    ]
    return ", ".join(words)


def patients(total: Total) -> str:
    """Name the patients of a total.

    Parameters
    ----------
    total
        A reported total.

    Returns
    -------
    str
    """
    return "all patients" if total.patients == "all" else total.patients


def notes(numbers: ReportedEstimates) -> list[str]:
    """Return which numbers follow from others, and which are not used, in lines that fit.

    Parameters
    ----------
    numbers
        The reported estimates of the fit.

    Returns
    -------
    list of str
        Lines for the legend.
    """
    lines = [_follows(dependence, numbers) for dependence in numbers.dependences]
    used = {estimate.id for estimate in numbers.reported_estimates}
    unused = [
        estimate.id for estimate in numbers.study.reported_estimates if estimate.id not in used
    ]
    if unused:
        where = " under this interpretation" if len(numbers.study.interpretations) > 1 else ""
        lines.append(f"reported, but not used{where}: {', '.join(unused)}")
    return [fold(line, LINE) for line in lines]


def _follows(dependence: Dependence, numbers: ReportedEstimates) -> str:
    names = {row: name.removesuffix(MARK) for row, name in row_names(numbers).items()}
    others = ", ".join(names[other] for other in dependence.others)
    line = f"†: {names[dependence.name]} follows from {others}"
    if dependence.agrees is not None:
        beyond = "within rounding" if dependence.agrees else "incompatible beyond rounding"
        line += f", which make it {number(dependence.implied)}: {beyond}"
    return f"{line}; it is not counted twice"


def totals(numbers: ReportedEstimates) -> str:
    """List the totals as reported.

    Parameters
    ----------
    numbers
        The reported estimates of the fit.

    Returns
    -------
    str
    """
    return "; ".join(
        f"{patients(total)}: {total.n}"
        + ("" if total.events is None else f", {total.events} with the event")
        for total in numbers.study.totals
    )
