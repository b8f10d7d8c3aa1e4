"""Sample ISIS-2 by NUTS under several prior sets, and keep moments: ``python tests/reference/nuts_isis2.py``.

Writes nuts_isis2.csv beside it, which the tests of Laplace's approximation compare with; minutes.
"""

from pathlib import Path

import pandas as pd

from cotreat import load_study
from cotreat.inference.sampling import fit_model
from cotreat.priors.belief_grid import GRID

NAMES = ("weak", *GRID[::4])


def moments(name: str) -> list[dict[str, float | str]]:
    """Return means and SDs of the risks under one prior set, and P(ratio of odds ratios < 1)."""
    risk = fit_model(load_study("isis2"), "interaction", name).posterior["risk"]
    odds = risk / (1 - risk)
    ror = odds.sel(arm="SK+ASA") * odds.sel(arm="none") / odds.sel(arm="SK") / odds.sel(arm="ASA")
    rows = [
        {
            "priors": name,
            "quantity": f"risk[{arm}]",
            "mean": float(risk.sel(arm=arm).mean()),
            "sd": float(risk.sel(arm=arm).std()),
        }
        for arm in risk["arm"].values
    ]
    below = (ror < 1).astype(float)
    return [
        *rows,
        {
            "priors": name,
            "quantity": "P(ror < 1)",
            "mean": float(below.mean()),
            "sd": float(below.std()),
        },
    ]


if __name__ == "__main__":
    table = pd.DataFrame([row for name in NAMES for row in moments(name)])
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.6g")
