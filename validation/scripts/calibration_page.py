"""Write results/calibration/README.md from the tables beside it, which `cotreat calibrate` makes."""

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
    SYNERGISTIC,
    WORLDS,
)

FOLDER = Path(__file__).parents[2] / "results" / "calibration"
STUDY = "sun2024"
"""The study in whose image cohorts are drawn."""
LOW, HIGH = (f"{MULTIPLICATIVE}, {level} without" for level in (RARE, COMMON))
COLUMNS = (
    ("odds multiply", MULTIPLICATIVE, ALL),
    ("… low risk without", LOW, ALL),
    ("… high risk without", HIGH, ALL),
    ("… the paper claims it", MULTIPLICATIVE, CLAIMED),
    ("risks add", ADDITIVE, ALL),
    ("true ratio of 2", SYNERGISTIC, ALL),
)
"""Head, world and cohorts of each column of the table of rates."""


MARK = "†"
"""Stands at shares of which so many answers were dropped that those left do not speak for all."""


class Rates:
    """The table of rates, of the first pair."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.pair = str(table.pair.iloc[0])
        self.table = table[table.pair == self.pair].set_index(["world", "of", "paper"])
        self.papers = list(dict.fromkeys(table.paper))

    def row(self, world: str, of: str, paper: str) -> pd.Series | None:
        """Return one row; nothing where there is none, or every answer was dropped."""
        if (world, of, paper) not in self.table.index:
            return None
        row = self.table.loc[(world, of, paper)]
        return row if row.cohorts > row.dropped else None

    def share(self, world: str, of: str, paper: str) -> str:
        """Write the share of cohorts that make a reader sure, with its interval."""
        row = self.row(world, of, paper)
        if row is None:
            return ""
        mark = MARK if row.dropped > MOST_DROPPED * row.cohorts else ""
        return f"{row.sure:.0%} ({row.sure_lower:.0%} to {row.sure_upper:.0%}){mark}"


def false_rates(rates: Rates) -> Iterator[str]:
    """Write how often P(synergy) is large where there is none, and where there is."""
    yield f"| printed, and read as | {' | '.join(head for head, *_ in COLUMNS)} |"
    yield "|---|" + "---|" * len(COLUMNS)
    for paper in rates.papers:
        shown = [rates.share(world, of, paper) for _, world, of in COLUMNS]
        yield f"| {paper} | {' | '.join(shown)} |"


def widths(rates: Rates) -> Iterator[str]:
    """Write coverage and width of intervals, and the mean P(synergy), in two worlds."""
    worlds = (MULTIPLICATIVE, SYNERGISTIC)
    heads = ("dropped", "coverage", "width", "mean P")
    yield "| printed, and read as |" + "".join(f" {h}, {w} |" for w in worlds for h in heads)
    yield "|---|" + "---|" * (len(worlds) * len(heads))
    for paper in rates.papers:
        cells = []
        for world in worlds:
            row = rates.row(world, ALL, paper)
            if row is None:
                cells += [""] * len(heads)
                continue
            dropped = row.dropped / row.cohorts
            cells += [f"{dropped:.0%}", f"{row.coverage:.0%}", f"{row.width:.2f}"]
            cells.append(f"{row.probability:.2f}")
        yield f"| {paper} | {' | '.join(cells)} |"


def verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Write what came of simulation-based calibration, a row for each model and template."""
    yield "| evidence | model | quantities | replicates | dropped | least p | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for (study, model), rows in table.groupby(["study", "model"], sort=False):
        one = rows.iloc[0]
        is_told = one.dropped <= MOST_DROPPED * (one.dropped + one.replicates)
        passed = "passes" if rows.passes.all() else "**fails**"
        yield (
            f"| {study} | {model} | {len(rows)} | {one.replicates:,} | {one.dropped} | {rows.p_value.min():.2g} "
            f"| {passed if is_told else 'not told: too many dropped'} |"
        )


def answer(rates: Rates, default: str, misread: str) -> str:
    """Answer the question in words, from the table."""

    def share(world: str, of: str, paper: str) -> str:
        return rates.share(world, of, paper) or "no cohort that could be answered"

    def middle(world: str, paper: str) -> str:
        row = rates.row(world, ALL, paper)
        return "–" if row is None else f"{row.probability:.2f}"

    more = [p for p in rates.papers if p.startswith(f"{default}, and ")]
    found = {p: row.sure for p in more if (row := rates.row(SYNERGISTIC, ALL, p)) is not None}
    best, second = sorted(found, key=lambda p: -found[p])[:2]
    selected = [p for p in rates.papers if rates.row(MULTIPLICATIVE, CLAIMED, p) is not None]
    claimed = "; ".join(f"{p}, {share(MULTIPLICATIVE, CLAIMED, p)}" for p in selected)
    return f"""**Seldom by itself, as far as these cohorts tell.** Every world below prints, on average, what {STUDY}
prints, whether {rates.pair} has a ratio of odds ratios of 1 or of 2, and read as it is meant the print makes P(synergy) much the
same in both.

- **Read as it is meant** (`{default}`), P(synergy) > {SURE:g} is false in {share(MULTIPLICATIVE, ALL, default)} of cohorts in which odds
  multiply, in {share(LOW, ALL, default)} where the risk without treatment lies an SD of its prior lower, and in
  {share(ADDITIVE, ALL, default)} where risks add. It is as seldom right: where the true ratio is 2 it is found in
  {share(SYNERGISTIC, ALL, default)}; the mean P(synergy) is {middle(MULTIPLICATIVE, default)} with a ratio of 1 and
  {middle(SYNERGISTIC, default)} with one of 2. The counts of every patient make it {middle(MULTIPLICATIVE, WHOLE)} and
  {middle(SYNERGISTIC, WHOLE)}.
- **Misread**, odds ratios of regimens taken for ratios of odds ratios, it is false in {share(MULTIPLICATIVE, ALL, misread)} where
  odds multiply, in {share(LOW, ALL, misread)} and {share(HIGH, ALL, misread)} where the risk without treatment is lower or higher, and
  in {share(ADDITIVE, ALL, misread)} where risks add; the mean P(synergy) is {middle(MULTIPLICATIVE, misread)} without any.
- **A paper that claims the synergy** by its own product is one of a selection. Without synergy, P > {SURE:g} then is false in:
  {claimed}.
- **Three numbers more**: of the threes tried, {best.removeprefix(f"{default}, and ")} told most in these cohorts. A true ratio
  of 2 is then found in {share(SYNERGISTIC, ALL, best)}, one of 1 taken for synergy in {share(MULTIPLICATIVE, ALL, best)}. The next
  best ({second.removeprefix(f"{default}, and ")}) find it in {share(SYNERGISTIC, ALL, second)}, the counts of every patient in
  {share(SYNERGISTIC, ALL, WHOLE)}.
- **What these cohorts do not tell**: whether measures that print *determines* can be trusted, for it determines none here, and
  other priors. What a probability hangs on beside, `cotreat audit`, `cotreat sensitivity` and the readings of `reanalyse` say.

A share whose interval holds {1 - SURE:.0%} cannot be told from it: cohorts are few.
{MARK} More than {MOST_DROPPED:.0%} of the answers could not be trusted (Pareto k, or a mode come to only once) and are left out: the share is
that of those left, and the interval runs from none of the others being sure to all of them."""


def page(published: pd.DataFrame, ranked: pd.DataFrame, made: pd.Series) -> str:
    """Write the page."""
    study = load_study(STUDY)
    default = study.interpretations[0].id
    rates = Rates(published)
    (misread,) = (paper for paper in rates.papers if ", misread as " in paper)
    cohorts = int(published[published.of == ALL].cohorts.max())
    words = "\n".join(f"- **{name}**: {rule.words};" for name, rule in WORLDS.items())
    return f"""# When may a probability of synergy be trusted that was computed from printed odds ratios?

{answer(rates, default, misread)}

![False-synergy rates by what is printed and how it is read]({PUBLISHED}/{STUDY}/rates.png)

*Share of cohorts in which a reader would be sure that {rates.pair} is synergistic: where it is not (left and middle; dotted,
{1 - SURE:.0%}), and where it is (right). Each row is one way to print the same cohorts, and to read what is printed.
Open marks are the shares with {MARK}.*

{chr(10).join(false_rates(rates))}

## What print costs, and which numbers more would help

{chr(10).join(widths(rates))}

Of 95 % intervals of the ratio of odds ratios: share that holds the truth, and median width on the log scale. Answers that
cannot be trusted are dropped. Counts know no score: their ratio of odds ratios is that of mean risks, a little nearer to 1.

## What was done

{cohorts} cohorts of each world, drawn patient by patient. Sizes and the odds of single treatments are those that make what
{STUDY} prints, as near as the rule of the world lets them; the odds without treatment are the middle of the `weak` prior where
nothing else is said. Patients differ by one normal score, independent of the regimen, which papers adjust for without error.

{words}

A paper prints what {STUDY} prints, as the reading means it: logistic regressions on its patients, rounded to two decimals, and
p-values to three. The print alone is reanalysed (`exchangeable`, `weak` priors). *The paper claims it*: cohorts are drawn until
the paper's own product of {rates.pair} has p < 0.05, or an interval beyond 1. With covariates that go with the drugs, or other
ones in each regression, all of this is a best case.

## Is the code right?

Truths drawn from the prior, evidence from the likelihood, posteriors by Laplace's approximation: the truth's rank is uniform
if the code is right. Quantities are parameters, measures and the log-likelihood; the rule is a simultaneous band for each, and
Holm at {FAMILY_WISE:.0%} over those of a model under one kind of evidence.

{chr(10).join(verdicts(ranked))}

A likelihood made wrong on purpose (claims that share a comparator, taken for independent) fails: [wrong_likelihood.csv](wrong_likelihood.csv).
Of 50 truths and evidence drawn by simuk and sampled by NUTS, the truths lie where these posteriors have them: [simuk.csv](simuk.csv).

All numbers: [{RATES}]({PUBLISHED}/{STUDY}/{RATES}), every row in `rows.csv.gz` beside it, [{TABLE}]({TABLE}), ranks in
`ranks.csv`. Made by `cotreat calibrate` and `python -m validation.scripts.published --cohorts {cohorts}` on {made.made}, cotreat
{made.cotreat}, pymc {made.pymc}, jax {made.jax}; a test fails when a model's log density is no longer the one in `densities.csv`. This
page is written by `validation/scripts/calibration_page.py`.
"""


def current() -> str:
    """Write the page from the tables that are kept."""
    published = pd.read_csv(FOLDER / PUBLISHED / STUDY / RATES)
    made = pd.read_csv(FOLDER / PUBLISHED / STUDY / ABOUT).iloc[0]
    ranked = pd.read_csv(FOLDER / TABLE)
    return page(published, ranked, made)


def main() -> None:
    """Keep the page."""
    (FOLDER / "README.md").write_text(current(), encoding="utf-8")


if __name__ == "__main__":
    main()
