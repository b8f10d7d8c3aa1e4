"""Write a synthetic cohort that matches a study: ``python -m validation.scripts.synthetic_cohort``."""

import argparse
from pathlib import Path

from cotreat.core.constants import SEED
from cotreat.study_file.reader import load_study
from validation.simulate import simulate


def main() -> None:
    """Write rows, study file and truth of a synthetic cohort into OUT/STUDY-synthetic."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--study", default="sun2024")
    parser.add_argument("--patients", type=int, default=793)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    path = simulate(load_study(given.study), given.patients, given.seed, given.out)
    print(f"SYNTHETIC cohort: {path.as_posix()}")


if __name__ == "__main__":
    main()
