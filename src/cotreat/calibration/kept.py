"""Calibrations that are kept: written with what they hold for, and known to be stale when that has changed."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from cotreat import store
from cotreat.calibration.calibrate import FAMILY_WISE, Calibration
from cotreat.calibration.replicates import Job, density_of
from cotreat.priors import prior_set
from cotreat.sampling import PACKAGES
from cotreat.study import Study
from cotreat.study_file import load_study

TEMPLATES: dict[str, tuple[str, ...]] = {
    "counts": ("additive", "interaction", "saturated", "dose"),
    "counts-three": ("exchangeable",),
    "counts-duration": ("duration",),
    "counts-subgroups": ("subgroups",),
    "claims": ("additive", "interaction", "saturated"),
    "claims-three": ("exchangeable",),
    "mixed": ("additive", "interaction", "saturated"),
    "patients": ("additive", "interaction", "saturated", "dose", "duration", "subgroups"),
}
"""Made-up studies that calibration draws evidence for, by kind of evidence, and the models of each."""

TABLE, BINS, DENSITIES, ABOUT = "sbc.csv", "ranks.csv", "densities.csv", "about.json"
POINTS = 5
"""Fixed points at which a model's log density is kept."""
SAME = 1e-6
"""Log densities that differ by no more, relative to their size, are the same on any machine."""
SHOWN_BINS = 20


def template(name: str) -> Study:
    """Read a study of `TEMPLATES`."""
    return load_study(str(resources.files("cotreat.calibration") / "templates" / f"{name}.toml"))


def jobs(model: str = "") -> Iterator[tuple[str, str]]:
    """Yield template and model, of all models or of one."""
    for name, models in TEMPLATES.items():
        yield from ((name, one) for one in models if model in ("", one))


def densities(job: Job) -> pd.DataFrame:
    """Work out the log density at fixed points: what a calibration holds for.

    Returns
    -------
    pandas.DataFrame
        Columns ``study``, ``model``, ``priors``, ``point`` and ``log_density``.
    """
    density = density_of(job)
    points = 0.5 * np.random.default_rng(0).normal(size=(POINTS, density.size))
    return pd.DataFrame(
        {
            "study": job.study.id,
            "model": job.model.name,
            "priors": job.priors.name,
            "point": range(POINTS),
            "log_density": density.surface(job.numbers)(points),
        }
    )


def write(folder: Path, found: Sequence[Calibration], seed: int) -> None:
    """Write calibrations with their versions, date and log densities."""
    folder.mkdir(parents=True, exist_ok=True)
    store.write_table(pd.concat([one.table for one in found]), folder / TABLE, [])
    store.write_table(pd.concat([_bins(one) for one in found]), folder / BINS, [])
    store.write_table(pd.concat([densities(one.job) for one in found]), folder / DENSITIES, [])
    about = {
        "made": datetime.now(UTC).date().isoformat(),
        "seed": seed,
        "family_wise_level": FAMILY_WISE,
        "versions": {name: version(name) for name in PACKAGES},
    }
    store.write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n")


def _bins(one: Calibration) -> pd.DataFrame:
    """Count the ranks of every quantity in bins of equal width."""
    rows = {
        name: np.histogram(ranks, SHOWN_BINS, (0, one.uniformity.draws + 1))[0]
        for name, ranks in one.ranks.by_quantity.items()
    }
    table = pd.DataFrame(rows, index=[f"bin_{at + 1}" for at in range(SHOWN_BINS)]).T
    table = table.rename_axis("quantity").reset_index()
    return table.assign(study=one.job.study.id, model=one.job.model.name)


def stale(folder: Path) -> list[str]:
    """Name the calibrations whose model has another log density now than when they were made."""
    kept = store.read_table(folder / DENSITIES)
    changed = []
    for (study, model, priors), rows in kept.groupby(["study", "model", "priors"], sort=False):
        own = template(str(study))
        job = Job.of(own, str(model), prior_set(str(priors), own))
        now = densities(job).log_density.to_numpy()
        before = rows.log_density.to_numpy()
        if now.shape != before.shape or not np.allclose(now, before, rtol=SAME, atol=SAME):
            changed.append(f"{model} on {study}")
    return changed
