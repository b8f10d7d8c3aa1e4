"""The four cells of each pair against one reference, with the effects within strata and the interaction.

Laid out after Knol & VanderWeele (Int J Epidemiol 2012;41:514), read from a summary: risks and ratios of the four
cells against one of them, the effect of each treatment within strata of the other, and measures of interaction on
the additive and the multiplicative scale, with intervals. They take the cell with the lowest risk as reference;
here it is the one with neither, so that numbers of several pairs and outcomes read alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import ANY, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.estimands.enumerate import four_cells
from cotreat.estimands.estimand import DIFFERENCE, ODDS_RATIO, RATIO, RISK
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES
from cotreat.results.summary import POSTERIOR
from cotreat.study.regimens import NONE, contrast
from cotreat.study.study import Study

ADDITIVE = ("ic", "reri_rr", "reri_or")
MULTIPLICATIVE = ("rrr", "ror")
MARK = " †"
"""Behind a number that is not identified."""
REFERENCE = "1 (reference)"
COLUMNS = (
    "part",
    "quantity",
    "of",
    "n",
    "events",
    "estimate",
    "lower",
    "upper",
    "probability",
    "status",
    "reason",
)
CELL, EFFECT, INTERACTION = "cell", "effect within a stratum", "interaction"


@dataclass(frozen=True)
class FourCells:
    """One pair on one background.

    Attributes
    ----------
    first, second : str
        Names of the two parts.
    background : str
        Label of the other treatments, ``none`` for none.
    rows : pandas.DataFrame
        One row for each number: ``part`` (`CELL`, `EFFECT` or `INTERACTION`), ``quantity``, ``of`` (a regimen, or one
        against another), ``n`` and ``events`` where counted, ``estimate``, ``lower``, ``upper``, ``probability``,
        ``status``, ``reason``; all of the event.
    has_risks : bool
        Whether risks are identified; in a case-control study only odds ratios are.
    ratio : str
        `RATIO`, or `ODDS_RATIO` where odds ratios are what the evidence is about: in print, or in a case-control study.
    cells : tuple of str
        Regimens with neither, the first, the second, both.
    """

    pair: str
    first: str
    second: str
    background: str
    rows: pd.DataFrame
    has_risks: bool
    ratio: str
    cells: tuple[str, str, str, str]

    @property
    def is_extrapolated(self) -> bool:
        """Whether any number needs model and prior."""
        return bool((self.rows.status == NOT_IDENTIFIED).any())

    def arranged(self) -> pd.DataFrame:
        """Arrange the numbers as in print: a row for each stratum of the second treatment.

        Numbers with `MARK` behind them are not identified.
        """
        none, one, other, both = self.cells
        ratio, words = self.ratio, {RATIO: "risk ratio", ODDS_RATIO: "odds ratio"}[self.ratio]
        strata = {f"without {self.second}": (none, one), f"with {self.second}": (other, both)}
        rows = []
        for name, (without, with_) in strata.items():
            row = {"stratum": name}
            for head, arm in ((f"without {self.first}", without), (f"with {self.first}", with_)):
                if self.is_counted:
                    row[f"events/n {head}"] = self._counts(arm)
                if self.has_risks:
                    row[f"risk {head}"] = self._text(CELL, RISK, arm)
                row[f"{words} {head}"] = (
                    REFERENCE if arm == none else self._text(CELL, ratio, contrast(arm, none))
                )
            against = contrast(with_, without)
            row[f"effect of {self.first}: {words}"] = self._text(EFFECT, ratio, against)
            if self.has_risks:
                row[f"effect of {self.first}: risk difference"] = self._text(
                    EFFECT, DIFFERENCE, against
                )
            rows.append(row)
        rows.append(self._of_second(ratio, words, f"{words} {{}}"))
        if self.has_risks:
            rows.append(self._of_second(DIFFERENCE, "risk difference", "risk {}"))
        return pd.DataFrame(rows).fillna("")

    def _of_second(self, quantity: str, words: str, column: str) -> dict[str, str]:
        """Make the row of the second treatment's effect, without and with the first."""
        none, one, other, both = self.cells
        row = {"stratum": f"effect of {self.second}: {words}"}
        for head, against in (("without", contrast(other, none)), ("with", contrast(both, one))):
            row[column.format(f"{head} {self.first}")] = self._text(EFFECT, quantity, against)
        return row

    @property
    def is_counted(self) -> bool:
        """Whether events were counted in any of the cells."""
        return bool(self.rows.n.notna().any())

    def _counts(self, arm: str) -> str:
        own = self.rows[
            (self.rows.part == CELL) & (self.rows.quantity == RISK) & (self.rows.of == arm)
        ]
        row = own.iloc[0]
        return "" if pd.isna(row.n) else f"{int(row.events)}/{int(row.n)}"

    @property
    def lowest(self) -> str:
        """The cell with the lowest risk, or odds, by their medians; empty where not all have any."""
        against = self.rows[(self.rows.part == CELL) & (self.rows.quantity == ODDS_RATIO)]
        if against.estimate.isna().any():
            return ""
        ratios = [1.0, *against.estimate]  # of the first against itself
        return self.cells[ratios.index(min(ratios))]

    def in_words(self) -> tuple[str, str]:
        """Say the measures of interaction on the additive and on the multiplicative scale."""
        measures = self.rows[self.rows.part == INTERACTION].set_index("quantity")
        said = []
        for scale, names in (("additive", ADDITIVE), ("multiplicative", MULTIPLICATIVE)):
            own = [n for n in names if n in measures.index]
            told = "; ".join(f"{MEASURES[n].words} {_text(measures.loc[n])}" for n in own)
            said.append(f"Interaction on the {scale} scale: {told}.")
        return said[0], said[1]

    def _text(self, part: str, quantity: str, of: str) -> str:
        rows = self.rows[
            (self.rows.part == part) & (self.rows.quantity == quantity) & (self.rows.of == of)
        ]
        return _text(rows.iloc[0]) if len(rows) else ""


def _text(row: Any) -> str:
    if row.status == NOT_ESTIMABLE:
        return str(Status(row.status, row.reason))
    if pd.isna(row.estimate):
        return "not shown"
    words = f"{row.estimate:.3g}"
    if not pd.isna(row.lower):
        words += f" ({row.lower:.3g} to {row.upper:.3g})"
    return words + (MARK if row.status == NOT_IDENTIFIED else "")


def tables(study: Study, summary: pd.DataFrame) -> list[FourCells]:
    """Make the table of each pair on the empty background, and on each where all four cells have patients.

    Parameters
    ----------
    study
        If its regimens are told by levels or subgroups, there are no tables: pairs are many then, and
        not all four cells are compared.
    summary
        What `cotreat.results.summary.summarise` returns.
    """
    if study.stratification:
        return []
    posterior = summary[(summary.estimator == POSTERIOR) & (summary.judged_on == "event")]
    names = {treatment.id: treatment.name for treatment in study.treatments}
    found = []
    for pair, parts in study.judged_pairs.items():
        for others in study.co_treatments(parts):
            cells = four_cells(study, parts, others)
            background = study.label(others)
            if background != NONE and not set(cells) <= set(study.present):
                continue
            rows = pd.DataFrame(_rows(study, posterior, pair, cells, background))
            first, second = (names.get(part, part) for part in parts)
            found.append(
                FourCells(
                    pair,
                    first,
                    second,
                    background,
                    rows,
                    not study.is_case_control,
                    ratio_of(study),
                    cells,
                )
            )
    return found


def ratio_of(study: Study) -> str:
    """Return which ratio is shown: of odds, where these are what the evidence is about."""
    return ODDS_RATIO if study.is_case_control or study.has_uncounted else RATIO


def adjusted_for(study: Study) -> str:
    """Say what the numbers of a study are adjusted for."""
    if study.cells is not None and study.is_adjusted:
        names = [one.name for one in study.cells.covariates]
        names += ["clusters"] if study.cells.clusters else []
        return f"Adjusted for {', '.join(names)}."
    if any(reported_estimate.adjusted for reported_estimate in study.reported_estimates):
        return "What the printed numbers are adjusted for is not printed."
    return "Adjusted for nothing."


def _rows(
    study: Study,
    posterior: pd.DataFrame,
    pair: str,
    cells: tuple[str, str, str, str],
    background: str,
) -> Iterator[dict[str, Any]]:
    none, one, other, both = cells
    counts = {
        arm: (int(n), int(events))
        for arm, n, events in zip(study.counted, study.n, study.events, strict=True)
    }
    plain = posterior[posterior.threshold.isna() & (posterior.pair.fillna("") == "")]
    known = plain.drop_duplicates(["measure", "contrast"]).set_index(["measure", "contrast"])
    quantities = (ODDS_RATIO,) if study.is_case_control else (ODDS_RATIO, RATIO, DIFFERENCE)

    def row(part: str, quantity: str, of: str) -> dict[str, Any]:
        own = known.loc[(quantity, of)]
        n, events = counts.get(of, (None, None))
        return {
            "part": part,
            "quantity": quantity,
            "of": of,
            "n": n,
            "events": events,
            **_told(own),
        }

    for arm in cells:
        yield row(CELL, RISK, arm)
    for arm in (one, other, both):
        for quantity in quantities:
            yield row(CELL, quantity, contrast(arm, none))
    for with_, without in ((one, none), (both, other), (other, none), (both, one)):
        for quantity in quantities:
            yield row(EFFECT, quantity, contrast(with_, without))
    for measure in (*ADDITIVE, *MULTIPLICATIVE):
        if study.is_case_control and MEASURES[measure].needs_risks:
            continue
        own = posterior[(posterior.measure == measure) & (posterior.pair == pair)]
        own = own[own.co_treatment.isin([background, ANY])]
        yield {
            "part": INTERACTION,
            "quantity": measure,
            "of": pair,
            "n": None,
            "events": None,
            **_told(own.iloc[0]),
        }


def _told(row: Any) -> dict[str, Any]:
    return {
        name: row[name]
        for name in ("estimate", "lower", "upper", "probability", "status", "reason")
    }


def long_table(found: list[FourCells]) -> pd.DataFrame:
    """Put the rows of several tables together, with pair and co-treatment."""
    if not found:
        return pd.DataFrame(columns=["pair", "co_treatment", *COLUMNS])
    parts = [one.rows.assign(pair=one.pair, co_treatment=one.background) for one in found]
    table = pd.concat(parts, ignore_index=True)
    first = ["pair", "co_treatment"]
    return table[[*first, *(name for name in table if name not in first)]]
