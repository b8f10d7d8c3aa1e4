"""Run the long checks in units with kept results: ``python -m validation.verify [--status] [NAME ...]``.

A unit is run if its result is missing or stale. A result is stale if the density of one of its models has changed
since the result was computed. A result is kept only when it is complete; an interrupted run resumes in the working
folder of the unit.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from cotreat.results import store
from validation.densities import KEY, Case, agree, densities
from validation.units import RESULTS, ROOT, UNITS, Unit

FOLDER = RESULTS / "verify"
DENSITIES, MADE, PENDING = FOLDER / "densities.csv", FOLDER / "units.csv", FOLDER / "pending.toml"
MINUTES = FOLDER / "minutes.csv"
WORK = FOLDER / ".working"
VERSION = "version"


def read_made() -> pd.DataFrame:
    """Read the version of each density with which each unit was computed.

    Returns
    -------
    pandas.DataFrame
        Columns ``unit``, ``study``, ``interpretation``, ``model``, ``version`` and ``made`` (date).
    """
    return _read(MADE, ["unit", *KEY, VERSION, "made"])


def read_densities() -> pd.DataFrame:
    """Read every stored version of the densities of kept results.

    Returns
    -------
    pandas.DataFrame
        Columns ``study``, ``interpretation``, ``model``, ``version``, ``point``, ``parameter``, ``at`` and
        ``value``; see `validation.densities.densities`.
    """
    return _read(DENSITIES, [*KEY, VERSION, "point", "parameter", "at", "value"])


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table with an interpretation column, or return an empty one."""
    if not path.exists():
        return pd.DataFrame(columns=columns)
    table = store.read_table(path)
    names = table.interpretation.astype(object)
    return table.assign(interpretation=names.where(names.notna(), ""))


def stale() -> list[str]:
    """Return the names of finished units with a density that has changed since they were computed."""
    made, kept = read_made(), read_densities()
    stored = {tuple(key): rows for key, rows in kept.groupby([*KEY, VERSION], sort=False)}
    names = []
    for unit in UNITS:
        rows = made[made.unit == unit.name]
        before = {
            (row.study, row.interpretation, row.model): row.version for row in rows.itertuples()
        }
        if unit.is_done and not all(_holds(case, before, stored) for case in unit.cases):
            names.append(unit.name)
    return names


def _holds(
    case: Case,
    before: dict[tuple[str, str, str], int],
    stored: dict[tuple[str, ...], pd.DataFrame],
) -> bool:
    """Test whether the density of a case equals the version with which a unit was computed."""
    key = (case.study, case.interpretation, case.model)
    return key in before and agree(densities(case), stored[*key, before[key]])


def record(units: Iterable[Unit]) -> None:
    """Record the densities with which units were computed; delete versions that no unit needs.

    Parameters
    ----------
    units
        Finished units.
    """
    made, kept = read_made(), read_densities()
    today = datetime.now(UTC).date().isoformat()
    rows = []
    for unit in units:
        made = made[made.unit != unit.name]
        for case in unit.cases:
            version, kept = _version(case, kept)
            rows.append((unit.name, case.study, case.interpretation, case.model, version, today))
    made = pd.concat([made, pd.DataFrame(rows, columns=made.columns)])
    needed = made[[*KEY, VERSION]].drop_duplicates()
    kept = kept.merge(needed, on=[*KEY, VERSION])
    FOLDER.mkdir(parents=True, exist_ok=True)
    order = {unit.name: at for at, unit in enumerate(UNITS)}
    made = made.sort_values("unit", key=lambda names: names.map(order), kind="stable")
    store.write_text(MADE, made.to_csv(index=False))
    store.write_text(DENSITIES, kept.to_csv(index=False, float_format="%.12g"))


def _version(case: Case, kept: pd.DataFrame) -> tuple[int, pd.DataFrame]:
    """Return the version of the current density of a case, and the densities with a new version added."""
    now = densities(case)
    stored = kept[(kept[KEY] == [case.study, case.interpretation, case.model]).all(axis=1)]
    for version, rows in stored.groupby(VERSION):
        if agree(now, rows):
            return int(version), kept
    version = int(stored[VERSION].max()) + 1 if len(stored) else 1
    added = now.assign(version=version)[list(kept.columns)]
    return version, pd.concat([kept, added]) if len(kept) else added


def pending() -> dict[str, dict[str, str]]:
    """Read the list of stale results that are known to be pending.

    Returns
    -------
    dict
        By unit: ``why``, the reason, and ``since``, the commit.
    """
    if not PENDING.exists():
        return {}
    listed = tomllib.loads(PENDING.read_text(encoding="utf-8")).get("pending", [])
    return {entry["name"]: {"why": entry["why"], "since": entry["since"]} for entry in listed}


def to_do() -> list[Unit]:
    """Return the units that are missing or stale."""
    old = set(stale())
    return [unit for unit in UNITS if not unit.is_done or unit.name in old]


def run(unit: Unit) -> bool:
    """Run a unit in its working folder, keep its result, and record its densities.

    Parameters
    ----------
    unit
        The unit to run.

    Returns
    -------
    bool
        Whether the command succeeded; if not, the kept results are unchanged.
    """
    work = WORK / unit.name.replace("/", "--")
    work.mkdir(parents=True, exist_ok=True)
    command = [word.format(work=work) for word in unit.command]
    before = _cpu_minutes()
    if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
        return False
    unit.keep(unit, work)
    record([unit])
    _record_minutes(unit, _cpu_minutes() - before)
    shutil.rmtree(work)
    return True


def _cpu_minutes() -> float:
    """Return the CPU-minutes of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def measured_minutes() -> dict[str, float]:
    """Read the CPU-minutes that each unit took when it was last computed.

    Returns
    -------
    dict
        CPU-minutes by name of the unit.
    """
    if not MINUTES.exists():
        return {}
    table = store.read_table(MINUTES)
    return dict(zip(table.unit, table.cpu_minutes, strict=True))


def _record_minutes(unit: Unit, minutes: float) -> None:
    """Record the CPU-minutes of a unit; a resumed unit counts its last part only."""
    measured = {**measured_minutes(), unit.name: round(minutes, 1)}
    rows = [(each.name, measured[each.name]) for each in UNITS if each.name in measured]
    table = pd.DataFrame(rows, columns=["unit", "cpu_minutes"])
    store.write_text(MINUTES, table.to_csv(index=False))


def status(units: list[Unit]) -> str:
    """List missing and stale units with their CPU-minutes, as last measured or else estimated.

    Parameters
    ----------
    units
        Missing and stale units.
    """
    if not units:
        return "every unit is done"
    measured = measured_minutes()
    minutes = [measured.get(unit.name, unit.minutes) for unit in units]
    lines = [
        f"{unit.name:<42} {'stale' if unit.is_done else 'missing':<8} {needed:6.0f} CPU-min"
        for unit, needed in zip(units, minutes, strict=True)
    ]
    total = sum(minutes)
    return "\n".join([*lines, f"{len(units)} of {len(UNITS)} units, {total:.0f} CPU-minutes"])


def main() -> int:
    """Run the missing and stale units."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", nargs="*", help="only these units, also if they are done")
    parser.add_argument(
        "--status", action="store_true", help="list missing and stale units, run nothing"
    )
    parser.add_argument("--adopt", action="store_true", help="record finished results as current")
    arguments = parser.parse_args()
    unknown = set(arguments.name) - {unit.name for unit in UNITS}
    if unknown:
        parser.error(f"no units {', '.join(sorted(unknown))}")
    named = [unit for unit in UNITS if unit.name in arguments.name]
    if arguments.adopt:
        record(unit for unit in named or UNITS if unit.is_done)
        return 0
    units = named or to_do()
    if arguments.status:
        print(status(units))
        return 0
    failed = []
    for unit in units:
        needed = measured_minutes().get(unit.name, unit.minutes)
        print(f"{unit.name}: about {needed:.0f} CPU-minutes", flush=True)
        began = time.monotonic()
        if not run(unit):
            failed.append(unit.name)
        print(f"{unit.name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
