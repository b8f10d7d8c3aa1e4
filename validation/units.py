"""Define the units of `make verify`: command, kept files, CPU-minutes and densities of each long run."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cotreat.calibration.kept import ABOUT, BINS, TABLE, jobs, template_path
from cotreat.results import store
from validation.densities import Case

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
SCRIPT = "validation.scripts."


def _move(unit: "Unit", work: Path) -> None:
    """Move the files and folders of a unit from its working folder to ``results``."""
    for name in unit.files:
        target = RESULTS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        shutil.move(work / Path(name).name, target)


@dataclass(frozen=True)
class Unit:
    """A long run whose result is kept.

    Attributes
    ----------
    name : str
        Name, prefixed with the folder below ``results``.
    command : tuple of str
        Arguments of the Python interpreter; ``{work}`` is replaced by the working folder.
    files : tuple of str
        Kept files and folders, relative to ``results``.
    minutes : float
        Estimated CPU-minutes.
    cases : tuple of Case
        Models whose densities determine whether the result is stale.
    row : dict
        Columns and values that identify the rows of this unit in the first of `files`, if several units
        share that table.
    keep : callable
        Moves the result from the working folder to ``results``.
    """

    name: str
    command: tuple[str, ...]
    files: tuple[str, ...]
    minutes: float
    cases: tuple[Case, ...] = ()
    row: dict[str, str] = field(default_factory=dict)
    keep: Callable[["Unit", Path], None] = _move

    @property
    def is_done(self) -> bool:
        """Whether the result of the unit exists."""
        if not all((RESULTS / name).exists() for name in self.files):
            return False
        return not self.row or bool(_is_row(store.read_table(RESULTS / self.files[0]), self).any())


def _is_row(table: pd.DataFrame, unit: Unit) -> pd.Series:
    """Select the rows of a unit in a shared table."""
    return (table[list(unit.row)] == list(unit.row.values())).all(axis=1)


def _merge_rows(unit: Unit, work: Path, table: str) -> None:
    """Replace the earlier rows of a unit in a shared table, relative to ``results``."""
    after, target = store.read_table(work / table), RESULTS / table
    if target.exists():
        before = store.read_table(target)
        after = pd.concat([before[~_is_row(before, unit)], after])
    store.write_table(after, target, [])


def _merge(unit: Unit, work: Path) -> None:
    """Replace the earlier rows of a unit in the shared tables, and move its figures."""
    folder = RESULTS / "calibration"
    for name in (TABLE, BINS, ABOUT):
        _merge_rows(unit, work, f"calibration/{name}")
    for figure in (work / "calibration").glob("*.png"):
        shutil.move(figure, folder / figure.name)


def _calibrations() -> Iterator[Unit]:
    """Yield one unit per calibration of a model on a template."""
    for study, model in jobs():
        # The templates have one subgroup variable, age.
        name = "subgroups:age" if model == "subgroups" else model
        command = ("-m", "cotreat.cli", "calibrate", str(template_path(study)), "--model", name)
        yield Unit(
            f"calibration/{model}--{study}",
            (*command, "--quiet", "--out", "{work}"),
            (f"calibration/{TABLE}",),
            6.0 if study.startswith(("reported", "mixed")) else 2.0,
            (Case(study, model),),
            row={"study": study, "model": name},
            keep=_merge,
        )


REGRESSIONS = "calibration/real_regressions.csv"
PUBLISHED = ("reported", "reported-three", "reported-adjusted", "reported-sizes-unknown")
"""Templates without strata whose evidence is reported estimates alone."""


def _real_regressions() -> Iterator[Unit]:
    """Yield one unit per comparison of posteriors from published regressions with the truth."""
    for study, model in jobs():
        if study in PUBLISHED:
            script = f"{SCRIPT}real_regressions", study, model
            yield Unit(
                f"regressions/{model}--{study}",
                ("-m", *script, "--out", "{work}/calibration"),
                (REGRESSIONS,),
                9.0,
                (Case(study, model),),
                row={"study": study, "model": model},
                keep=lambda unit, work: _merge_rows(unit, work, REGRESSIONS),
            )


def _laplace() -> Iterator[Unit]:
    """Yield one unit per comparison of Laplace's approximation with NUTS."""
    two = ("interaction", "saturated", "additive")
    studies = dict.fromkeys(("factor-v-leiden", "isis2", "oral-cancer"), two)
    studies |= dict.fromkeys(("sun2024", "sun2024-synthetic"), ("exchangeable", *two))
    for study, models in studies.items():
        for model in models:
            yield Unit(
                f"laplace/{study}--{model}",
                ("-m", f"{SCRIPT}laplace_agreement", "--study", study, "--model", model),
                ("laplace/table.csv",),
                4.0,
                (Case(study, model),),
                row={"study": study, "model": model},
                keep=lambda _unit, _work: None,  # the script adds the row to the table itself
            )


DEFAULT = tuple(
    Case("sun2024", model) for model in ("exchangeable", "interaction", "saturated", "additive")
)
LEVELS = (Case("sun2024", "dose"), Case("sun2024", "duration"))
AMBIGUOUS = tuple(
    Case("sun2024", "exchangeable", name)
    for name in ("four-set-products", "mutually-adjusted-products", "abstract-wording")
)
SYNTHETIC = (
    Case("sun2024-synthetic", "interaction"),
    Case("sun2024-synthetic", "dose"),
    Case("sun2024-synthetic", "subgroups:kidney"),
)


def _others() -> Iterator[Unit]:
    """Yield the recovery studies and the checks of calibration."""
    flagship = DEFAULT[:1]
    recovery = "-m", f"{SCRIPT}recovery", "--out", "{work}"
    files = "recovery/table.csv", "recovery/README.md"
    yield Unit("recovery/reported", recovery, files, 25.0, flagship)
    dose = "-m", f"{SCRIPT}recovery_dose", "--out", "{work}"
    yield Unit("recovery/dose", dose, ("recovery/dose.csv", "recovery/dose.md"), 20.0)
    patients = "-m", f"{SCRIPT}recovery_patients", "--replicates", "200", "--out", "{work}"
    files = "recovery/patients.csv", "recovery/patients.md"
    yield Unit("recovery/patients", patients, files, 60.0, SYNTHETIC[:1])
    operator = "-m", f"{SCRIPT}simulate_operator", "--cohorts", "20000", "--seed", "68"
    files = "operator/table.csv", "operator/README.md"
    yield Unit("operator", (*operator, "--out", "{work}"), files, 90.0)
    published = "-m", f"{SCRIPT}published", "--cohorts", "40", "--out", "{work}"
    yield Unit(
        *("calibration/published", published, ("calibration/published/sun2024",), 180.0),
        (*flagship, *AMBIGUOUS),
        keep=lambda _unit, work: _replace(work / "published", RESULTS / "calibration/published"),
    )
    wrong = "-m", f"{SCRIPT}wrong_likelihood", "{work}"
    yield Unit("calibration/wrong_likelihood", wrong, ("calibration/wrong_likelihood.csv",), 20.0)
    for sizes, minutes in (("known", 20.0), ("unknown", 60.0)):
        widths = "-m", f"{SCRIPT}widths", sizes, "--out", "{work}"
        files = tuple(f"verify/widths-{sizes}.{ending}" for ending in ("csv", "md"))
        yield Unit(f"widths/{sizes}", widths, files, minutes)
    prior = "-m", f"{SCRIPT}baseline_prior", "--out", "{work}"
    cases = (Case("counts", "interaction"),)
    yield Unit("baseline_prior", prior, ("verify/baseline_prior.csv",), 3.0, cases)
    simuk = "-m", f"{SCRIPT}simuk_check", "{work}"
    cases = Case("counts", "interaction"), Case("counts-three", "exchangeable")
    yield Unit("calibration/simuk", simuk, ("calibration/simuk.csv",), 30.0, cases)


MODE_PARTS = 20
"""Number of parts of the simulated studies with unknown arm sizes."""


def _modes() -> Iterator[Unit]:
    """Yield one unit per part of the simulated studies with unknown arm sizes, then their summary."""
    script, parts = ("-m", f"{SCRIPT}modes", "--out", "{work}"), []
    for part in range(MODE_PARTS):
        parts.append(f"verify/modes/part-{part:02}.csv")
        yield Unit(f"modes/part-{part:02}", (*script, "--part", str(part)), (parts[-1],), 2.0)
    summary = (*script, "--summary", str(RESULTS / "verify" / "modes"))
    yield Unit("modes/summary", summary, ("verify/modes/bars.csv",), 0.1)


def _replace(source: Path, target: Path) -> None:
    """Replace a folder by another one."""
    if target.exists():
        shutil.rmtree(target)
    shutil.move(source, target)


STUDIES: dict[str, tuple[Case, ...]] = {
    "factor-v-leiden": (Case("factor-v-leiden", "interaction"),),
    "isis2": (Case("isis2", "interaction"),),
    "oral-cancer": (Case("oral-cancer", "interaction"),),
    "sun2024": (*DEFAULT, *AMBIGUOUS, *LEVELS),
    "sun2024-synthetic": SYNTHETIC,
}
"""Kept reanalyses of packaged studies: models and interpretations by study."""
MADE_BY = {
    "combination": DEFAULT[:1],
    "dose": LEVELS,
    "exposures": (*STUDIES["oral-cancer"], *STUDIES["factor-v-leiden"]),
    "interaction": STUDIES["isis2"],
    "patients": SYNTHETIC[:2],
    "saturated": (Case("isis2", "interaction"), Case("isis2", "saturated")),
    "subgroups": SYNTHETIC[2:],
    "synergy": (*DEFAULT, *AMBIGUOUS),
    "tacrolimus": DEFAULT,
}
"""Scripts in ``models``, and the models whose densities determine whether their output is stale."""


def _reanalyses() -> Iterator[Unit]:
    """Yield one unit per kept reanalysis and per script in ``models``."""
    for study, cases in STUDIES.items():
        command = ("-m", "validation.scripts.reanalyse_kept", study, "--out", "{work}")
        yield Unit(f"studies/{study}", command, (study,), 3.0 * len(cases), cases)
    for name, cases in MADE_BY.items():
        command = ("-m", "validation.scripts.run_script", name, "--out", "{work}")
        yield Unit(
            *(f"scripts/{name}", command, (f"verify/scripts/{name}.txt",)), 3.0 * len(cases), cases
        )


ISIS2 = tuple(Case("isis2", model) for model in ("interaction", "saturated", "additive"))
LONG_TESTS: dict[str, tuple[float, tuple[Case, ...]]] = {
    "test_calibration": (8.0, (Case("counts", "interaction"), Case("reported", "interaction"))),
    "test_checks": (3.0, ()),
    "test_comparison": (2.0, ISIS2[:1]),
    "test_strata": (2.0, LEVELS[:1]),
    "test_flagship": (8.0, DEFAULT),
    "test_patients": (3.0, ()),
    "test_readme": (12.0, ()),
    "test_recovery": (3.0, DEFAULT[:1]),
    "test_recovery_dose": (2.0, ()),
    "test_recovery_patients": (4.0, SYNTHETIC[:1]),
    "test_reverse_bayes": (1.0, ()),
    "test_sampling": (6.0, (*ISIS2, *STUDIES["oral-cancer"], *STUDIES["factor-v-leiden"])),
}
"""Files with tests marked ``long``: estimated CPU-minutes, and the models whose densities they depend on."""


def _long_tests() -> Iterator[Unit]:
    """Yield one unit per file with long tests."""
    for name, (minutes, cases) in LONG_TESTS.items():
        command = ("-m", "validation.scripts.long_tests", name, "--out", "{work}")
        yield Unit(f"tests/{name}", command, (f"verify/tests/{name}.txt",), minutes, cases)


UNITS = (
    *_calibrations(),
    *_real_regressions(),
    *_laplace(),
    *_others(),
    *_modes(),
    *_long_tests(),
    *_reanalyses(),
)
"""All units, in the order of execution."""
