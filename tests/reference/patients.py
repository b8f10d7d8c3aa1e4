"""Write patients.csv: 793 made-up patients with three drugs, six continuous covariates, six hospitals."""

from pathlib import Path

import numpy as np
import pandas as pd

PATIENTS = 793


def main() -> None:
    """Draw the patients and write them beside this file."""
    rng = np.random.default_rng(20261123)
    drugs = rng.binomial(1, [0.4, 0.55, 0.45], (PATIENTS, 3))
    covariates = rng.normal(0, 1, (PATIENTS, 6)).round(3)
    hospital = rng.integers(0, 6, PATIENTS)
    a, b, c = drugs.T
    eta = -1.4 + 0.7 * a + 0.3 * b + 0.1 * c + 0.4 * a * b - 0.3 * a * c
    eta += covariates @ [0.4, -0.3, 0.2, 0.0, 0.5, -0.1] + rng.normal(0, 0.4, 6)[hospital]
    frame = pd.DataFrame(drugs, columns=["a", "b", "c"])
    frame = frame.assign(**{f"x{at + 1}": column for at, column in enumerate(covariates.T)})
    frame["hospital"] = [f"H{at}" for at in hospital]
    frame["response"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    frame.to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
