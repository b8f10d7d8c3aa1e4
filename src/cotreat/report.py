"""The report: a page that arranges what the folders of a study hold and says what does not exist."""

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from cotreat import store
from cotreat.catalogue import MODELS
from cotreat.headline import headline
from cotreat.plots import FIGURES

REPORT = "report.html"


class ReportError(ValueError):
    """A folder that holds nothing to report."""


def write_report(folder: str | Path) -> tuple[Path, list[str]]:
    """Write ``report.html`` into a study's folder from the fits in it.

    Parameters
    ----------
    folder
        ``results/STUDY``, or one fit's folder inside it.

    Returns
    -------
    Path
        The page.
    list of str
        The failed diagnostics it warns of.

    Raises
    ------
    ReportError
        If there is no fit.
    """
    place = Path(folder)
    if (place / store.INFO).exists():
        place = place.parent
    found = [_fit(path.parent) for path in sorted(place.glob(f"[!.]*/{store.INFO}"))]
    if not found:
        raise ReportError(
            f"{folder} holds no fit; give a study's folder, such as results/isis2, that "
            "cotreat reanalyse has written"
        )
    newest = max(found, key=lambda fit: fit["info"]["created"])["info"]
    fits = sorted(
        (fit for fit in found if fit["info"]["study_digest"] == newest["study_digest"]),
        key=lambda fit: (
            fit["info"]["priors"] != "weak",
            fit["info"]["priors"],
            list(MODELS).index(fit["info"]["model"]),
        ),
    )
    failed = [f"{fit['name']}: {line}" for fit in fits for line in fit["info"]["failed_checks"]]
    template = resources.files("cotreat").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(
        study=newest["study"],
        title=newest["title"],
        audit=newest["audit"],
        fits=fits,
        failed=failed,
        outdated=sorted(fit["name"] for fit in found if fit not in fits),
    )
    store.write_text(place / REPORT, page)
    return place / REPORT, failed


def _fit(folder: Path) -> dict[str, Any]:
    """Read what the report shows of one fit."""
    try:
        return _parts(folder, store.read_info(folder))
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ReportError(f"the fit in {folder} cannot be read ({error}); make it again") from None


def _parts(folder: Path, info: dict[str, Any]) -> dict[str, Any]:
    summary = store.read_table(folder / store.SUMMARY)
    return {
        "name": folder.name,
        "info": info,
        "model": MODELS[info["model"]],
        "figures": [figure for figure in FIGURES.values() if (folder / figure.file).exists()],
        "headline": _table(headline(summary)),
        "summary": _table(summary.drop(columns=["model", "priors", "reading", "study"])),
        "checks": _table(store.read_table(folder / store.CHECKS)),
        "priors": _table(pd.DataFrame(info["prior_rows"])),
    }


def _table(table: pd.DataFrame) -> str:
    """Write a table as HTML; pandas escapes its cells."""
    shown = table.astype(object).where(table.notna(), "")
    return shown.to_html(index=False, border=0, float_format="{:.4g}".format)
