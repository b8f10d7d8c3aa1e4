"""Calibration templates, and the tables in which calibrations are kept."""

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

TABLE, BINS, ABOUT = "sbc.csv", "ranks.csv", "made.csv"
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
    """Write the tables of a calibration; an earlier one of the same study and model is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        (TABLE, found.table),
        (BINS, _bins(found)),
        (ABOUT, pd.DataFrame([{**_key(found), **about(seed)}])),
    ):
        _put(folder / name, table, found)


def about(seed: int) -> dict[str, str | int]:
    """Return when a result was made, its seed, and the versions it was made with."""
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
