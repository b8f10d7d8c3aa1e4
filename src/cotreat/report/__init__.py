"""The report: one page from the folders of a study, which also names what was not made."""

from pathlib import Path
from typing import NamedTuple

from cotreat.models.registry import rank
from cotreat.plots import STUDY, draw
from cotreat.plots.records import Interpretations
from cotreat.report.conclusion import Conclusion
from cotreat.report.folder import ReportError, Results, read_results
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
        The study, if it is available, for its own figures.

    Returns
    -------
    Report
        The page, failed diagnostics and the conclusion.

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
        _draw_study(results, study)
    store.write_text(place / REPORT, render(results))
    return Report(place / REPORT, results.failed, results.conclusion)


def _draw_study(results: Results, study: Study) -> None:
    """Draw the figures of a study from the fits of one model and one prior set, by interpretation."""
    _, lead, priors = results.lead.choice
    models = [fit.model.name for fit in results.fits]
    model = min((name for name in models if models.count(name) > 1), key=rank, default=lead)
    own = {fit.choice[0]: fit for fit in results.fits if fit.choice[1:] == (model, priors)}
    order = [one.id for one in study.interpretations if one.id in own]
    if order:
        notes = {name: own[name].heading for name in order if own[name].heading}
        record = Interpretations(study, {name: own[name].summary for name in order}, notes)
        draw(STUDY, record, results.folder, [line for name in order for line in own[name].failed])
