"""Run the long checks in units that are kept: ``python -m validation.verify [--status] [NAME ...]``.

A unit is run if its result is missing, or stale: if its models no longer have the densities that they had
when it was made. Its result takes its place only when it is whole; a run that was stopped goes on in the
working folder of the unit.
"""

import argparse
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
WORK = FOLDER / ".working"
VERSION = "version"


def read_made() -> pd.DataFrame:
    """Read which version of which density each unit was made with.

    Returns
    -------
    pandas.DataFrame
        Columns ``unit``, ``study``, ``interpretation``, ``model``, ``version`` and ``made``.
    """
    return _read(MADE, ["unit", *KEY, VERSION, "made"])


def read_densities() -> pd.DataFrame:
    """Read every version of the densities that kept results hold for."""
    return _read(DENSITIES, [*KEY, VERSION, "point", "parameter", "at", "value"])


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=columns)
    table = store.read_table(path)
    own = table.interpretation.astype(object)
    return table.assign(interpretation=own.where(own.notna(), ""))


def stale() -> list[str]:
    """Name the finished units whose models have other densities now than when they were made."""
    made, kept = read_made(), read_densities()
    known = {tuple(key): rows for key, rows in kept.groupby([*KEY, VERSION], sort=False)}
    found = []
    for unit in UNITS:
        own = made[made.unit == unit.name]
        before = {
            (row.study, row.interpretation, row.model): row.version for row in own.itertuples()
        }
        if unit.is_done and not all(_holds(case, before, known) for case in unit.cases):
            found.append(unit.name)
    return found


def _holds(
    case: Case,
    before: dict[tuple[str, str, str], int],
    known: dict[tuple[str, ...], pd.DataFrame],
) -> bool:
    key = (case.study, case.interpretation, case.model)
    return key in before and agree(densities(case), known[*key, before[key]])


def record(units: Iterable[Unit]) -> None:
    """Record the densities that units were made with, and drop those that no unit needs."""
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
    """Return the version of a case's density as it is now; a new one is added."""
    now = densities(case)
    own = kept[(kept[KEY] == [case.study, case.interpretation, case.model]).all(axis=1)]
    for version, rows in own.groupby(VERSION):
        if agree(now, rows):
            return int(version), kept
    version = int(own[VERSION].max()) + 1 if len(own) else 1
    added = now.assign(version=version)[list(kept.columns)]
    return version, pd.concat([kept, added]) if len(kept) else added


def pending() -> dict[str, dict[str, str]]:
    """Read the stale results that are listed: by name, ``why`` and ``since``, a commit."""
    if not PENDING.exists():
        return {}
    listed = tomllib.loads(PENDING.read_text(encoding="utf-8")).get("pending", [])
    return {one["name"]: {"why": one["why"], "since": one["since"]} for one in listed}


def to_do() -> list[Unit]:
    """Return the units that are missing or stale."""
    old = set(stale())
    return [unit for unit in UNITS if not unit.is_done or unit.name in old]


def run(unit: Unit) -> bool:
    """Run a unit in its working folder, keep its result, and record its densities.

    Returns
    -------
    bool
        Whether it ended well; if not, nothing that is kept has changed.
    """
    work = WORK / unit.name.replace("/", "--")
    work.mkdir(parents=True, exist_ok=True)
    command = [word.format(work=work) for word in unit.command]
    if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
        return False
    unit.keep(unit, work)
    record([unit])
    shutil.rmtree(work)
    return True


def status(units: list[Unit]) -> str:
    """Describe what is missing or stale, with estimated CPU-minutes."""
    if not units:
        return "every unit is done"
    lines = [
        f"{unit.name:<42} {'stale' if unit.is_done else 'missing':<8} {unit.minutes:6.0f} CPU-min"
        for unit in units
    ]
    total = sum(unit.minutes for unit in units)
    return "\n".join([*lines, f"{len(units)} of {len(UNITS)} units, {total:.0f} CPU-minutes"])


def main() -> int:
    """Run what is missing or stale."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", nargs="*", help="only these units, also if they are done")
    parser.add_argument("--status", action="store_true", help="print what is missing, run nothing")
    parser.add_argument("--adopt", action="store_true", help="record finished results as current")
    given = parser.parse_args()
    unknown = set(given.name) - {unit.name for unit in UNITS}
    if unknown:
        parser.error(f"no units {', '.join(sorted(unknown))}")
    named = [unit for unit in UNITS if unit.name in given.name]
    if given.adopt:
        record(unit for unit in named or UNITS if unit.is_done)
        return 0
    units = named or to_do()
    if given.status:
        print(status(units))
        return 0
    failed = []
    for unit in units:
        print(f"{unit.name}: about {unit.minutes:.0f} CPU-minutes", flush=True)
        began = time.monotonic()
        if not run(unit):
            failed.append(unit.name)
        print(f"{unit.name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
