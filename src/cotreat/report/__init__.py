"""The report: one page from the folders of a study, which also names what was not made."""

from pathlib import Path
from typing import NamedTuple

from cotreat.models.registry import rank
from cotreat.report.conclusion import Conclusion
from cotreat.report.folder import Fit, ReportError, Results, read_results
from cotreat.report.page import render
from cotreat.results import store
from cotreat.study.study import Study

__all__ = ["REPORT", "Report", "ReportError", "write_report"]

REPORT = "report.html"


class Report(NamedTuple):
    """A report that has been written.

    Attributes
    ----------
    page : Path
        One file that needs no other.
    failed : list of str
        The failed diagnostics it warns of.
    conclusion : Conclusion
        That of the primary analysis, which stands on top.
    """

    page: Path
    failed: list[str]
    conclusion: Conclusion


def write_report(folder: str | Path, study: Study | None = None) -> Report:
    """Write ``report.html`` into a study's folder from what is in it.

    Parameters
    ----------
    folder
        ``results/STUDY``, or one fit's folder inside it.
    study
        The study, if it is at hand, for the figures that compare its interpretations.

    Raises
    ------
    ReportError
        If there is no fit, or something that cannot be read.
    """
    place = Path(folder)
    if (place / store.INFO).exists():
        place = place.parent
    results = read_results(place)
    if study is not None:
        _draw_readings(results, study)
    store.write_text(place / REPORT, render(results))
    return Report(place / REPORT, results.failed, results.conclusion)


def _draw_readings(results: Results, study: Study) -> None:
    """Draw the comparison of interpretations under the primary model."""
    from cotreat.plots.interpretations import draw_readings

    models = [fit.info["model"] for fit in results.fits]
    compared = sorted({m for m in models if models.count(m) > 1}, key=rank)
    if len(study.readings) < 2 or not compared:
        return
    own: dict[str, Fit] = {
        fit.info["reading"]: fit
        for fit in results.fits
        if fit.info["model"] == compared[0] and fit.info["priors"] == results.lead.info["priors"]
    }
    order = [reading.id for reading in study.readings if reading.id in own]
    headings = {r: (own[r].info["conflict"] or {}).get("heading", "") for r in order}
    draw_readings(
        results.folder,
        study,
        {r: own[r].summary for r in order},
        failed=[line for r in order for line in own[r].failed],
        notes={r: heading for r, heading in headings.items() if heading},
    )
