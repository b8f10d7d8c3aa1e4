"""Write patients.csv: 793 made-up patients with three drugs, six continuous covariates, six hospitals.

Drug A may go with drug B or with drug C; B and C are never given together, so that the data hold two
interactions, A with B and A with C.
"""

from pathlib import Path

import numpy as np
import pandas as pd

PATIENTS = 793


def main() -> None:
    """Draw the patients and write them beside this file."""
    rng = np.random.default_rng(20261125)
    a = rng.binomial(1, 0.4, PATIENTS)
    partner = rng.choice(["none", "b", "c"], PATIENTS, p=[0.25, 0.4, 0.35])
    b, c = ((partner == name).astype(int) for name in ("b", "c"))
    covariates = rng.normal(0, 1, (PATIENTS, 6)).round(3)
    hospital = rng.integers(0, 6, PATIENTS)
    eta = -1.4 + 0.7 * a + 0.3 * b + 0.1 * c + 0.4 * a * b - 0.3 * a * c
    eta += covariates @ [0.4, -0.3, 0.2, 0.0, 0.5, -0.1] + rng.normal(0, 0.4, 6)[hospital]
    frame = pd.DataFrame({"a": a, "b": b, "c": c})
    frame = frame.assign(**{f"x{at + 1}": column for at, column in enumerate(covariates.T)})
    frame["hospital"] = [f"H{at}" for at in hospital]
    frame["response"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    frame.to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
