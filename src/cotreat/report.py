"""The report: a page that arranges what the folders of a study hold and says what does not exist."""

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from cotreat import store
from cotreat.catalogue import described, rank
from cotreat.headline import headline
from cotreat.names import CONTRADICTED
from cotreat.overlap import percent
from cotreat.plots import FIGURES, STUDY_FIGURES
from cotreat.study import Study

REPORT = "report.html"


class ReportError(ValueError):
    """A folder that holds nothing to report."""


def write_report(folder: str | Path, study: Study | None = None) -> tuple[Path, list[str]]:
    """Write ``report.html`` into a study's folder from the fits in it.

    Parameters
    ----------
    folder
        ``results/STUDY``, or one fit's folder inside it.
    study
        The study, if it is at hand, for the figures that compare its readings.

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
            rank(fit["info"]["model"]),
            _place(fit["info"]),
        ),
    )
    if study is not None:
        _draw_readings(place, study, fits)
    failed = [f"{fit['name']}: {line}" for fit in fits for line in fit["info"]["failed_checks"]]
    template = resources.files("cotreat").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(
        study=newest["study"],
        title=newest["title"],
        audit=fits[0]["info"]["audit"],  # sorted so that the default reading comes first
        fits=fits,
        failed=failed,
        readings=_readings(fits),
        pictures=[figure for figure in STUDY_FIGURES.values() if (place / figure.file).exists()],
        **_overlap(place / fits[0]["name"]),
        outdated=sorted(fit["name"] for fit in found if fit not in fits),
    )
    store.write_text(place / REPORT, page)
    return place / REPORT, failed


def _overlap(folder: Path) -> dict[str, str]:
    """Make tables of who gets what and of covariates by regimen; empty where there are none."""
    if not (folder / store.OVERLAP).exists():
        return {"overlap": "", "balance": ""}
    regimens = store.read_table(folder / store.OVERLAP)
    shares = {name: regimens[name].map(percent) for name in ("share", "rare", "chance", "lowest")}
    long = store.read_table(folder / store.BALANCE)
    both = [f"{row.mean:.4g} ({row.difference:+.2f})" for row in long.itertuples()]
    wide = long.assign(both=both).pivot(index="covariate", columns="regimen", values="both")
    wide = wide.loc[long.covariate.unique(), long.regimen.unique()].reset_index()
    wide = wide.rename_axis(columns=None)
    largest = long.groupby("covariate").largest_pairwise.idxmax()
    pairs = long.loc[largest[long.covariate.unique()]]
    wide["largest between two"] = [
        f"{row.largest_pairwise:.2f} ({row.pairwise_between})" for row in pairs.itertuples()
    ]
    return {"overlap": _table(regimens.assign(**shares)), "balance": _table(wide)}


def _place(info: dict[str, Any]) -> float:
    """Sort readings by their log evidence, the default first."""
    conflict = info.get("conflict")
    if conflict is None:
        return 0.0
    return -np.inf if not conflict["predictions"] else -conflict["log_evidence"]


def _draw_readings(place: Path, study: Study, fits: list[dict[str, Any]]) -> None:
    """Draw what compares the readings of the leading model."""
    from cotreat.plots.readings import draw_readings

    models = [fit["info"]["model"] for fit in fits]
    compared = sorted({m for m in models if models.count(m) > 1}, key=rank)
    if len(study.readings) < 2 or not compared:
        return
    own = {
        fit["info"]["reading"]: store.read_table(place / fit["name"] / store.SUMMARY)
        for fit in fits
        if fit["info"]["model"] == compared[0]
        and fit["info"]["priors"] == fits[0]["info"]["priors"]
    }
    order = [reading.id for reading in study.readings if reading.id in own]
    of_model = [fit["info"] for fit in fits if fit["info"]["model"] == compared[0]]
    notes = {
        info["reading"]: info["conflict"]["heading"]
        for info in of_model
        if info["conflict"] and info["conflict"]["heading"]
    }
    failed = [line for info in of_model for line in info["failed_checks"]]
    draw_readings(place, study, {r: own[r] for r in order}, failed=failed, notes=notes)


def _readings(fits: list[dict[str, Any]]) -> str:
    """Make a table of the readings beside each other; empty where there is but one."""
    rows = []
    for fit in fits:
        info = fit["info"]
        conflict = info.get("conflict")
        if conflict is None:
            continue
        rows.append(
            {
                "model": info["model"],
                "reading": info["reading"],
                "what the words are taken to mean": info["words"],
                "engine": info["engine"],
                "log evidence": conflict["log_evidence"],
                "against the default": conflict["difference"],
                "verdict": conflict["heading"] or _mild(conflict["difference"]),
                "as the default reading predicts them": "; ".join(
                    f"{p['claim']} printed {p['printed']}, predicted {p['median']:.2g} "
                    f"({p['lower']:.2g} to {p['upper']:.2g}), tail {p['tail']:.3f}"
                    for p in conflict["predictions"]
                ),
            }
        )
    return _table(pd.DataFrame(rows)) if len(rows) > 1 else ""


def _mild(difference: float | None) -> str:
    """Say what is to be said of a reading that is not contradicted."""
    if difference is None:
        return "not compared: the default reading was not run"
    return "the default reading" if difference == 0 else f"not {CONTRADICTED:g} units below"


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
        "model": described(info["model"]),
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
