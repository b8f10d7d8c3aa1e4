"""Run the published-paper simulation of a study: ``python -m validation.scripts.published``."""

import argparse
from pathlib import Path

from cotreat.calibration.parallel import workers
from cotreat.core.constants import SEED
from cotreat.study_file.reader import load_study
from validation.publish_and_reanalyse import reanalyse_published
from validation.records import FOLDER, add_published

COHORTS = 40


def main() -> None:
    """Simulate, report and reanalyse cohorts calibrated to a study, and keep the rates."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--study", default="sun2024")
    parser.add_argument("--cohorts", type=int, default=COHORTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    study = load_study(arguments.study)
    with workers(arguments.processes, "") as mapped:
        rows = reanalyse_published(
            study, cohorts=arguments.cohorts, seed=arguments.seed, mapped=mapped
        )
    add_published(arguments.out, study, rows, arguments.seed)


if __name__ == "__main__":
    main()
