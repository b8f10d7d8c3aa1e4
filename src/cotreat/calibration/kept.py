"""Calibrations that are kept: written with what they hold for, and known to be stale when that has changed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.calibration.replicates import Job
from cotreat.calibration.sbc import Calibration
from cotreat.inference.sampling import PACKAGES
from cotreat.models.registry import MODELS, is_asked_for
from cotreat.models.select import models_for
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.study.study import Study
from cotreat.study_file.reader import load_study

TEMPLATES: dict[str, tuple[str, ...]] = {
    "counts": ("additive", "interaction", "saturated", "dose"),
    "counts-three": ("exchangeable",),
    "counts-duration": ("duration",),
    "counts-subgroups": ("subgroups",),
    "claims": ("additive", "interaction", "saturated"),
    "claims-three": ("exchangeable",),
    "claims-levels": ("dose", "duration"),
    "claims-subgroups": ("subgroups",),
    "claims-adjusted": ("additive", "interaction", "saturated"),
    "mixed": ("additive", "interaction", "saturated"),
    "mixed-three": ("exchangeable",),
    "mixed-levels": ("dose", "duration"),
    "mixed-subgroups": ("subgroups",),
    "patients": ("additive", "interaction", "saturated", "dose", "duration", "subgroups"),
    "patients-three": ("exchangeable",),
}
"""Made-up studies that calibration draws evidence for, by kind of evidence, and the models of each."""

TABLE, BINS, DENSITIES, ABOUT = "sbc.csv", "ranks.csv", "densities.csv", "made.csv"
PUBLISHED, RATES, ROWS = "published", "rates.csv", "rows.csv.gz"
POINTS = 5
"""Fixed points at which a model's log density is kept."""
SAME = 1e-6
"""Log densities that differ by no more, relative to their size, are the same on any machine."""
SHOWN_BINS = 20


def template(name: str) -> Study:
    """Read a study of `TEMPLATES`."""
    return load_study(str(template_path(name)))


def template_path(name: str) -> Any:
    """Return where the study file of a template is."""
    return resources.files("cotreat.calibration") / "templates" / f"{name}.toml"


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
    density = job.density
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


def wanted(target: str, models: Sequence[str], priors: str) -> Iterator[tuple[Study, str]]:
    """Yield studies and models that a user asks for.

    Parameters
    ----------
    target
        A model, of all of `TEMPLATES` that are for it; a study; empty for all templates and models.
    models
        Of a study, those wanted; none stands for all that ask how treatments combine.

    Raises
    ------
    StudyError
        If there is no such study or model.
    ModelError
        If the study cannot carry a model.
    """
    if target in ("", *MODELS):
        yield from ((template(name), one) for name, one in jobs(target))
        return
    study = load_study(target)
    possible, _ = models_for(study, prior_set(priors, study), models)
    yield from ((study, one) for one in possible if models or not is_asked_for(one))


def add(folder: Path, found: Calibration, seed: int) -> None:
    """Keep a calibration, in the place of an earlier one of the same study and model."""
    from cotreat.plots.ranks import draw
    from cotreat.plots.style import off_screen, save

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        (TABLE, found.table),
        (BINS, _bins(found)),
        (DENSITIES, densities(found.job)),
        (ABOUT, pd.DataFrame([{**_key(found), **_about(seed)}])),
    ):
        _put(folder / name, table, found)
    with off_screen():
        name = f"{found.job.model.name}--{found.job.study.id}.png".replace(":", "-")
        save(draw(found), folder / name)


def add_published(folder: Path, study: Study, rows: pd.DataFrame, seed: int) -> None:
    """Keep what print leaves of known truths: every row, rates, what they were made with, and a figure."""
    from cotreat.calibration.published import rates
    from cotreat.plots.published import draw
    from cotreat.plots.style import off_screen, save

    target = folder / PUBLISHED / study.id
    target.mkdir(parents=True, exist_ok=True)
    table, job = rates(rows), _job_of_print(study)
    about = {"study": study.id, "model": job.model.name, "priors": job.priors.name, **_about(seed)}
    store.write_table(table, target / RATES, [])
    store.write_table(densities(job), target / DENSITIES, [])
    store.write_table(pd.DataFrame([about]), target / ABOUT, [])
    # Thousands of rows: the same bytes each time.
    packed = {"method": "gzip", "mtime": 0}
    rows.to_csv(target / ROWS, index=False, float_format="%.6g", compression=packed)
    with off_screen():
        save(draw(table), target / "rates.png")


def _job_of_print(study: Study) -> Job:
    """Return the model by which print is reanalysed, under the default reading."""
    from cotreat.calibration.published import MODEL, PRIORS
    from cotreat.calibration.worlds import plain

    own = plain(study)
    return Job.of(own, MODEL, prior_set(PRIORS, own))


def _about(seed: int) -> dict[str, str | int]:
    """Say when something was made, and with what."""
    made = datetime.now(UTC).date().isoformat()
    return {"made": made, "seed": seed, **{name: version(name) for name in PACKAGES}}


def _key(found: Calibration) -> dict[str, str]:
    return {"study": found.job.study.id, "model": found.job.model.name}


def _put(path: Path, table: pd.DataFrame, found: Calibration) -> None:
    """Put rows in the place of those of the same study and model."""
    if path.exists():
        before = store.read_table(path)
        is_own = (before[list(_key(found))] == list(_key(found).values())).all(axis=1)
        table = pd.concat([before[~is_own], table])
    store.write_table(table, path, [])


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
    own_ones = kept[kept.study.isin(list(TEMPLATES))]
    for (study, model, priors), rows in own_ones.groupby(["study", "model", "priors"], sort=False):
        own = template(str(study))
        if _is_changed(Job.of(own, str(model), prior_set(str(priors), own)), rows):
            changed.append(f"{model} on {study}")
    published = sorted(folder.glob(f"{PUBLISHED}/*/{DENSITIES}"))
    return changed + [
        f"what is printed of {path.parent.name}"
        for path in published
        if _is_changed(_job_of_print(load_study(path.parent.name)), store.read_table(path))
    ]


def _is_changed(job: Job, rows: pd.DataFrame) -> bool:
    now, before = densities(job).log_density.to_numpy(), rows.log_density.to_numpy()
    return now.shape != before.shape or not np.allclose(now, before, rtol=SAME, atol=SAME)
