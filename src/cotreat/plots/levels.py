"""Figure of a fit: odds ratios of treatments per level or subgroup, posterior and usual estimates."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.estimands.estimand import spoken_background
from cotreat.evidence import contrasts, reported
from cotreat.plots.interval_rows import Row, read_lines, read_prior
from cotreat.plots.labels import event, regimen_name, subject
from cotreat.plots.odds_ratios import forest
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.study.study import Study


@figure_of(
    FIT,
    section="estimates",
    order=2,
    caption="The posterior shares information between the rows of one treatment; the usual estimates "
    "use each row alone. Each row is the odds ratio of a treatment against no such treatment, "
    "at one level or in one subgroup; posterior odds ratios are monotone across levels and "
    "partially pooled across subgroups. Intervals cover 95%.",
    alt="Forest plot on a logarithmic axis with a vertical line at 1, a heading per treatment, "
    "and one row per level or subgroup. A circle with a thick bar is the posterior; other "
    "marks with thin bars are the usual estimates.",
)
def levels(view: View) -> Figure | None:
    """Draw a row per level or subgroup of each treatment; None without levels and subgroups."""
    if view.study.divides is None:
        return None
    return forest(view, rows_to_draw(view), f"odds ratio: {event(view.study)}")


def rows_to_draw(view: View) -> list[Row]:
    """Return a heading per treatment and a row per level or subgroup."""
    numbers = reported.reported_estimates(view.study)
    rows: list[Row] = []
    for treatment in view.study.treatment_ids if view.study.groups else view.study.levels:
        own = (
            _told(treatment, view.study)
            if numbers is None
            else _printed(treatment, view.study, numbers)
        )
        rows += _rows(view, own)
    return rows


def _told(treatment: str, study: Study) -> dict[str, str]:
    """Return the label of the odds ratio of each level or subgroup by name; the first is the heading."""
    background = spoken_background(study, treatment)
    heading = f"{subject(study, treatment)} vs none"
    if background:
        other = regimen_name(study, study.label(background))
        heading = f"{subject(study, treatment)} + {other} vs {other}"
    found = {heading: ""}
    for group in study.groups or ("",):
        own = background | ({group} if group else set())
        without = study.label(frozenset(own))
        for part in study.parts_of(treatment):
            plain = study.label(background | {part})
            name = _named(study, group or part)
            found[name] = f"odds_ratio[{plain} vs {without}]"
    return found


def _printed(treatment: str, study: Study, numbers: reported.ReportedEstimates) -> dict[str, str]:
    """Return the label of the reported odds ratio of each level or subgroup by name."""
    found = {f"{subject(study, treatment)} vs none": ""}
    for (owner, part), meaning in numbers.of_parts.items():
        if owner == treatment:
            found[_named(study, part)] = contrasts.label(meaning)
    return found


def _named(study: Study, part: str) -> str:
    assert study.divides is not None  # noqa: S101 - for the type checker
    return study.divides.names[part]


def _rows(view: View, own: dict[str, str]) -> Iterator[Row]:
    for name, label in own.items():
        rows = view.summary[view.summary.estimand == label]
        if not label:
            yield Row(name, is_heading=True)
        elif len(rows):
            lines = read_lines(rows)
            is_extrapolated = any(line.is_extrapolated for line in lines if line.is_posterior)
            yield Row(name, lines, prior=read_prior(rows) if is_extrapolated else None)
