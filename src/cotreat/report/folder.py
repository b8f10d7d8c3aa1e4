"""What a study's folder of results holds, read for the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.errors import ModelError
from cotreat.estimands.estimand import RISK, WORDS
from cotreat.models.registry import Model, described, rank
from cotreat.plots import FIT, RegisteredFigure, figures
from cotreat.priors.belief_grid import DEFAULTS, WEAK, beliefs_of, grid_name
from cotreat.report.caveats import Caveat
from cotreat.report.conclusion import (
    KINDS,
    Alternative,
    Choice,
    Conclusion,
    Reported,
    alternatives_of,
    beliefs_of_grid,
    conclude,
)
from cotreat.report.four_cells import FOLDER as FOUR_CELLS
from cotreat.report.question import Question
from cotreat.results import store
from cotreat.results.supplementary import (
    ABOUT,
    ANALYSES,
    MULTIVERSE,
    SENSITIVITY,
    Analysis,
    AnalysisError,
    read_analysis,
)

GRID = "grid.csv"
"""Table of the sensitivity part with every belief of the grid, which the conclusion reads too."""


class ReportError(ValueError):
    """A folder that holds nothing to report."""


@dataclass(frozen=True)
class Fit:
    """One fit's folder.

    Attributes
    ----------
    tables : dict
        The other tables in it by the names of their files.
    """

    folder: Path
    info: dict[str, Any]
    summary: pd.DataFrame
    tables: dict[str, pd.DataFrame]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def choice(self) -> Choice:
        """Its interpretation, model and priors."""
        return self.info["interpretation"], self.info["model"], self.info["priors"]

    @cached_property
    def model(self) -> Model:
        """Its model."""
        return described(self.info["model"])

    @property
    def question(self) -> Question:
        """The question of its study."""
        return Question.from_json(self.info["question"])

    @property
    def failed(self) -> list[str]:
        """Its failed checks."""
        return self.info["failed_checks"]

    @property
    def caveats(self) -> list[Caveat]:
        """Its caveats, the most serious first."""
        return [Caveat(**fields) for fields in self.info["caveats"]]

    @property
    def heading(self) -> str:
        """That other reported estimates are incompatible with its interpretation; empty if not."""
        return (self.info["conflict"] or {"heading": ""})["heading"]

    @property
    def incompatibility(self) -> str:
        """`heading` with the reason; empty if compatible."""
        words = self.info["conflict_words"].replace(f"; {self.heading}", "")
        return f"{self.heading}: {words}" if self.heading else ""

    @cached_property
    def figures(self) -> dict[str, RegisteredFigure]:
        """The figures in its folder by name, in the order of the registry."""
        return {n: f for n, f in figures(FIT).items() if (self.folder / f.file).exists()}


@dataclass(frozen=True)
class Results:
    """Everything of a study that is from the same evidence as its newest fit.

    Attributes
    ----------
    fits : tuple of Fit
        That of the primary analysis first.
    analyses : dict
        Supplementary analyses and four-cell tables, by the names of their folders.
    outdated : tuple of str
        Folders left out, because they are from other evidence.
    """

    folder: Path
    fits: tuple[Fit, ...]
    analyses: dict[str, Analysis]
    outdated: tuple[str, ...]

    @property
    def lead(self) -> Fit:
        """The fit of the primary analysis."""
        return self.fits[0]

    @property
    def failed(self) -> list[str]:
        """Failed diagnostics of all fits."""
        return [f"{fit.name}: {line}" for fit in self.fits for line in fit.failed]

    @cached_property
    def conclusion(self) -> Conclusion:
        """The conclusion of the primary analysis, with its sensitivity to the other fits and the multiverse."""
        lead = self.lead
        return conclude(
            lead.question,
            lead.summary,
            reported=_reported(lead),
            failed=lead.failed,
            cautions=lead.info["cautions"],
            incompatibility=lead.incompatibility,
            incompatible=self.incompatible,
            alternatives=self._alternatives(),
        )

    @property
    def incompatible(self) -> list[str]:
        """Interpretations incompatible with the other reported estimates, under the primary model."""
        own = [fit for fit in self.fits if fit.choice[1] == self.lead.choice[1]]
        return [fit.choice[0] for fit in own if fit.incompatibility]

    def other_base(self, name: str) -> str:
        """Name what an analysis was made of, where that is not the primary analysis; otherwise empty.

        Parameters
        ----------
        name
            Folder of the analysis.

        Returns
        -------
        str
        """
        own = dict(zip(KINDS, self.lead.choice, strict=True))
        made = {kind: self.analyses[name].settings.get(kind, own[kind]) for kind in KINDS}
        return " and ".join(f"the {kind} {made[kind]}" for kind in KINDS if made[kind] != own[kind])

    def table(self, name: str, file: str) -> pd.DataFrame | None:
        """Return a table of an analysis; None where it is missing, or of another analysis than the primary one.

        Parameters
        ----------
        name, file
            Folder of the analysis, and name of the CSV file.

        Returns
        -------
        pandas.DataFrame or None
        """
        path = self.folder / name / file
        if name not in self.analyses or self.other_base(name) or not path.exists():
            return None
        return store.read_summary(path)

    def _alternatives(self) -> list[Alternative]:
        """Return every other choice once: from its fit, from the multiverse, or from the grid of beliefs."""
        found = [Alternative(f.choice, f.summary, bool(f.failed)) for f in self.fits]
        if (multiverse := self.table(SENSITIVITY, MULTIVERSE)) is not None:
            found += alternatives_of(multiverse)
        if (grid := self.table(SENSITIVITY, GRID)) is not None:
            found += beliefs_of_grid(grid, *self.lead.choice[:2])
        distinct: dict[Choice, Alternative] = {}
        for one in found:
            distinct.setdefault(_same(one.choice), one)
        return list(distinct.values())


def _reported(fit: Fit) -> list[Reported]:
    """List the numbers of the paper: estimates that are evidence, counts, other estimates, totals."""
    cells, estimates = fit.tables[store.CELLS], fit.tables[store.REPORTED]
    counted = cells[cells.events.notna()]
    # The table of counts also lists totals of several regimens.
    regimens = fit.summary[fit.summary.measure == RISK].contrast
    is_arm, is_used = counted.regimen.isin(regimens), estimates.use == "evidence"
    return [
        *_estimates(estimates[is_used]),
        *_counts(counted[is_arm]),
        *_estimates(estimates[~is_used]),
        *_counts(counted[~is_arm]),
    ]


def _estimates(rows: pd.DataFrame) -> Iterator[Reported]:
    for row in store.with_texts(rows, ("measure", "contrast", "about")).itertuples():
        yield Reported(WORDS.get(row.measure, row.measure), row.contrast or row.about, row.reported)


def _counts(rows: pd.DataFrame) -> Iterator[Reported]:
    for row in rows.itertuples():
        # A total of several regimens must not read as the count of the regimen of that name.
        subject = row.regimen.replace(" (reported total)", " (total)")
        yield Reported("events", subject, f"{row.events} of {row.patients}")


def _same(choice: Choice) -> Choice:
    """Return a choice with the one name of its priors of those that mean the same."""
    interpretation, model, priors = choice
    if priors in DEFAULTS:
        return choice
    try:
        return interpretation, model, grid_name(*beliefs_of(priors))
    except ModelError:  # a set of somebody's own
        return choice


def read_results(place: Path) -> Results:
    """Read a study's folder.

    Parameters
    ----------
    place
        ``results/STUDY``.

    Returns
    -------
    Results

    Raises
    ------
    ReportError
        If there is no fit, or one that cannot be read.
    """
    folders = {path.parent: _info(path.parent) for path in place.glob(f"[!.]*/{store.INFO}")}
    if not folders:
        raise ReportError(
            f"{place} holds no fit; give a study's folder, such as results/isis2, that "
            "cotreat reanalyse has written"
        )
    newest = max(folders, key=lambda folder: folders[folder]["created"])
    digest = folders[newest]["study_digest"]
    own = [folder for folder in folders if folders[folder]["study_digest"] == digest]
    found = (_fit(folder, folders[folder], is_newest=folder == newest) for folder in own)
    fits = sorted(filter(None, found), key=_order)
    made = [name for name in (*ANALYSES, FOUR_CELLS) if (place / name / ABOUT).exists()]
    try:
        every = {name: read_analysis(place / name) for name in made}
    except AnalysisError as error:
        raise ReportError(str(error)) from None
    analyses = {name: one for name, one in every.items() if one.study_digest == digest}
    outdated = {*(folder.name for folder in folders), *every} - {fit.name for fit in fits}
    return Results(place, tuple(fits), analyses, tuple(sorted(outdated - set(analyses))))


def _order(fit: Fit) -> tuple[bool, str, int, float]:
    """Sort by priors, model, and joint tail of the interpretation; the default of each first."""
    interpretation, model, priors = fit.choice
    conflict = fit.info["conflict"] or {}
    # An earlier version did not write which one is the default; under that, nothing was predicted.
    known = fit.info.get("default_interpretation")
    is_default = interpretation == known if known else not conflict.get("predictions")
    tail = conflict.get("tail") or 0.0
    is_other_priors = priors != fit.info.get("default_priors", WEAK)
    return is_other_priors, priors, rank(model), -np.inf if is_default else -tail


def _info(folder: Path) -> dict[str, Any]:
    try:
        info = store.read_info(folder)
        info["created"], info["study_digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from None
    return info


def _fit(folder: Path, info: dict[str, Any], *, is_newest: bool) -> Fit | None:
    """Read a fit; None for one that an older version has written, unless it is the newest."""
    try:
        names = [store.CHECKS, store.CELLS, store.REPORTED, store.IDENTIFICATION_TABLE]
        names += [
            name
            for name in (store.OVERLAP, store.BALANCE, store.SHIFTS)
            if (folder / name).exists()
        ]
        tables = {name: store.read_table(folder / name) for name in names}
        fit = Fit(folder, info, store.read_summary(folder / store.SUMMARY), tables)
        fit.question, fit.model, fit.failed, fit.caveats, fit.incompatibility  # noqa: B018 - what is missing is found here
    except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
        if is_newest:
            raise _unreadable(folder, error) from None
        return None
    return fit


def _unreadable(folder: Path, error: Exception) -> ReportError:
    return ReportError(f"the fit in {folder} cannot be read ({error}); make it again")
