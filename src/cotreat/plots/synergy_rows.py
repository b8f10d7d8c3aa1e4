"""Rows of prior and posterior probabilities of synergy, for the figures that show several measures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cotreat.core.constants import ANY, CONCLUSIVE, NOT_IDENTIFIED
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, families
from cotreat.plots import labels, style
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import Study

WORDS_WIDTH = 42
NOT_EVIDENCE = "not evidence of synergy"
LISTED = 6
"""Pairs and co-treatments without a probability that are named below the panels."""
ZONES = 3.0
"""Drawing level of the shaded zones."""
POINT: dict[str, Any] = {"ls": "none", "ms": 4.2, "mew": 0.9}


@dataclass(frozen=True)
class Mark:
    """The probabilities of synergy by a measure, under one interpretation."""

    probability: float
    prior_probability: float
    is_unidentified: bool
    interpretation: str


@dataclass(frozen=True)
class Row:
    """A measure with its marks, or the reason why it has none.

    A row without a measure is a heading; its words are a remark.
    """

    name: str
    measure: str = ""
    marks: tuple[Mark, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Panel:
    """The rows of a pair of treatments."""

    title: str
    rows: tuple[Row, ...]

    @property
    def marks(self) -> list[Mark]:
        """The marks of all rows."""
        return [mark for row in self.rows for mark in row.marks]

    @property
    def reason(self) -> str:
        """The reason why no measure has a probability, if it is the same for all."""
        reasons = {row.words for row in self.rows if row.measure}
        return reasons.pop() if len(reasons) == 1 else ""


def panels(
    study: Study, summaries: Mapping[str, pd.DataFrame], *, one_per_scale: bool = False
) -> list[Panel]:
    """Return a panel per pair and co-treatment, from summaries alone.

    Parameters
    ----------
    study : Study
        The study.
    summaries : mapping of pandas.DataFrame
        Summaries by interpretation.
    one_per_scale : bool
        Whether the rows are the first measure of each scale, instead of all measures under headings.

    Returns
    -------
    list of Panel
    """
    side = study.outcome.synergy_on
    tables = {
        interpretation: table[(table.estimator == POSTERIOR) & (table.judged_on == side)]
        for interpretation, table in summaries.items()
    }
    places = [
        (pair, regimen)
        for pair, sides in study.judged_pairs.items()
        for regimen in map(study.label, study.co_treatments(sides))
    ]
    return [
        Panel(
            labels.pair_name(study, pair)
            + f", {labels.co_treatment(study, regimen)}" * (len(places) > 1),
            tuple(_rows({k: _at(t, pair, regimen) for k, t in tables.items()}, one_per_scale)),
        )
        for pair, regimen in places
    ]


def _at(table: pd.DataFrame, pair: str, regimen: str) -> pd.DataFrame:
    """Return the rows of a pair with a co-treatment, by measure."""
    place, rows = pd.Series(named_co_treatment(regimen)), table[table.pair == pair]
    # Under a structured model one ratio of odds ratios holds with every co-treatment.
    is_here = (rows[place.index] == place).all(axis=1) | (rows.co_treatment == ANY)
    return rows[is_here].drop_duplicates("measure").set_index("measure")


def _rows(tables: Mapping[str, pd.DataFrame], one_per_scale: bool) -> Iterator[Row]:
    for family in sorted(families().values(), key=lambda family: not family.is_synergy):
        measures = [measure for measure in MEASURES.values() if measure.family == family]
        if one_per_scale:
            measures = measures[:1] if family.is_synergy else []
        else:
            yield Row(family.name, words="" if family.is_synergy else NOT_EVIDENCE)
        for measure in measures:
            name = family.name if one_per_scale else measure.words
            rows = {interpretation: t.loc[measure.name] for interpretation, t in tables.items()}
            marks = tuple(
                Mark(row.probability, row.prior_probability, row.status == NOT_IDENTIFIED, key)
                for key, row in rows.items()
                if not pd.isna(row.probability)
            )
            first = next(iter(rows.values()))
            words = "" if marks else str(Status(first.status, first.reason))
            yield Row(f"{name} ({measure.name})", measure.name, marks, words)


def most_informative(every: Sequence[Panel], most: int) -> list[Panel]:
    """Return at most so many panels, in their order: those with most, and identified, probabilities.

    Parameters
    ----------
    every
        All panels.
    most
        Largest number of panels.

    Returns
    -------
    list of Panel
    """
    candidates = [panel for panel in every if not panel.reason]
    best = sorted(candidates, key=lambda panel: sum(m.is_unidentified - 2 for m in panel.marks))
    return [panel for panel in candidates if panel in best[:most]]


def notes(study: Study, every: Sequence[Panel], shown: Sequence[Panel]) -> list[str]:
    """Return the notes below the panels: side of the outcome, omitted panels, missing probabilities.

    Parameters
    ----------
    study
        The study.
    every
        All panels.
    shown
        Panels that are drawn.

    Returns
    -------
    list of str
        Lines above the legend.
    """
    without = [panel for panel in every if panel.reason]
    lines = [labels.judged_note(study)]
    if omitted := len(every) - len(without) - len(shown):
        lines.append(f"{omitted} more pairs and co-treatments are in summary.csv")
    lines += [
        labels.fold(f"{panel.title}: {panel.reason}", labels.LINE) for panel in without[:LISTED]
    ]
    if len(without) > LISTED:
        lines.append(f"{len(without) - LISTED} more pairs and co-treatments have no probability")
    words = [row.words for panel in shown for row in panel.rows]
    explained = labels.key(study, [*lines, *words, *(panel.title for panel in shown)])
    return list(filter(None, [*lines, explained]))


def draw_axis(axes: Axes) -> None:
    """Set the axis of probabilities, with a line at one half.

    Parameters
    ----------
    axes
        Axes to draw on.
    """
    style.probability_axis(axes, zorder=ZONES)
    axes.axvline(0.5, color=style.GREY, lw=0.5, ls=":", zorder=0)


def draw_mark(
    axes: Axes, at: float, mark: Mark, color: str, marker: str, prior: str = style.GREY
) -> None:
    """Draw the prior probability open and the posterior one filled, half-filled where not identified.

    Parameters
    ----------
    axes
        Axes to draw on.
    at
        Place of the row, counted from the top.
    mark
        Prior and posterior probability.
    color
        Colour of the posterior.
    marker
        Shape of the mark.
    prior
        Colour of the prior.
    """
    ends = [mark.prior_probability, mark.probability]
    axes.plot(ends, [at, at], color=prior, lw=0.6, zorder=1)
    faces: list[dict[str, Any]] = [
        {"color": prior, "mfc": "white"},
        _look(color, mark.is_unidentified),
    ]
    for value, face in zip(ends, faces, strict=True):
        # Above the zones only inside one: a zone covers the edge of a mark that is not conclusive.
        is_conclusive = not 1 - CONCLUSIVE < value < CONCLUSIVE
        level = ZONES + 1 if is_conclusive else ZONES - 1
        axes.plot(value, at, marker=marker, zorder=level, **POINT, **face)


def write_words(axes: Axes, at: float, row: Row) -> None:
    """Write the words of a row in its middle.

    Parameters
    ----------
    axes
        Axes to draw on.
    at
        Place of the row, counted from the top.
    row
        Row of a measure.
    """
    if row.words:
        words = shorten(row.words, WORDS_WIDTH, placeholder=" …")
        style.write_aside(axes, 0.5, at, words, ha="center", zorder=ZONES + 0.5)


def handles(panels: Sequence[Panel], color: str) -> list[Artist]:
    """Return the legend of the marks and of the shaded zones.

    Parameters
    ----------
    panels
        Panels that are drawn.
    color
        Colour of the posterior.

    Returns
    -------
    list of Artist
    """
    marks = [mark for panel in panels for mark in panel.marks]
    prior = Line2D([], [], color=style.GREY, marker="o", mfc="white", label="prior", **POINT)
    posterior = posterior_handles(
        (mark.is_unidentified for mark in marks),
        lambda is_unidentified: {"marker": "o", **POINT, **_look(color, is_unidentified)},
    )
    return [*[prior] * bool(marks), *posterior, style.conclusive_patch()]


def posterior_handles(
    are_unidentified: Iterable[bool], look: Callable[[bool], dict[str, Any]]
) -> list[Line2D]:
    """Return the legend of posteriors, of those that are not identified apart, as far as both are shown.

    Parameters
    ----------
    are_unidentified : iterable of bool
        For each posterior drawn, whether it is not identified.
    look : callable
        Returns the properties of the line of posteriors that are, or are not, identified.

    Returns
    -------
    list of Line2D
    """
    names = {False: "posterior", True: f"posterior, {NOT_IDENTIFIED}"}
    return [Line2D([], [], label=names[kind], **look(kind)) for kind in sorted({*are_unidentified})]


def _look(color: str, is_unidentified: bool) -> dict[str, Any]:
    return {"color": color, **(style.HALF if is_unidentified else {})}
