"""Make the four-cell table of each pair: risks, ratios, effects within strata, and interaction.

After Knol & VanderWeele (Int J Epidemiol 2012;41:514), computed from a summary: risks and ratios of the four cells
against one of them, the effect of each treatment within strata of the other, and measures of interaction on the
additive and the multiplicative scale, with intervals. They take the cell with the lowest risk as reference; here it
is the cell with neither treatment, so that tables of several pairs and outcomes have one layout.
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
"""Suffix of a number that is not identified."""
REFERENCE = "1 (reference)"
NUMBERS = ("estimate", "lower", "upper", "probability", "status", "reason")
"""Columns taken from the summary."""
COLUMNS = ("part", "quantity", "of", "n", "events", *NUMBERS)
CELL, EFFECT, INTERACTION = "cell", "effect within a stratum", "interaction"


@dataclass(frozen=True)
class FourCells:
    """The four-cell table of one pair with one co-treatment.

    Attributes
    ----------
    first, second : str
        Names of the two treatments.
    co_treatment : str
        Label of the other treatments, ``none`` for none.
    rows : pandas.DataFrame
        One row for each number of the event, with the columns `COLUMNS`: ``part`` (`CELL`, `EFFECT` or
        `INTERACTION`), ``quantity``, ``of`` (a regimen, or one against another), ``n`` and ``events`` where counted.
    has_risks : bool
        Whether risks are identified; in a case-control study only odds ratios are.
    ratio : str
        `RATIO`, or `ODDS_RATIO` with reported estimates and in a case-control study.
    cells : tuple of str
        Regimens with neither, the first, the second, both.
    """

    pair: str
    first: str
    second: str
    co_treatment: str
    rows: pd.DataFrame
    has_risks: bool
    ratio: str
    cells: tuple[str, str, str, str]

    @property
    def has_unidentified(self) -> bool:
        """Whether any number depends on model and prior."""
        return bool((self.rows.status == NOT_IDENTIFIED).any())

    def arranged(self) -> pd.DataFrame:
        """Arrange the numbers as published: one row for each stratum of the second treatment.

        Numbers that are not identified carry `MARK`.

        Returns
        -------
        pandas.DataFrame
            All cells text.
        """
        none, one, other, both = self.cells
        words = {RATIO: "risk ratio", ODDS_RATIO: "odds ratio"}[self.ratio]
        rows = [
            self._stratum(f"without {self.second}", none, one, words),
            self._stratum(f"with {self.second}", other, both, words),
            self._of_second(self.ratio, words, f"{words} {{}}"),
        ]
        if self.has_risks:
            rows.append(self._of_second(DIFFERENCE, "risk difference", "risk {}"))
        return pd.DataFrame(rows).fillna("")

    def _stratum(self, name: str, without: str, with_: str, words: str) -> dict[str, str]:
        """Return the row of a stratum of the second treatment, without and with the first."""
        none, row = self.cells[0], {"stratum": name}
        for head, arm in ((f"without {self.first}", without), (f"with {self.first}", with_)):
            if self.rows.n.notna().any():
                row[f"events/n {head}"] = self._counts(arm)
            if self.has_risks:
                row[f"risk {head}"] = self._text(RISK, arm)
            ratio = self._text(self.ratio, contrast(arm, none))
            row[f"{words} {head}"] = REFERENCE if arm == none else ratio
        against, effect = contrast(with_, without), f"effect of {self.first}"
        row[f"{effect}: {words}"] = self._text(self.ratio, against)
        if self.has_risks:
            row[f"{effect}: risk difference"] = self._text(DIFFERENCE, against)
        return row

    def _of_second(self, quantity: str, words: str, column: str) -> dict[str, str]:
        """Return the row of the second treatment's effect, without and with the first."""
        none, one, other, both = self.cells
        row = {"stratum": f"effect of {self.second}: {words}"}
        for head, against in (("without", contrast(other, none)), ("with", contrast(both, one))):
            row[column.format(f"{head} {self.first}")] = self._text(quantity, against)
        return row

    @property
    def lowest(self) -> str:
        """The cell with the lowest median risk, or odds; empty where a cell has none."""
        against = self.rows[(self.rows.part == CELL) & (self.rows.quantity == ODDS_RATIO)]
        if against.estimate.isna().any():
            return ""
        ratios = [1.0, *against.estimate]  # the first is the reference
        return self.cells[ratios.index(min(ratios))]

    def in_words(self) -> tuple[str, str]:
        """Return the measures of interaction on the additive and on the multiplicative scale as sentences.

        Returns
        -------
        tuple of str
            The sentence of the additive and that of the multiplicative scale.
        """

        def sentence(scale: str, names: tuple[str, ...]) -> str:
            measures = self.rows[self.rows.quantity.isin(names)].itertuples()
            numbers = "; ".join(f"{MEASURES[row.quantity].words} {_text(row)}" for row in measures)
            return f"Interaction on the {scale} scale: {numbers}."

        return sentence("additive", ADDITIVE), sentence("multiplicative", MULTIPLICATIVE)

    def _rows_of(self, quantity: str, of: str) -> pd.DataFrame:
        return self.rows[(self.rows.quantity == quantity) & (self.rows.of == of)]

    def _counts(self, arm: str) -> str:
        row = self._rows_of(RISK, arm).iloc[0]
        return "" if pd.isna(row.n) else f"{int(row.events)}/{int(row.n)}"

    def _text(self, quantity: str, of: str) -> str:
        rows = self._rows_of(quantity, of)
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
    """Make the table of each pair without co-treatment, and with each whose four cells have patients.

    Parameters
    ----------
    study
        With levels or subgroups there are no tables: pairs are many then, and not all four cells are
        compared.
    summary
        What `cotreat.results.summary.summarise` returns.

    Returns
    -------
    list of FourCells
        Pairs in the order of the study.
    """
    if study.stratification:
        return []
    posterior = summary[(summary.estimator == POSTERIOR) & (summary.judged_on == "event")]
    names = {treatment.id: treatment.name for treatment in study.treatments}
    made = []
    for pair, parts in study.judged_pairs.items():
        first, second = (names.get(part, part) for part in parts)
        for others in study.co_treatments(parts):
            cells, other = four_cells(study, parts, others), study.label(others)
            if other == NONE or set(cells) <= set(study.present):
                rows = pd.DataFrame(_rows(study, posterior, pair, cells, other))
                has_risks, ratio = not study.why_no_risks, ratio_of(study)
                made.append(FourCells(pair, first, second, other, rows, has_risks, ratio, cells))
    return made


def ratio_of(study: Study) -> str:
    """Return the ratio that is shown: of odds where only odds ratios are identified or reported.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
        `RATIO` or `ODDS_RATIO`.
    """
    return ODDS_RATIO if study.why_no_risks or study.has_uncounted else RATIO


def adjusted_for(study: Study) -> str:
    """Return as a sentence what the numbers of a study are adjusted for.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
        The sentence.
    """
    if study.patterns is not None and (study.is_adjusted or study.is_matched):
        names = [covariate.name for covariate in study.patterns.covariates]
        kind = "matched sets" if study.is_matched else "clusters"
        names += [kind] if study.patterns.clusters else []
        return f"Adjusted for {', '.join(names)}."
    if any(reported_estimate.adjusted for reported_estimate in study.reported_estimates):
        return "The covariates of the adjusted reported estimates are not reported."
    return "Unadjusted."


def _rows(
    study: Study,
    posterior: pd.DataFrame,
    pair: str,
    cells: tuple[str, str, str, str],
    co_treatment: str,
) -> Iterator[dict[str, Any]]:
    none, one, other, both = cells
    counts = zip(study.n.tolist(), study.events.tolist(), strict=True)
    counted = dict(zip(study.counted, counts, strict=True))
    plain = posterior[posterior.threshold.isna() & (posterior.pair.fillna("") == "")]
    numbers = plain.drop_duplicates(["measure", "contrast"]).set_index(["measure", "contrast"])
    quantities = (ODDS_RATIO,) if study.why_no_risks else (ODDS_RATIO, RATIO, DIFFERENCE)

    def row(part: str, quantity: str, of: str, summary_row: pd.Series) -> dict[str, Any]:
        values = (part, quantity, of, *counted.get(of, (None, None)), *summary_row[list(NUMBERS)])
        return dict(zip(COLUMNS, values, strict=True))

    pairs = [(CELL, arm, none) for arm in (one, other, both)]
    pairs += [(EFFECT, *p) for p in ((one, none), (both, other), (other, none), (both, one))]
    shown = [(CELL, RISK, arm) for arm in cells]
    shown += [(part, name, contrast(*arms)) for part, *arms in pairs for name in quantities]
    for part, quantity, of in shown:
        yield row(part, quantity, of, numbers.loc[quantity, of])
    of_pair = posterior[(posterior.pair == pair) & posterior.co_treatment.isin([co_treatment, ANY])]
    for measure in (*ADDITIVE, *MULTIPLICATIVE):
        if not (study.why_no_risks and MEASURES[measure].needs_risks):
            yield row(INTERACTION, measure, pair, of_pair[of_pair.measure == measure].iloc[0])


def long_table(pair_tables: list[FourCells]) -> pd.DataFrame:
    """Concatenate the rows of several tables, with ``pair`` and ``co_treatment``.

    Parameters
    ----------
    pair_tables
        Tables of several pairs and co-treatments.

    Returns
    -------
    pandas.DataFrame
        Columns ``pair``, ``co_treatment`` and `COLUMNS`.
    """
    columns = ["pair", "co_treatment", *COLUMNS]
    parts = [t.rows.assign(pair=t.pair, co_treatment=t.co_treatment) for t in pair_tables]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
