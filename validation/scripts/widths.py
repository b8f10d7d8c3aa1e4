"""Compare posteriors from reported estimates, with their widths, with those from the counts of the same cohorts.

``python -m validation.scripts.widths known|unknown --out DIR`` writes a row per cohort to DIR/widths-known.csv, and the
summary to DIR/widths-known.md. An interrupted run continues after the last cohort of the table.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.inference import laplace, vectorise
from cotreat.models.build import build
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.results import store
from validation.simulate import rounded
from validation.widths import MODEL, counted, fit, quantities_of, reported

Array = NDArray[np.float64]
Row = dict[str, float | str]

COHORTS = {"known": 200, "unknown": 500}
SIZES = (30, 500)
"""Smallest and largest arm where the sizes are known; log-uniform."""
RISKS = (0.05, 0.95)
PATIENTS = 1_000
"""Patients of a cohort where the sizes are unknown."""
INTERVAL = (2.5, 97.5)
EXAMPLE = np.array([5.0, 75, 55, 37]), np.array([12.0, 403, 266, 319])
"""Cohort 0 of the known sizes: events and patients of no treatment, A, B and A+B."""
POOL = 20_000
LARGE = 0.08
"""Differences of P(ROR > 1) above this are listed."""


def of_known_sizes(at: int) -> Row:
    """Compare P(ROR > 1) and the width of its interval from estimates and sizes with those from the counts.

    Parameters
    ----------
    at
        Number of the cohort.

    Returns
    -------
    dict
        Values by column.
    """
    rng = np.random.default_rng([18, at])
    events, n = EXAMPLE
    study = reported(events, n, with_sizes=True)
    while at > 0 and (study is None or events is EXAMPLE[0]):
        n = np.round(np.exp(rng.uniform(*np.log(SIZES), 4)))
        events = rng.binomial(n.astype(int), rng.uniform(*RISKS, 4)).astype(float)
        study = reported(events, n, with_sizes=True)
    assert study is not None  # noqa: S101 - for the type checker
    fits = {
        "counts": fit(counted(events, n), at),
        "reported": fit(study, at),
        "without": fit(study, at, with_widths=False),
    }
    row: Row = {f"events[{i}]": events[i] for i in range(4)} | {f"n[{i}]": n[i] for i in range(4)}
    for name, fitted in fits.items():
        ratio = fitted.quantities["ratio of odds ratios"]
        lower, upper = np.percentile(ratio, INTERVAL)
        row |= {f"P {name}": float((ratio > 0).mean()), f"width {name}": float(upper - lower)}
        row[f"verdict {name}"] = fitted.verdict
    return row


def of_unknown_sizes(at: int) -> Row:
    """Compare intervals with the truth, and posterior SDs with those from the counts and without widths.

    Parameters
    ----------
    at
        Number of the cohort.

    Returns
    -------
    dict
        Values by column.
    """
    rng = np.random.default_rng([19, at])
    study = None
    while study is None:
        risk = _prior_risks()[rng.integers(POOL)]
        n = rounded(PATIENTS * rng.dirichlet(np.ones(4)), PATIENTS).astype(float)
        events = rng.binomial(n.astype(int), risk).astype(float)
        study = reported(events, n, with_sizes=False)
    truth = quantities_of(risk[None])
    fits = {
        "counts": fit(counted(events, n), at),
        "reported": fit(study, at),
        "without": fit(study, at, with_widths=False),
    }
    row: Row = {f"events[{i}]": events[i] for i in range(4)} | {f"n[{i}]": n[i] for i in range(4)}
    for name, fitted in fits.items():
        row[f"verdict {name}"] = fitted.verdict
        for quantity, draws in fitted.quantities.items():
            lower, upper = np.percentile(draws, INTERVAL)
            row[f"{name}: {quantity} is covered"] = float(lower <= truth[quantity][0] <= upper)
            row[f"{name}: SD of {quantity}"] = float(draws.std())
    return row


_pool: dict[str, Array] = {}


def _prior_risks() -> Array:
    """Return risks by arm drawn from the declared prior, shape (draw, 4)."""
    if "risk" not in _pool:
        study, model = counted(*EXAMPLE), MODELS[MODEL]
        built = build(study, model, priors_for(prior_set("weak", study), model, study))
        drawn = vectorise.completed(built, vectorise.prior(built, POOL, 18), 1)
        _pool["risk"] = drawn["risk"].sel(arm=["none", "A", "B", "A+B"]).values[0]
    return _pool["risk"]


def summary_of_known(table: pd.DataFrame) -> list[str]:
    """Return the lines of the summary of known sizes.

    Parameters
    ----------
    table
        A row per cohort.
    """
    lines = []
    for name in ("reported", "without"):
        usable = table[
            (table[["verdict counts", f"verdict {name}"]] != laplace.UNRELIABLE).all(axis=1)
        ]
        others = usable[usable.cohort > 0]
        change = (others[f"P {name}"] - others["P counts"]).abs()
        ratio = others[f"width {name}"] / others["width counts"]
        example = usable[usable.cohort == 0]
        what = "with their widths" if name == "reported" else "without their widths"
        lines += [
            f"Estimates {what}, {len(others)} cohorts of known sizes, against their counts: mean change of "
            f"P(ROR > 1) {change.mean():.4f}, 99th percentile {change.quantile(0.99):.3f}, largest {change.max():.3f}; "
            f"ratio of interval widths, median {ratio.median():.3f}.",
            "",
        ]
        lines += [
            f"- cohort {row.cohort}: {row['P counts']:.3f} from the counts, {row[f'P {name}']:.3f} from the estimates"
            for _, row in others[change > LARGE].iterrows()
        ]
        lines += [
            f"5/12, 75/403, 55/266, 37/319: P(ROR > 1) {row['P counts']:.3f} from the counts, "
            f"{row[f'P {name}']:.3f} from the estimates."
            for _, row in example.iterrows()
        ]
        lines.append("")
    return lines


def summary_of_unknown(table: pd.DataFrame) -> list[str]:
    """Return the lines of the summary of unknown sizes.

    Parameters
    ----------
    table
        A row per cohort.
    """
    verdicts = table[[f"verdict {name}" for name in ("counts", "reported", "without")]]
    usable = table[(verdicts != laplace.UNRELIABLE).all(axis=1)]
    lines = [
        f"{len(table)} cohorts, {len(table) - len(usable)} with an unreliable fit left out.",
        "",
    ]
    quantities = [c.removeprefix("counts: SD of ") for c in table if c.startswith("counts: SD of ")]
    lines += ["| | counts | reported | without widths |", "|---|---|---|---|"]
    pooled = dict.fromkeys(("counts", "reported", "without"), 0.0)
    for quantity in quantities:
        shares = {name: usable[f"{name}: {quantity} is covered"].mean() for name in pooled}
        pooled = {name: pooled[name] + share / len(quantities) for name, share in shares.items()}
        lines.append(f"| {quantity} | {' | '.join(f'{share:.1%}' for share in shares.values())} |")
    lines += [f"| pooled | {' | '.join(f'{share:.1%}' for share in pooled.values())} |", ""]
    for quantity in quantities[:4]:
        ratio = usable[f"reported: SD of {quantity}"] / usable[f"without: SD of {quantity}"]
        low, median, high = ratio.quantile([0.25, 0.5, 0.75])
        lines.append(
            f"- SD of the log {quantity}, with widths to without: {median:.3f} ({low:.3f} to {high:.3f})"
        )
    return lines


KINDS: dict[str, tuple[Callable[[int], Row], Callable[[pd.DataFrame], list[str]]]] = {
    "known": (of_known_sizes, summary_of_known),
    "unknown": (of_unknown_sizes, summary_of_unknown),
}


def main() -> None:
    """Fit the cohorts that are missing, and write table and summary."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sizes", choices=KINDS)
    parser.add_argument("--cohorts", type=int)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    compare, summarise = KINDS[arguments.sizes]
    path = arguments.out / f"widths-{arguments.sizes}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = store.read_table(path) if path.exists() else pd.DataFrame()
    for at in range(len(table), arguments.cohorts or COHORTS[arguments.sizes]):
        row = pd.DataFrame([{"cohort": at, **compare(at)}])
        table = pd.concat([table, row], ignore_index=True)
        store.write_text(path, table.to_csv(index=False, float_format="%.6g"))
        print(f"cohort {at}", flush=True)
    lines = summarise(table)
    store.write_text(path.with_suffix(".md"), "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
