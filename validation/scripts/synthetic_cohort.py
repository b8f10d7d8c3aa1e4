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
    """Write a synthetic cohort into OUT/STUDY-synthetic: patients, study file and true parameters.

    Parameters
    ----------
    out
        Parent of the new folder.
    study
        Name of the study to which the cohort is calibrated.
    patients
        Size of the cohort.
    seed
        Seed of the random numbers.

    Returns
    -------
    Path
        The study file.

    Raises
    ------
    validation.simulate.SimulationError
        If the study does not report odds ratios and totals that do not overlap.
    """
    return simulate(load_study(study), patients, seed, out)


def main() -> None:
    """Write patients, study file and true parameters of a synthetic cohort into OUT/STUDY-synthetic."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--study", default="sun2024")
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    path = write_cohort(arguments.out, arguments.study, arguments.patients, arguments.seed)
    print(f"SYNTHETIC cohort: {path.as_posix()}")


if __name__ == "__main__":
    main()
