"""Write a synthetic cohort calibrated to a study: ``python -m validation.scripts.synthetic_cohort``."""

import argparse
from pathlib import Path

from cotreat.core.constants import SEED
from cotreat.study_file.reader import load_study
from validation.simulate import simulate

PATIENTS = 793


def write_cohort(
    out: Path, study: str = "sun2024", patients: int = PATIENTS, seed: int = SEED
) -> Path:
    """Write rows, study file and true parameters into OUT/STUDY-synthetic; return the study file."""
    return simulate(load_study(study), patients, seed, out)


def main() -> None:
    """Write rows, study file and true parameters of a synthetic cohort into OUT/STUDY-synthetic."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--study", default="sun2024")
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    path = write_cohort(given.out, given.study, given.patients, given.seed)
    print(f"SYNTHETIC cohort: {path.as_posix()}")


if __name__ == "__main__":
    main()
