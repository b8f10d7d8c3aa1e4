"""Compare posteriors from published regressions with the truth, for one template and model.

``python -m validation.scripts.real_regressions TEMPLATE MODEL --out DIR`` writes DIR/real_regressions.csv.
"""

import argparse
from pathlib import Path

from cotreat.calibration.kept import template
from cotreat.calibration.replicates import Job
from cotreat.core.constants import SEED
from cotreat.priors.sets import prior_set
from cotreat.results import store
from validation.real_regressions import MEAN_Z, RATIO, compare

COHORTS = 1_000


def main() -> None:
    """Compare, write the table, and print what lies outside the bounds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("template")
    parser.add_argument("model")
    parser.add_argument("--cohorts", type=int, default=COHORTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    study = template(arguments.template)
    job = Job.of(study, arguments.model, prior_set("weak", study))
    table = compare(job, arguments.cohorts, arguments.seed, _print_progress)
    store.write_table(table, arguments.out / "real_regressions.csv", [])
    outside = table[~table.is_within]
    print(
        f"{job.model.name} on {study.id}: {len(outside)} of {len(table)} quantities outside |mean z| ≤ {MEAN_Z:g} "
        f"and ratio {RATIO[0]:g} to {RATIO[1]:g}"
    )
    print(outside.to_string(index=False) if len(outside) else "all within")


def _print_progress(done: int, every: int) -> None:
    """Print the number of finished cohorts."""
    print(f"{done:,} of {every:,}", flush=True)


if __name__ == "__main__":
    main()
