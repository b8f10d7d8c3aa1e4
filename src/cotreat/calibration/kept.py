"""Calibration templates, and the tables to which calibrations are written."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.calibration.sbc import Calibration
from cotreat.inference.sampling import PACKAGES
from cotreat.models.registry import MODELS, is_on_request
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
    "reported": ("additive", "interaction", "saturated"),
    "reported-three": ("exchangeable",),
    "reported-levels": ("dose", "duration"),
    "reported-subgroups": ("subgroups",),
    "reported-adjusted": ("additive", "interaction", "saturated"),
    "reported-sizes-unknown": ("additive", "interaction", "saturated"),
    "mixed": ("additive", "interaction", "saturated"),
    "mixed-three": ("exchangeable",),
    "mixed-levels": ("dose", "duration"),
    "mixed-subgroups": ("subgroups",),
    "patients": ("additive", "interaction", "saturated", "dose", "duration", "subgroups"),
    "patients-three": ("exchangeable",),
}
"""Synthetic studies by kind of evidence, and the models that are calibrated on each."""

TABLE, BINS, ABOUT = "sbc.csv", "ranks.csv", "made.csv"
SHOWN_BINS = 20


def template(name: str) -> Study:
    """Read a study of `TEMPLATES`.

    Parameters
    ----------
    name
        A key of `TEMPLATES`.

    Returns
    -------
    Study
    """
    return load_study(str(template_path(name)))


def template_path(name: str) -> Any:
    """Return the path of the study file of a template.

    Parameters
    ----------
    name
        A key of `TEMPLATES`.

    Returns
    -------
    Traversable
        The path in the package.
    """
    return resources.files("cotreat.calibration") / "templates" / f"{name}.toml"


def jobs(model: str = "") -> Iterator[tuple[str, str]]:
    """Yield template and model, of all models or of one.

    Parameters
    ----------
    model
        Name of a model; empty for all.

    Yields
    ------
    tuple of str
        Name of the template, and name of the model.
    """
    for name, models in TEMPLATES.items():
        yield from ((name, each) for each in models if model in ("", each))


def wanted(target: str, models: Sequence[str], priors: str | None) -> Iterator[tuple[Study, str]]:
    """Yield the studies and models to calibrate.

    Parameters
    ----------
    target
        A model, for all its `TEMPLATES`; a study; or empty, for all templates and models.
    models
        Models of a study; empty for all that need not be requested by name.
    priors
        Name of a prior set.

    Yields
    ------
    tuple of Study and str
        A study, and the name of a model.

    Raises
    ------
    StudyError
        If there is no such study or model.
    ModelError
        If the study cannot carry a model.
    """
    if target in ("", *MODELS):
        yield from ((template(name), model) for name, model in jobs(target))
        return
    study = load_study(target)
    possible, _ = models_for(study, prior_set(priors, study), models)
    yield from ((study, model) for model in possible if models or not is_on_request(model))


def add(folder: Path, calibration: Calibration, seed: int) -> None:
    """Write the tables of a calibration, in place of an earlier one of the same study and model.

    Parameters
    ----------
    folder
        Folder of the tables; made if it does not exist.
    calibration
        The calibration.
    seed
        Its random seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = {"study": calibration.job.study.id, "model": calibration.job.model.name}
    _replace(folder / TABLE, calibration.table, key)
    _replace(folder / BINS, _bins(calibration).assign(**key), key)
    _replace(folder / ABOUT, pd.DataFrame([{**key, **about(seed)}]), key)


def about(seed: int) -> dict[str, str | int]:
    """Return today's date, a seed, and the versions of the libraries.

    Parameters
    ----------
    seed
        Random seed.

    Returns
    -------
    dict
        Columns of `ABOUT`, without study and model.
    """
    made = datetime.now(UTC).date().isoformat()
    return {"made": made, "seed": seed, **{name: version(name) for name in PACKAGES}}


def _replace(path: Path, table: pd.DataFrame, key: dict[str, str]) -> None:
    """Write rows in place of those of the same study and model."""
    if path.exists():
        before = store.read_table(path)
        is_old = (before[list(key)] == list(key.values())).all(axis=1)
        table = pd.concat([before[~is_old], table])
    store.write_table(table, path, [])


def _bins(calibration: Calibration) -> pd.DataFrame:
    """Count the ranks of every quantity in bins of equal width."""
    by_quantity, top = calibration.ranks, calibration.uniformity.draws + 1
    counts = [np.histogram(ranks, SHOWN_BINS, (0, top))[0] for ranks in by_quantity.to_numpy()]
    table = pd.DataFrame(counts, columns=[f"bin_{at + 1}" for at in range(SHOWN_BINS)])
    table.insert(0, "quantity", by_quantity.index.get_level_values("quantity"))
    return table
