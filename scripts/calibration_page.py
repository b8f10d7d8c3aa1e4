"""Write results/calibration/README.md from the tables beside it, which `cotreat calibrate` makes."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cotreat.calibration.calibrate import FAMILY_WISE, MOST_DROPPED
from cotreat.calibration.kept import ABOUT, PUBLISHED, RATES, TABLE
from cotreat.calibration.published import ALL, CLAIMED, SURE, WHOLE
from cotreat.calibration.worlds import ADDITIVE, MULTIPLICATIVE, SYNERGISTIC, WORLDS
from cotreat.study_file import load_study

FOLDER = Path(__file__).parents[1] / "results" / "calibration"
STUDY = "sun2024"
"""The study in whose image cohorts are drawn."""
ROR, IC = "ror", "ic"


def cell(
    table: pd.DataFrame, of: str, world: str, measure: str, *, is_synergy: bool
) -> pd.DataFrame:
    """Pick the rows of one kind of cohorts, world and measure, by what is printed and how it is read."""
    is_own = (table.of == of) & (table.world == world) & (table.measure == measure)
    return table[is_own & (table.is_synergy == is_synergy)].set_index(["paper", "read_as"])


def share(row: pd.Series) -> str:
    """Write a share with its interval; nothing where no answer was left."""
    if not row.cohorts:
        return "–"
    return f"{row.sure:.0%} ({row.sure_lower:.0%} to {row.sure_upper:.0%})"


def name(paper: str, read_as: str) -> str:
    """Name what is printed and how it is read."""
    if WHOLE in (paper, read_as):
        return "counts of every patient"
    is_misread = paper != read_as and ", and " not in paper
    return f"{paper}, **misread** as {read_as}" if is_misread else paper


def false_rates(table: pd.DataFrame) -> Iterator[str]:
    """Write how often P(synergy) is large where there is none, and where there is."""
    none = cell(table, ALL, MULTIPLICATIVE, ROR, is_synergy=False)
    columns = [
        none,
        cell(table, CLAIMED, MULTIPLICATIVE, ROR, is_synergy=False),
        cell(table, ALL, ADDITIVE, IC, is_synergy=False),
        cell(table, CLAIMED, ADDITIVE, IC, is_synergy=False),
        cell(table, ALL, SYNERGISTIC, ROR, is_synergy=True),
    ]
    yield (
        "| printed, and read as | odds multiply: P(ror > 1) | … of papers that claim it | risks add: P(ic > 0) "
        "| … of papers that claim it | true ror of 2: P(ror > 1) |"
    )
    yield "|---|---|---|---|---|---|"
    for key in none.index:
        shown = [share(one.loc[key]) if key in one.index else "" for one in columns]
        yield f"| {name(*key)} | {' | '.join(shown)} |"


def widths(table: pd.DataFrame) -> Iterator[str]:
    """Write coverage and width of intervals beside those of the counts of every patient."""
    yield (
        "| printed, and read as | dropped | coverage of ror | coverage of ic | width of log ror | width of ic |"
    )
    yield "|---|---|---|---|---|---|"
    own = table[table.of == ALL]
    for key, rows in own.groupby(["paper", "read_as"], sort=False):
        ror, ic = (rows[rows.measure == measure] for measure in (ROR, IC))
        kept = rows.answers - rows.dropped
        dropped = rows.dropped.sum() / rows.answers.sum()
        coverage = [
            (one.coverage * kept[one.index]).sum() / kept[one.index].sum() for one in (ror, ic)
        ]
        width = [(one.width * kept[one.index]).sum() / kept[one.index].sum() for one in (ror, ic)]
        yield (
            f"| {name(*key)} | {dropped:.0%} | {coverage[0]:.0%} | {coverage[1]:.0%} | {width[0]:.2f} | {width[1]:.2f} |"
        )


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


def page(published: pd.DataFrame, ranked: pd.DataFrame, made: pd.Series) -> str:
    """Write the page."""
    study = load_study(STUDY)
    cohorts = int(published[published.of == ALL].cohorts.max())
    words = "\n".join(f"- **{world}**: {text};" for world, text in WORLDS.items())
    return f"""# When may a probability of synergy be trusted that was computed from printed odds ratios?

{answer(published, study.readings[0].id)}

![False-synergy rates by what is printed and how it is read]({PUBLISHED}/{STUDY}/rates.png)

*Share of cohorts in which a reader would be sure of synergy, P > {SURE:.2f}: where there is none (left and middle; dotted,
{1 - SURE:.0%}), and where there is (right). Each row is one way to print a cohort and to read what is printed.*

{chr(10).join(false_rates(published))}

## What was done

{cohorts} cohorts of each of three worlds, shaped like the flagship ({STUDY}): its sizes, its odds on single drugs as far as
print tells them, the middle of the `weak` prior without treatment, and a prognostic score.

{words}

Of each cohort a paper prints what the flagship prints, as each reading means it: adjusted logistic regressions on its
patients, rounded to two decimals, and p-values to three. The print alone is reanalysed (`exchangeable`, `weak` priors);
beside it, the counts of every patient. *Papers that claim it*: of as many further cohorts as it takes, those
in which the product of the first two drugs has p < 0.05. Intervals count cohorts, not pairs.

## What print costs, and which three numbers more would help most

{chr(10).join(widths(published))}

Widths are medians of 95 % intervals. Answers whose Pareto k is too high are dropped and counted.

## Is the code right?

Truths drawn from the prior, evidence from the likelihood, posteriors by Laplace's approximation: the truth's rank is uniform
if the code is right. Quantities are parameters, measures and the log-likelihood; the rule is a simultaneous band for each, and
Holm at {FAMILY_WISE:.0%} over those of a model under one kind of evidence.

{chr(10).join(verdicts(ranked))}

All numbers: [{PUBLISHED}/{STUDY}/{RATES}]({PUBLISHED}/{STUDY}/{RATES}), [{TABLE}]({TABLE}), ranks in `ranks.csv`. Made by
`cotreat calibrate` and `cotreat calibrate {STUDY} --published` on {made.made}, cotreat {made.cotreat}, pymc {made.pymc}, jax {made.jax}; a
test fails when a model's log density is no longer the one in `densities.csv`. This page is written by
`scripts/calibration_page.py`.
"""


def main() -> None:
    """Write the page."""
    published = pd.read_csv(FOLDER / PUBLISHED / STUDY / RATES)
    made = pd.read_csv(FOLDER / PUBLISHED / STUDY / ABOUT).iloc[0]
    ranked = pd.read_csv(FOLDER / TABLE)
    (FOLDER / "README.md").write_text(page(published, ranked, made), encoding="utf-8")


if __name__ == "__main__":
    main()
