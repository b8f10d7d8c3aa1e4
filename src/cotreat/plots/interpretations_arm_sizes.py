"""Figure of a study: arm sizes under each interpretation."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import CREDIBLE
from cotreat.estimands.estimand import SIZE
from cotreat.plots.interpretations import NAME_WIDTH, PAD, Tables, looks, reading_handles
from cotreat.plots.interval_rows import Line, band_handle, draw_band, read_lines, read_prior
from cotreat.plots.labels import fold, key, regimen_name
from cotreat.plots.records import Interpretations
from cotreat.plots.registry import STUDY, figure_of
from cotreat.results.summary import rows_of
from cotreat.study.study import Study


@dataclass(frozen=True)
class Arm:
    """The size of an arm under each interpretation, with their common prior."""

    name: str
    prior: Line
    sizes: dict[str, Line]


def arms(study: Study, summaries: Tables) -> list[Arm]:
    """Return the arms whose sizes are not reported, from the summaries alone."""
    found = []
    for label in study.present:
        own = {interpretation: rows_of(t, SIZE, label) for interpretation, t in summaries.items()}
        sizes = {
            interpretation: read_lines(rows)[0] for interpretation, rows in own.items() if len(rows)
        }
        priors = [read_prior(rows) for rows in own.values() if len(rows)]
        if priors and priors[0] is not None:
            found.append(Arm(regimen_name(study, label), priors[0], sizes))
    return found


@figure_of(
    STUDY,
    order=2,
    caption="An interpretation needs unusual arm sizes where its bars leave the middle of the prior "
    "band. Bars are 95% equal-tailed credible intervals with the posterior median, per "
    "interpretation (colour and shape); the band is the 95% prior interval, the same under "
    "every interpretation. These sizes are not reported.",
    alt="Horizontal intervals on an axis of patients, one group per regimen, with one bar and "
    "mark per interpretation, distinguished by colour and marker, in front of a pale prior "
    "band.",
)
def interpretations_arm_sizes(record: Interpretations) -> Figure | None:
    """Draw arm sizes by interpretation; None where there is one interpretation, or all sizes are known."""
    study, summaries, notes = record.study, record.summaries, record.notes
    if len(study.interpretations) < 2:
        return None
    every, look = arms(study, summaries), looks(study)
    if not every:
        return None
    step = PAD + 0.13 * len(summaries)
    figure = Figure(figsize=(7, 1.2 + step * len(every)), layout="constrained")
    axes = figure.add_subplot()
    for at, arm in enumerate(every):
        draw_band(axes, at, arm.prior.lower, arm.prior.upper)
        for interpretation, line in arm.sizes.items():
            offset = (
                0.13 / step * (list(summaries).index(interpretation) - (len(summaries) - 1) / 2)
            )
            _draw_size(axes, at + offset, line, *look[interpretation])
    axes.set_yticks(range(len(every)), [fold(arm.name, NAME_WIDTH) for arm in every])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(every) - 0.45, -0.55)
    axes.set_xlim(left=0)
    axes.set_xlabel("patients" if study.totals else "share of the patients")
    handles = [*reading_handles(list(summaries), look, notes), band_handle()]
    title = [
        key(study, [arm.name for arm in every]),
        f"median and {CREDIBLE} interval by interpretation",
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, title="\n".join(filter(None, title))
    )
    return figure


def _draw_size(axes: Axes, at: float, line: Line, color: str, marker: str) -> None:
    axes.plot([line.lower, line.upper], [at, at], color=color, lw=1.4, solid_capstyle="butt")
    axes.plot(line.estimate, at, marker, color=color, ms=4)
