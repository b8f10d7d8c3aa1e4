"""The page: the contents of a study's folder, in the order in which a reader asks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.audit.overlap import percent
from cotreat.core.constants import INCOMPATIBLE_BELOW
from cotreat.estimands.estimand import RISK
from cotreat.evidence.reported_predictive import Prediction
from cotreat.inference.engines import ENGINES
from cotreat.plots import STUDY, figures
from cotreat.plots.registry import DIAGNOSTICS
from cotreat.report import templates
from cotreat.report.conclusion import Assessment, assessments, by_pair
from cotreat.report.folder import Fit, Results
from cotreat.report.four_cells import FOLDER as FOUR_CELLS
from cotreat.report.glossary import mark
from cotreat.report.images import Embedded, embed
from cotreat.report.lines import (
    four_lines,
    sensitivity_notes,
    sensitivity_table,
    verdict,
    verdict_table,
)
from cotreat.report.methods import methods
from cotreat.report.tables import Table, table, typeset
from cotreat.report.wording import between
from cotreat.results import store
from cotreat.results.headline import (
    ESTIMAND,
    IDENTIFICATION,
    JUDGED_ON,
    OVERLAP,
    headline,
    judged,
    numbers,
    prior_share,
)
from cotreat.results.monte_carlo import share
from cotreat.results.supplementary import ANALYSES, Analysis, Section
from cotreat.study_file.reader import packaged

PLACES = ("estimates", "risks", "synergy", DIAGNOSTICS)
"""Sections that show figures of the primary fit; a figure of no such section is a diagnostic."""

COVERED = {"measure", "contrast", "pair", "co_treatment", "stratum"}
"""Columns whose content is part of the label of an estimand; after the first they are in the file alone."""

PROVENANCE = [
    *("model", "priors", "interpretation", "engine", "chains", "draws", "tune", "seed", "created")
]
"""Columns of the table of settings."""

NO_PATH = "STUDY.toml"
"""Stands for a study file whose path is not known."""

INTERVAL = "estimate (95% interval)"
LARGEST_SHIFT = "largest shift by a prior (posterior SDs)"


def render(results: Results) -> str:
    """Write a study's page.

    Parameters
    ----------
    results
        The study's folder.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    conclusion = {"verdict": verdict(results.conclusion), "lines": four_lines(results.conclusion)}
    body = templates.render("body.html.jinja", **conclusion, **_facts(results))
    marked, terms = mark(typeset(body))
    return templates.render(
        "page.html.jinja",
        title=results.lead.info["title"],
        source=results.lead.info["source"],
        style=templates.read("style.css"),
        body=marked,
        terms=sorted(terms, key=lambda term: term.name.lower()),
        **conclusion,
    )


def _facts(results: Results) -> dict[str, Any]:
    """Collect what the page shows, by the names that its template has for it."""
    lead, place = results.lead, results.folder
    shown: dict[str, list[Embedded]] = {section: [] for section in PLACES}
    for one in lead.figures.values():
        shown.get(one.section, shown[DIAGNOSTICS]).append(embed(lead.folder, one))
    return {
        "results": results,
        "lead": lead,
        "question": lead.question,
        "sensitivity_notes": sensitivity_notes(results.conclusion),
        "methods": methods(results),
        "tables": _tables(results),
        "figures": shown,
        "study_figures": [
            embed(place, one) for one in figures(STUDY).values() if (place / one.file).exists()
        ],
        "others": [_other(fit, results) for fit in results.fits[1:]],
        "analyses": {name: _analysis(results, name) for name in ANALYSES},
        "titles": ANALYSES,
        "four_cells": _analysis(results, FOUR_CELLS),
        **_rerun(lead.info),
        "INCOMPATIBLE_BELOW": INCOMPATIBLE_BELOW,
    }


# --- Tables of the primary analysis ---------------------------------------------------------------------


def _tables(results: Results) -> dict[str, Table]:
    """Make the tables of the primary analysis by name."""
    lead, study = results.lead, results.folder.name
    summary, settings = lead.summary, [fit.info for fit in results.fits]
    identified = lead.tables[store.IDENTIFICATION_TABLE].rename(columns={"status": IDENTIFICATION})
    captions = {
        "sensitivity": (
            "Sensitivity of the conclusion to interpretation, model and priors",
            sensitivity_table(results.conclusion),
        ),
        "verdicts": ("Verdict by pair and scale", verdict_table(results.conclusion)),
        "counts": ("Patients and events by regimen", lead.tables[store.CELLS]),
        "reported": ("Reported estimates", _reported(lead)),
        "identification": ("What the evidence identifies", identified),
        "interpretations": ("Interpretations of the reported estimates", _interpretations(results)),
        "headline": ("Main estimates", _main(lead)),
        "risks": ("Risk by regimen", _risks(summary)),
        "synergy": ("All measures of synergy", _measures(summary)),
        "caveats": (
            "Caveats of the primary analysis",
            pd.DataFrame([asdict(one) for one in lead.caveats]),
        ),
        "fits": ("All fits", _fits(results)),
        "checks": ("Diagnostic checks of the primary analysis", lead.tables[store.CHECKS]),
        "priors": ("Priors of the primary analysis", pd.DataFrame(lead.info["prior_rows"])),
        "provenance": ("Settings of each fit", pd.DataFrame(settings, columns=PROVENANCE)),
    }
    if store.SHIFTS in lead.tables:
        caption = "Shift of the posterior mean that each prior causes, in posterior SDs"
        captions["shifts"] = caption, _shifts(lead.tables[store.SHIFTS], headline(summary))
    if store.OVERLAP in lead.tables:
        overlap, shares = lead.tables[store.OVERLAP], ("share", "rare", "chance", "lowest")
        overlap = overlap.assign(**{name: overlap[name].map(percent) for name in shares})
        captions["overlap"] = "Overlap of regimens", overlap
        captions["balance"] = "Covariates by regimen", _balance(lead.tables[store.BALANCE])
    return {
        name: table(data, caption, f"{study}-{name}.csv", lead.failed)
        for name, (caption, data) in captions.items()
        if len(data)
    }


def _main(fit: Fit) -> pd.DataFrame:
    """Make the table of main estimates, with the prior that moves each of them most."""
    shown = headline(fit.summary)
    if store.SHIFTS not in fit.tables:
        return shown
    keys = [name for name in (ESTIMAND, JUDGED_ON) if name in shown]
    shifts = fit.tables[store.SHIFTS].rename(columns={"label": ESTIMAND, "judged_on": JUDGED_ON})
    by_prior = shifts.drop(columns=[ESTIMAND, JUDGED_ON])
    shifts[LARGEST_SHIFT] = [_largest_shift(row) for _, row in by_prior.iterrows()]
    largest = shifts.drop_duplicates(keys)[[*keys, LARGEST_SHIFT]]
    shown = shown.merge(largest, on=keys, how="left").fillna({LARGEST_SHIFT: ""})
    shown.insert(shown.columns.get_loc(OVERLAP), LARGEST_SHIFT, shown.pop(LARGEST_SHIFT))
    return shown


def _largest_shift(by_prior: pd.Series) -> str:
    """Write the largest shift of an estimate, in posterior SDs, and what its prior is about."""
    known = by_prior.dropna().abs()
    return f"{by_prior[known.idxmax()]:+.2f} ({known.idxmax()})" if len(known) else ""


def _reported(fit: Fit) -> pd.DataFrame:
    """Make the table of reported estimates, without columns that repeat what they are about."""
    rows = fit.tables[store.REPORTED]
    return rows.drop(columns=["measure", "contrast", "pair"])


def _risks(summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary.measure == RISK) & summary.estimate.notna()]
    return _with_interval(rows)[["label", "estimator", "status", INTERVAL, "interval"]]


def _measures(summary: pd.DataFrame) -> pd.DataFrame:
    rows = _with_interval(judged(summary))
    shown = rows[
        ["label", "judged_on", "status", INTERVAL, "overlap", "data_share", "posterior_contraction"]
    ]
    probabilities = map(share, rows.probability, rows.mcse_probability)
    shown.insert(4, "P(synergy)", list(probabilities))
    shown.insert(5, "prior P(synergy)", rows.prior_probability.map(prior_share))
    return shown


def _with_interval(rows: pd.DataFrame) -> pd.DataFrame:
    """Write estimates with their intervals in one column."""
    return rows.assign(**{INTERVAL: [numbers(row) for row in rows.itertuples()]})


def _shifts(table: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Write the shifts of the main estimates with their sign."""
    rows = table[table.label.isin(shown[ESTIMAND])].rename(columns={"label": ESTIMAND})
    numbers = rows.columns.drop([ESTIMAND, "judged_on"])
    words = {name: [f"{v:+.2f}" if pd.notna(v) else "" for v in rows[name]] for name in numbers}
    return rows.drop(columns="judged_on").assign(**words).drop_duplicates(ESTIMAND)


def _balance(long: pd.DataFrame) -> pd.DataFrame:
    """Make a table of covariates by regimen."""
    both = [f"{row.mean:.3g} ({row.difference:+.2f})" for row in long.itertuples()]
    wide = long.assign(both=both).pivot(index="covariate", columns="regimen", values="both")
    wide = wide.loc[long.covariate.unique(), long.regimen.unique()].reset_index()
    pairs = long.loc[long.groupby("covariate", sort=False).largest_pairwise.idxmax()]
    wide["largest between two"] = [
        f"{row.largest_pairwise:.2f} ({row.pairwise_between})" for row in pairs.itertuples()
    ]
    return wide


# --- All fits --------------------------------------------------------------------


def _fits(results: Results) -> pd.DataFrame:
    """Make a table of all fits with their P(synergy); empty where there is only one."""
    if len(results.fits) < 2:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "model": fit.info["model"],
                "interpretation": fit.info["interpretation"],
                "priors": fit.info["priors"],
                "diagnostics": "failed" if fit.failed else "passed",
                "other reported estimates": "incompatible" if fit.incompatibility else "",
                "P(synergy)": "; ".join(
                    _in_short(fit, own) for own in by_pair(assessments(fit.summary))
                )
                or "none: no interaction in the model",
            }
            for fit in results.fits
        ]
    )


def _in_short(fit: Fit, own: list[Assessment]) -> str:
    """Write the range of P(synergy) of a pair over its scales, and its verdict."""
    name = fit.question.place(*own[0].place)
    verdicts = {one.verdict.short for one in own}
    found = verdicts.pop() if len(verdicts) == 1 else "depends on the scale"
    return f"{name} {between(one.probability for one in own)}, {found}"


def _interpretations(results: Results) -> pd.DataFrame:
    """Make a table of the interpretations; empty where there is only one."""
    compared = [fit for fit in results.fits if fit.info["conflict"]]
    if len(compared) < 2:
        return pd.DataFrame()
    return pd.DataFrame([_interpretation(fit, compared) for fit in compared])


def _interpretation(fit: Fit, compared: Sequence[Fit]) -> dict[str, Any]:
    conflict = fit.info["conflict"]
    predictions = [Prediction(**fields) for fields in conflict["predictions"]]
    tail = conflict.get("tail")
    return {
        "interpretation": fit.info["interpretation"],
        "model": fit.info["model"],
        "meaning of the reported words": fit.info["words"],
        "engine": fit.info["engine"],
        "adds": ", ".join(one.reported_estimate for one in predictions) or "nothing",
        "joint tail": "" if tail is None else share(tail),
        "compatibility": fit.heading or ("" if tail is None else "compatible"),
        "Bayes factor": _bayes_factor(fit, compared),
        "predicted from the common numbers": "; ".join(
            f"{p.reported_estimate} reported {p.as_reported}, predicted {p.expected}, tail {p.tail:.3f}"
            for p in predictions
        ),
    }


def _bayes_factor(fit: Fit, compared: Sequence[Fit]) -> str:
    """Compare with the first interpretation that predicts the same numbers under the same model; empty for that."""
    own = fit.info["conflict"]
    same = [
        one
        for one in compared
        if one.choice[1:] == fit.choice[1:]
        and set(one.info["conflict"].get("numbers", ())) == set(own.get("numbers", ()))
    ]
    first = same[0]
    logs = own["log_evidence"], first.info["conflict"]["log_evidence"]
    if first is fit or None in logs:
        return ""
    return f"{np.exp(logs[0] - logs[1]):.2g} against {first.info['interpretation']}"


def _other(fit: Fit, results: Results) -> dict[str, Any]:
    """Collect what is shown of a fit that is not the primary analysis: what that one does not show already."""
    name, shown = f"{results.folder.name}-{fit.name}", results.lead.caveats
    return {
        "fit": fit,
        "caveats": [one for one in fit.caveats if one not in shown],
        "headline": table(
            headline(fit.summary), f"Main estimates of {fit.name}", f"{name}.csv", fit.failed
        ),
    }


# --- Supplementary analyses ------------------------------------------------------------------------


def _analysis(results: Results, name: str) -> dict[str, Any] | None:
    """Return a supplementary analysis as the page shows it; None where it was not made."""
    about = results.analyses.get(name)
    if about is None:
        return None
    folder = results.folder / name
    shown = {section.table for section in about.sections}
    return {
        "about": about,
        "other_base": results.other_base(name),
        "folder": name,
        "sections": [_section(results, about, folder, section) for section in about.sections],
        "linked": sorted(path.name for path in folder.glob("*.csv") if path.name not in shown),
    }


def _section(results: Results, about: Analysis, folder: Path, section: Section) -> dict[str, Any]:
    shown, words = None, list(section.words)
    if section.table:
        data = store.read_table(folder / section.table)
        if "label" in data:
            data = data.drop(columns=list(COVERED & {*data.columns[1:]}))
        shown = table(
            data,
            f"{about.title}: {section.heading}",
            f"{results.folder.name}-{folder.name}-{section.table}",
            saved=(folder / section.table).read_bytes(),
        )
        for name, heading in shown.renamed.items():  # worst_k is headed worst k
            words = [re.sub(rf"(?<![\w.]){name}(?!\w|\.\w)", heading, line) for line in words]
    return {
        "heading": section.heading,
        "words": words,
        "table": shown,
        "figure": embed(folder, section.figure) if section.figure else None,
    }


# --- Reproducibility ----------------------------------------------------------------------------


def _rerun(info: dict[str, Any]) -> dict[str, str]:
    """Return the command that repeats an analysis, the study in it, and the study file that it needs.

    The study is the path it was read from, or its name if packaged.
    """
    path, name, needed = info.get("file"), info["study"], ""
    if path or name not in packaged():
        where = f"read from {path}" if path else "whose path is not known"
        needed = f"It needs the study file of {name}, {where}; its digest must be the one below."
    file = shlex.quote(path or (NO_PATH if needed else name))
    options = ("model", "interpretation", "priors", "engine", "draws", "chains", "seed")
    words = [
        f"--{option} {info[option]}"
        for option in options
        if option != "engine" or info["engine"] in ENGINES
    ]
    return {"rerun": " ".join(["cotreat reanalyse", file, *words]), "file": file, "needed": needed}
