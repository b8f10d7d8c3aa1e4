"""Write the results of the published-paper simulation: rows, rates, versions and a figure."""

from pathlib import Path

import pandas as pd

from cotreat.calibration.kept import ABOUT, about
from cotreat.plots.style import off_screen, save
from cotreat.results import store
from cotreat.study.study import Study
from validation.plot_published import draw
from validation.publish_and_reanalyse import MODEL, PRIORS, rates

FOLDER = Path(__file__).parents[1] / "results" / "calibration"
PUBLISHED, RATES, ROWS = "published", "rates.csv", "rows.csv.gz"


def add_published(folder: Path, study: Study, rows: pd.DataFrame, seed: int) -> None:
    """Write the rows of a published-paper simulation, with rates, versions and a figure.

    Parameters
    ----------
    folder
        Folder of the kept calibrations.
    study
        The study to which the scenarios are calibrated.
    rows
        Rows returned by `validation.publish_and_reanalyse.reanalyse_published`.
    seed
        Seed of the simulation.
    """
    target = folder / PUBLISHED / study.id
    target.mkdir(parents=True, exist_ok=True)
    table = rates(rows)
    made = {"study": study.id, "model": MODEL, "priors": PRIORS, **about(seed)}
    store.write_table(table, target / RATES, [])
    store.write_table(pd.DataFrame([made]), target / ABOUT, [])
    # Compressed, because there are thousands of rows; no time stamp, so that the bytes are reproducible.
    packed = {"method": "gzip", "mtime": 0}
    rows.to_csv(target / ROWS, index=False, float_format="%.6g", compression=packed)
    with off_screen():
        save(draw(table), target / "rates.png")
