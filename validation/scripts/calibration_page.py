"""Write results/calibration/README.md from the tables of `cotreat calibrate` in the same folder."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cotreat.calibration.kept import ABOUT, TABLE
from cotreat.calibration.sbc import MOST_DROPPED
from cotreat.core.constants import FAMILY_WISE
from cotreat.study_file.reader import load_study
from validation.publish_and_reanalyse import ALL, CLAIMED, SURE, WHOLE
from validation.records import PUBLISHED, RATES
from validation.true_cohorts import (
    ADDITIVE,
    COMMON,
    MULTIPLICATIVE,
    RARE,
    SCENARIOS,
    SYNERGISTIC,
)

FOLDER = Path(__file__).parents[2] / "results" / "calibration"
STUDY = "sun2024"
"""The study to which the data-generating scenarios are calibrated."""
LOW, HIGH = (f"{MULTIPLICATIVE}, {level} without" for level in (RARE, COMMON))
COLUMNS = (
    ("odds multiply", MULTIPLICATIVE, ALL),
    ("… low risk without", LOW, ALL),
    ("… high risk without", HIGH, ALL),
    ("… selected for significance", MULTIPLICATIVE, CLAIMED),
    ("risks add", ADDITIVE, ALL),
    ("true ratio of 2", SYNERGISTIC, ALL),
)
"""Heading, scenario and cohorts of each column of the table of rates."""


MARK = "†"
"""Marks shares with more than `MOST_DROPPED` of the fits dropped as unreliable."""


class Rates:
    """Rates of the first pair.

    Parameters
    ----------
    table
        Rates returned by `validation.publish_and_reanalyse.rates`.

    Attributes
    ----------
    pair : str
        The first pair of treatments.
    table : pandas.DataFrame
        Its rates, by scenario, cohorts and paper.
    papers : list of str
        Names of the papers.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.pair = str(table.pair.iloc[0])
        self.table = table[table.pair == self.pair].set_index(["scenario", "of", "paper"])
        self.papers = list(dict.fromkeys(table.paper))

    def row(self, scenario: str, of: str, paper: str) -> pd.Series | None:
        """Return one row, or None if it does not exist or every fit was dropped.

        Parameters
        ----------
        scenario, of, paper
            Names of the scenario, the cohorts and the paper.
        """
        if (scenario, of, paper) not in self.table.index:
            return None
        row = self.table.loc[(scenario, of, paper)]
        return row if row.cohorts > row.dropped else None

    def share(self, scenario: str, of: str, paper: str) -> str:
        """Format the share of cohorts with P(synergy) above `SURE` and its interval; empty without a row.

        Parameters
        ----------
        scenario, of, paper
            Names of the scenario, the cohorts and the paper.
        """
        row = self.row(scenario, of, paper)
        if row is None:
            return ""
        mark = MARK if row.dropped > MOST_DROPPED * row.cohorts else ""
        return f"{row.sure:.0%} ({row.sure_lower:.0%} to {row.sure_upper:.0%}){mark}"


def false_rates(rates: Rates) -> Iterator[str]:
    """Yield the lines of the table of false and true synergy rates.

    Parameters
    ----------
    rates
        Rates of the first pair.
    """
    yield f"| reported, and interpreted as | {' | '.join(head for head, *_ in COLUMNS)} |"
    yield "|---|" + "---|" * len(COLUMNS)
    for paper in rates.papers:
        shown = [rates.share(scenario, of, paper) for _, scenario, of in COLUMNS]
        yield f"| {paper} | {' | '.join(shown)} |"


def widths(rates: Rates) -> Iterator[str]:
    """Yield the lines of the table of coverage, width of intervals and mean P(synergy), in two scenarios.

    Parameters
    ----------
    rates
        Rates of the first pair.
    """
    scenarios = (MULTIPLICATIVE, SYNERGISTIC)
    heads = ("dropped", "coverage", "width", "mean P")
    yield "| reported, and interpreted as |" + "".join(
        f" {h}, {w} |" for w in scenarios for h in heads
    )
    yield "|---|" + "---|" * (len(scenarios) * len(heads))
    for paper in rates.papers:
        cells = []
        for scenario in scenarios:
            row = rates.row(scenario, ALL, paper)
            if row is None:
                cells += [""] * len(heads)
                continue
            dropped = row.dropped / row.cohorts
            cells += [f"{dropped:.0%}", f"{row.coverage:.0%}", f"{row.width:.2f}"]
            cells.append(f"{row.probability:.2f}")
        yield f"| {paper} | {' | '.join(cells)} |"


def verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of the table of simulation-based calibration, one row per model and template.

    Parameters
    ----------
    table
        Kept table of `cotreat calibrate`.
    """
    yield "| evidence | model | quantities | replicates | dropped | least p | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for (study, model), rows in table.groupby(["study", "model"], sort=False):
        first = rows.iloc[0]
        is_assessed = first.dropped <= MOST_DROPPED * (first.dropped + first.replicates)
        passed = "passes" if rows.passes.all() else "**fails**"
        yield (
            f"| {study} | {model} | {len(rows)} | {first.replicates:,} | {first.dropped} | {rows.p_value.min():.2g} "
            f"| {passed if is_assessed else 'not assessed: too many dropped'} |"
        )


def answer(rates: Rates, default: str, misread: str) -> str:
    """Return the text of the main results.

    Parameters
    ----------
    rates
        Rates of the first pair.
    default, misread
        Names of the default paper and of its misinterpretation.
    """

    def share(scenario: str, of: str, paper: str) -> str:
        return rates.share(scenario, of, paper) or "no cohort with a reliable fit"

    def middle(scenario: str, paper: str) -> str:
        row = rates.row(scenario, ALL, paper)
        return "–" if row is None else f"{row.probability:.2f}"

    more = [p for p in rates.papers if p.startswith(f"{default}, and ")]
    power = {p: row.sure for p in more if (row := rates.row(SYNERGISTIC, ALL, p)) is not None}
    best, second = sorted(power, key=lambda p: -power[p])[:2]
    selected = [p for p in rates.papers if rates.row(MULTIPLICATIVE, CLAIMED, p) is not None]
    claimed = "; ".join(f"{p}, {share(MULTIPLICATIVE, CLAIMED, p)}" for p in selected)
    return f"""**Rarely, in these cohorts.** In every scenario below, the simulated papers report on average what {STUDY} reports, whether the
true ratio of odds ratios of {rates.pair} is 1 or 2. A report that is interpreted correctly therefore gives nearly the same
P(synergy) in both cases.

- **Correct interpretation** (`{default}`). Without synergy, P(synergy) exceeds {SURE:g} in {share(MULTIPLICATIVE, ALL, default)} of cohorts if
  odds ratios multiply, in {share(LOW, ALL, default)} if the log odds without treatment is also one prior SD lower, and in
  {share(ADDITIVE, ALL, default)} if risks add. Power is low: with a true ratio of 2, P(synergy) exceeds {SURE:g} in
  {share(SYNERGISTIC, ALL, default)}. The mean P(synergy) is {middle(MULTIPLICATIVE, default)} with a ratio of 1 and
  {middle(SYNERGISTIC, default)} with a ratio of 2; from the counts of every patient it is {middle(MULTIPLICATIVE, WHOLE)} and
  {middle(SYNERGISTIC, WHOLE)}.
- **Misinterpretation** (odds ratios between regimens, taken as ratios of odds ratios). Without synergy, P(synergy) exceeds
  {SURE:g} in {share(MULTIPLICATIVE, ALL, misread)} if odds ratios multiply, in {share(LOW, ALL, misread)} and {share(HIGH, ALL, misread)} if the log odds
  without treatment is also lower or higher, and in {share(ADDITIVE, ALL, misread)} if risks add. The mean P(synergy) is
  {middle(MULTIPLICATIVE, misread)} if odds ratios multiply.
- **Selection.** Among papers whose product term is significant although there is no synergy, P(synergy) exceeds {SURE:g} in:
  {claimed}.
- **Three additional numbers.** Of the sets tried, {best.removeprefix(f"{default}, and ")} were the most informative. With them,
  P(synergy) exceeds {SURE:g} in {share(SYNERGISTIC, ALL, best)} of cohorts with a true ratio of 2, and in {share(MULTIPLICATIVE, ALL, best)}
  with a ratio of 1. With the next best set ({second.removeprefix(f"{default}, and ")}) and a ratio of 2, it does in
  {share(SYNERGISTIC, ALL, second)}; with the counts of every patient, in {share(SYNERGISTIC, ALL, WHOLE)}.
- **Not covered**: measures that the report *identifies* (it identifies none here), and other priors. `cotreat audit`,
  `cotreat sensitivity` and the interpretations of `cotreat reanalyse` show what else a probability depends on.

A share whose interval contains {1 - SURE:.0%} does not differ detectably from it, because there are few cohorts.
{MARK} More than {MOST_DROPPED:.0%} of the fits were unreliable (Pareto k, or a mode that was reached only once) and are left out. The share is
that of the other fits, and the interval covers every possible result of those left out."""


def page(published: pd.DataFrame, ranked: pd.DataFrame, made: pd.Series) -> str:
    """Return the text of the page.

    Parameters
    ----------
    published
        Rates of the published-paper simulation.
    ranked
        Table of simulation-based calibration.
    made
        Versions and date of the simulation.
    """
    study = load_study(STUDY)
    default = study.interpretations[0].id
    rates = Rates(published)
    (misread,) = (paper for paper in rates.papers if ", misread as " in paper)
    cohorts = int(published[published.of == ALL].cohorts.max())
    words = "\n".join(f"- **{name}**: {rule.words}." for name, rule in SCENARIOS.items())
    return f"""# When is a probability of synergy from reported odds ratios reliable?

{answer(rates, default, misread)}

![False-synergy rates by what is reported and how it is interpreted]({PUBLISHED}/{STUDY}/rates.png)

*Share of cohorts in which P(synergy) of {rates.pair} exceeds {SURE:g}, without synergy (left and middle; the dotted line is
at {1 - SURE:.0%}) and with synergy (right). Each row is one way to report the same cohorts and to interpret the report.
Open marks are the shares with {MARK}.*

{chr(10).join(false_rates(rates))}

## Information lost by reporting, and which further numbers would help

{chr(10).join(widths(rates))}

*Coverage* is the share of 95 % intervals of the ratio of odds ratios that contain the true value; *width* is their median
width on the log scale. Unreliable fits are dropped. Counts are not adjusted for the score, so their ratio of odds ratios is
marginal and slightly closer to 1.

## Methods

{cohorts} cohorts of each data-generating scenario are drawn patient by patient. Arm sizes and the odds of single treatments are
calibrated to the reported estimates of {STUDY}, as closely as the scenario allows; the odds without treatment are the centre of the `weak` prior unless
stated otherwise. Patients differ by one normal score, which is independent of the regimen; papers adjust for it without error.

{words}

A simulated paper reports what {STUDY} reports under the interpretation: logistic regressions on its patients, rounded to two
decimals, and p-values, rounded to three decimals. Only this report is reanalysed (`exchangeable`, `weak` priors). *Selected
for significance* means that cohorts are drawn until the product term of {rates.pair} in the paper has p < 0.05, or an interval
that excludes 1. These results are a best case: covariates that are associated with the drugs, or that differ between
regressions, would add error.

## Is the code right?

Parameters are drawn from the prior and evidence from the likelihood, and Laplace's approximation gives the posterior. If the
code is right, the rank of the true value among posterior draws is uniform. Quantities are parameters, measures and the
log-likelihood. Each has a simultaneous band, with Holm's correction at {FAMILY_WISE:.0%} over the quantities of a model under one kind of evidence.

{chr(10).join(verdicts(ranked))}

A likelihood that is wrong by design (estimates that share a comparator, taken as independent) fails: [wrong_likelihood.csv](wrong_likelihood.csv).
In 50 replicates drawn by simuk and sampled by NUTS, the ranks of the true values agree with those of these posteriors: [simuk.csv](simuk.csv).

All numbers: [{RATES}]({PUBLISHED}/{STUDY}/{RATES}), every row in `rows.csv.gz` in that folder, [{TABLE}]({TABLE}), ranks in
`ranks.csv`. Made by `cotreat calibrate` and `python -m validation.scripts.published --cohorts {cohorts}` on {made.made}, cotreat
{made.cotreat}, pymc {made.pymc}, jax {made.jax}; a test fails if the log density of a model differs from the one in `densities.csv`. This
page is written by `validation/scripts/calibration_page.py`.
"""


def current() -> str:
    """Return the text of the page from the kept tables."""
    published = pd.read_csv(FOLDER / PUBLISHED / STUDY / RATES)
    made = pd.read_csv(FOLDER / PUBLISHED / STUDY / ABOUT).iloc[0]
    ranked = pd.read_csv(FOLDER / TABLE)
    return page(published, ranked, made)


def main() -> None:
    """Write the page."""
    (FOLDER / "README.md").write_text(current(), encoding="utf-8")


if __name__ == "__main__":
    main()
