"""The page: what a study's folder holds, arranged in the order in which a reader asks."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from cotreat.answer import AGAINST, FOR, Finding, findings
from cotreat.audit.overlap import percent
from cotreat.core.constants import CONTRADICTED
from cotreat.headline import headline, judged, share
from cotreat.inference.engines import ENGINES
from cotreat.plots import STUDY_FIGURES
from cotreat.report.folder import Fit, Results
from cotreat.report.glossary import mark
from cotreat.report.pictures import Embedded, embed
from cotreat.report.tables import Table, table
from cotreat.report.typeset import typeset
from cotreat.results import store
from cotreat.results.old_columns import name_of, old_columns
from cotreat.results.supplementary import BIAS, COMPARISON, PARTS, SENSITIVITY, Part, Section
from cotreat.sensitivity.interpretations import Prediction
from cotreat.study_file import packaged

PLACES = {
    "printed": ("comparison", "parts", "claims"),
    "risks": ("risks", "sizes"),
    "synergy": ("synergy",),
}
"""Where figures of the leading fit stand; all others are diagnostics."""

CONTENTS = (
    ("answer", "Question and answer"),
    ("evidence", "The evidence"),
    ("estimates", "Estimates"),
    ("risks", "Risks by regimen"),
    ("synergy", "Synergy"),
    ("depends", "What it depends on"),
    ("diagnostics", "Diagnostics"),
    ("four-cells", "Four-cell tables"),
    ("priors", "Priors"),
    ("checklists", "Checklists"),
    ("rerun", "How to do it again"),
    ("words", "Words explained"),
)
"""Sections of the page, and how they are called beside it."""

NO_PATH = "STUDY.toml"
"""Stands for a study file whose path is not known."""

SHOWN = ["estimand", "background", "scale", "availability", "estimate", "lower", "upper"]
JUDGED = ["probability", "prior_probability", "contraction"]


@dataclass(frozen=True)
class Shown:
    """A section of a part with its table and figure in the page's form."""

    heading: str
    words: tuple[str, ...]
    table: Table | None
    figure: Embedded | None


def render(results: Results) -> str:
    """Write a study's page."""
    environment = _environment()
    body = environment.get_template("body.html.jinja").render(_shown(results))
    marked, terms = mark(typeset(body))
    style = resources.files("cotreat.report").joinpath("style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.jinja").render(
        title=results.lead.info["title"],
        source=results.lead.info["source"],
        answer=results.answer,
        contents=CONTENTS,
        style=style,
        body=marked,
        terms=sorted(terms, key=lambda term: term.name.lower()),
    )


def _shown(results: Results) -> dict[str, Any]:
    """Collect what the page shows, by the names that its template has for it."""
    lead, place = results.lead, results.folder
    pictures = [p for p in STUDY_FIGURES.values() if (place / p.file).exists()]
    return {
        "results": results,
        "lead": lead,
        "question": lead.question,
        "answer": results.answer,
        "failed": results.failed,
        "tables": _tables(results),
        "readings": _readings(results),
        "figures": {name: _figures(lead, names) for name, names in _placed(lead).items()},
        "study_figures": [embed(place, picture) for picture in pictures],
        "others": [_other(fit, results) for fit in results.fits[1:]],
        "parts": {name: _part(results, name) for name in PARTS},
        "part_names": {COMPARISON: "Models", SENSITIVITY: "Priors and choices", BIAS: "Bias"},
        "four_cells": _four_cells(results),
        "rerun": _rerun(results),
        "file": _file(results),
        "needed": _needed(results),
        "CONTRADICTED": CONTRADICTED,
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cotreat.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = lambda text: text if text.endswith(".") else f"{text}."
    return environment


# --- Figures ---------------------------------------------------------------------------------------


def _placed(fit: Fit) -> dict[str, list[str]]:
    """Return the names of a fit's figures by the part of the page in which they stand."""
    taken = {name for names in PLACES.values() for name in names}
    places = {place: [n for n in names if n in fit.figures] for place, names in PLACES.items()}
    return {**places, "diagnostics": [name for name in fit.figures if name not in taken]}


def _figures(fit: Fit, names: list[str] | tuple[str, ...]) -> list[Embedded]:
    return [embed(fit.folder, fit.figures[name]) for name in names if name in fit.figures]


# --- Tables of the leading fit ---------------------------------------------------------------------


def _tables(results: Results) -> dict[str, Table]:
    """Make the tables of the leading fit by name."""
    lead, study = results.lead, results.folder.name
    summary = old_columns(lead.summary).drop(columns=["model", "priors", "reading", "study"])
    captions = {
        "cells": ("Patients and events by regimen", lead.tables[store.CELLS]),
        "claims": ("Numbers in print", lead.tables[store.PRINTED]),
        "availability": ("What the evidence determines", lead.tables[store.AVAILABILITY]),
        "overlap": ("Who gets which regimen", _overlap(lead)),
        "balance": ("Covariates by regimen", _balance(lead)),
        "headline": ("Chief estimates", headline(lead.summary)),
        "risks": ("Risk of each regimen", _risks(summary)),
        "synergy": ("Every measure of synergy", _measures(lead.summary)),
        "fits": ("Every fit", _fits(results)),
        "checks": ("Checks of the leading fit", lead.tables[store.CHECKS]),
        "priors": ("Priors of the leading fit", pd.DataFrame(lead.info["prior_rows"])),
        "provenance": ("How each fit was made", _provenance(results)),
    }
    return {
        name: table(data, caption, f"{study}-{name}.csv", lead.failed)
        for name, (caption, data) in captions.items()
        if len(data)
    }


def _risks(summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[summary.estimand.map(name_of) == "risk"]
    rows = rows[rows.estimate.notna()]
    return rows[["estimand", "estimator", "availability", "estimate", "lower", "upper", "interval"]]


def _measures(summary: pd.DataFrame) -> pd.DataFrame:
    rows = judged(summary)
    return rows[[*SHOWN, *JUDGED]]


def _overlap(fit: Fit) -> pd.DataFrame:
    """Make a table of who gets what; empty where there is none."""
    if store.OVERLAP not in fit.tables:
        return pd.DataFrame()
    regimens = fit.tables[store.OVERLAP]
    shares = {name: regimens[name].map(percent) for name in ("share", "rare", "chance", "lowest")}
    return regimens.assign(**shares)


def _balance(fit: Fit) -> pd.DataFrame:
    """Make a table of covariates by regimen; empty where there is none."""
    if store.BALANCE not in fit.tables:
        return pd.DataFrame()
    long = fit.tables[store.BALANCE]
    both = [f"{row.mean:.4g} ({row.difference:+.2f})" for row in long.itertuples()]
    wide = long.assign(both=both).pivot(index="covariate", columns="regimen", values="both")
    wide = wide.loc[long.covariate.unique(), long.regimen.unique()].reset_index()
    wide = wide.rename_axis(columns=None)
    largest = long.groupby("covariate").largest_pairwise.idxmax()
    pairs = long.loc[largest[long.covariate.unique()]]
    wide["largest between two"] = [
        f"{row.largest_pairwise:.2f} ({row.pairwise_between})" for row in pairs.itertuples()
    ]
    return wide


# --- The fits beside each other --------------------------------------------------------------------


def _fits(results: Results) -> pd.DataFrame:
    """Make a table of all fits, with what each says of synergy; empty where there is but one."""
    if len(results.fits) < 2:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "model": fit.info["model"],
                "reading": fit.info["reading"],
                "priors": fit.info["priors"],
                "checks": "failed" if fit.failed else "passed",
                "against other numbers": "contradicted" if fit.contradiction else "",
                "probability of synergy": "; ".join(
                    _in_short(fit, finding) for finding in findings(fit.summary)
                )
                or "has none: no interaction in the model",
            }
            for fit in results.fits
        ]
    )


def _in_short(fit: Fit, finding: Finding) -> str:
    values = finding.probability.values()
    lower, upper = share(min(values)), share(max(values))
    span = lower if lower == upper else f"{lower} to {upper}"
    name = fit.question.pair(finding.pair) + fit.question.where(finding.background)
    kind = "" if finding.kind not in (FOR, AGAINST) else f", {finding.kind}"
    return f"{name} {span}{kind} ({finding.availability})"


def _readings(results: Results) -> Table | None:
    """Make a table of the readings beside each other; None where there is but one."""
    rows = []
    for fit in results.fits:
        conflict = fit.info["conflict"]
        if conflict is None:
            continue
        rows.append(
            {
                "reading": fit.info["reading"],
                "model": fit.info["model"],
                "what the words are taken to mean": fit.info["words"],
                "engine": fit.info["engine"],
                "log evidence": conflict["log_evidence"],
                "against the default": conflict["difference"],
                "verdict": conflict["heading"] or _mild(conflict["difference"]),
                "as the default reading predicts them": "; ".join(
                    f"{p.claim} printed {p.printed}, predicted {p.expected}, tail {p.tail:.3f}"
                    for p in (Prediction(**told) for told in conflict["predictions"])
                ),
            }
        )
    if len(rows) < 2:
        return None
    name = f"{results.folder.name}-readings.csv"
    return table(pd.DataFrame(rows), "Readings beside each other", name, results.lead.failed)


def _mild(difference: float | None) -> str:
    """Say what is to be said of a reading that is not contradicted."""
    if difference is None:
        return "not compared: the default reading was not run"
    return "the default reading" if difference == 0 else f"not {CONTRADICTED:g} units below"


def _other(fit: Fit, results: Results) -> dict[str, Any]:
    """Collect what is shown of a fit that is not the leading one: what that one does not say already."""
    name, said = f"{results.folder.name}-{fit.name}", results.lead.info["remarks"]
    return {
        "fit": fit,
        "remarks": [line for line in fit.info["remarks"] if line not in said],
        "headline": table(
            headline(fit.summary), f"Chief estimates of {fit.name}", f"{name}.csv", fit.failed
        ),
        "linked": list(fit.figures.values()),
    }


# --- Parts, four cells -----------------------------------------------------------------------------


def _part(results: Results, name: str) -> dict[str, Any] | None:
    """Bring a part into the page's form; None where it was not made."""
    part = results.parts.get(name)
    if part is None:
        return None
    folder = results.folder / name
    shown = {section.table for section in part.sections}
    return {
        "about": part,
        "other_base": results.other_base(name),
        "settings": {key: _setting(value) for key, value in part.settings.items() if value != []},
        "folder": name,
        "sections": [_section(results, part, folder, section) for section in part.sections],
        "linked": sorted(path.name for path in folder.glob("*.csv") if path.name not in shown),
    }


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _section(results: Results, part: Part, folder: Path, section: Section) -> Shown:
    shown = None
    if section.table:
        shown = table(
            store.read_table(folder / section.table),
            f"{part.title}: {section.heading}",
            f"{results.folder.name}-{folder.name}-{section.table}",
            saved=(folder / section.table).read_bytes(),
        )
    figure = embed(folder, section.figure) if section.figure else None
    words = tuple(_as_headed(line, shown) for line in section.words)
    return Shown(section.heading, words, shown, figure)


def _as_headed(line: str, shown: Table | None) -> str:
    """Call columns in a line as the table below it does: worst_k is headed worst k."""
    for name, words in shown.renamed.items() if shown else ():
        line = re.sub(rf"(?<![\w.]){name}(?!\w|\.\w)", words, line)
    return line


def _four_cells(results: Results) -> list[tuple[Any, Table]]:
    study = results.folder.name
    return [
        (
            one,
            table(
                one.table,
                f"Four cells of {one.pair}",
                f"{study}-four-cells-{at}.csv",
                results.lead.failed,
            ),
        )
        for at, one in enumerate(results.supplement.four_cells, start=1)
    ]


# --- How to do it again ----------------------------------------------------------------------------


def _provenance(results: Results) -> pd.DataFrame:
    keys = ("model", "priors", "reading", "engine", "chains", "draws", "tune", "seed", "created")
    return pd.DataFrame([{key: fit.info[key] for key in keys} for fit in results.fits])


def _file(results: Results) -> str:
    """Return what to call the study in a command: the path it was read from, or its name if packaged."""
    info = results.lead.info
    path = info.get("file") or (info["study"] if info["study"] in packaged() else NO_PATH)
    return shlex.quote(path)


def _needed(results: Results) -> str:
    """Say which study file the command needs; empty where it is packaged."""
    info = results.lead.info
    if not info.get("file") and info["study"] in packaged():
        return ""
    where = f", read from {info['file']}" if info.get("file") else ", whose path is not known"
    return f"It needs the study file of {info['study']}{where}; its digest must be the one below."


def _rerun(results: Results) -> str:
    """Return the command that makes the leading fit again."""
    info = results.lead.info
    words = ["cotreat reanalyse", _file(results), f"--model {info['model']}"]
    words += [f"--reading {info['reading']}", f"--priors {info['priors']}"]
    words += [f"--engine {info['engine']}"] if info["engine"] in ENGINES else []
    words += [f"--draws {info['draws']}", f"--chains {info['chains']}", f"--seed {info['seed']}"]
    return " ".join(words)
