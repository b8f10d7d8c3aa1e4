"""Time cotreat, rstanarm, brms and bambi on one cohort under the same priors, from cold, side by side.

Each is a whole process: cotreat with empty caches, rstanarm with the model that its package brings
compiled, brms with Stan code that it has to compile, bambi in an environment of its own, made before. Each draws 1,000 to warm up in each of four chains
and then so many that the least bulk ESS of a coefficient is at least 4,000; cotreat's engine laplace has no
warm-up and makes 4,000 effective draws.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from validation.scripts.processes import Ran, run

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "tests" / "reference"
LAPLACE = "laplace"
"""cotreat with this engine."""
WANTED = 4000
"""Bulk ESS that every coefficient must reach."""
DRAWS = {"cotreat": 1300, LAPLACE: 2000, "rstanarm": 2700, "brms": 2400, "bambi": 2200}
"""Draws a chain, found by trial: hundreds that reach it, few more than are needed."""
BARS = {
    ("cotreat", "rstanarm"): 1 / 3,
    ("cotreat", "brms"): 1 / 6,
    (LAPLACE, "rstanarm"): 1 / 2,
}
"""What cotreat, or its engine laplace, may take at most of a peer's time."""
BAMBI = "bambi==0.21.0"
FURTHER, AGAIN = 20, 0.5
"""Further fits by laplace in the same process, and how many seconds each may take."""


def programs(place: Path) -> dict[str, list[str]]:
    """Return the command of each program that is installed, or can be in a folder."""
    once = [sys.executable, str(HERE / "fit_once.py"), str(REFERENCE / "patients.toml")]
    commands = {
        "cotreat": [*once, "--draws", str(DRAWS["cotreat"])],
        LAPLACE: [*once, "--draws", str(DRAWS[LAPLACE]), "--engine", "laplace"],
    }
    for peer, script in (("rstanarm", "patients.R"), ("brms", "patients_brms.R")):
        if _has(peer):
            commands[peer] = ["Rscript", str(REFERENCE / script), str(DRAWS[peer])]
        else:
            print(f"{peer} is skipped: R with the packages {peer} and posterior is not installed")
    if python := _with_bambi(place):
        commands["bambi"] = [python, str(REFERENCE / "patients_bambi.py"), str(DRAWS["bambi"])]
    return commands


def _with_bambi(place: Path) -> str | None:
    """Make an environment with bambi; return its Python, or nothing where bambi cannot be had."""
    uv, python = Path(sys.executable).with_name("uv"), str(place / "bin" / "python")
    for command in (
        [str(uv), "venv", "--quiet", "--python", sys.executable, "--clear", str(place)],
        [str(uv), "pip", "install", "--quiet", "--system-certs", "--python", python, BAMBI],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            print(f"bambi is skipped: {' '.join(command[:3])} failed")
            return None
    return python


def _has(package: str) -> bool:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return False
    asked = f'quit(status = !all(sapply(c("{package}", "posterior"), requireNamespace, quietly = TRUE)))'
    return subprocess.run([rscript, "-e", asked], capture_output=True, check=False).returncode == 0


def ess_of(ran: Ran) -> float:
    """Read the least bulk ESS from what a program printed."""
    if ran.out.startswith("{"):
        return json.loads(ran.out)["ess"]
    found = re.search(r"^ess (\d+)", ran.out, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no ESS was printed, but {ran.out!r}")
    return float(found[1])


def measure(rounds: int) -> pd.DataFrame:
    """Run the programs one after the other, `rounds` times; a row a run."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        commands = programs(Path(place))
        for at in range(rounds):
            for name, command in commands.items():
                ran = run(command)
                print(f"  round {at + 1}, {name}: {ran.seconds:.1f} s", file=sys.stderr)
                rows.append((name, at + 1, DRAWS[name], ess_of(ran), ran.seconds, ran.mib))
    return pd.DataFrame(rows, columns=["what", "round", "draws", "ess", "seconds", "mib"])


def report(table: pd.DataFrame) -> list[str]:
    """Say medians, and how they compare to the bars."""
    medians = table.groupby("what").seconds.median()
    lines = []
    for name, own in table.groupby("what", sort=False):
        kind = "effective draws" if name == LAPLACE else "least bulk ESS"
        line = (
            f"{name:<10} {own.draws.iloc[0]:>6,} draws a chain, {kind} {own.ess.min():>6,.0f}, "
            f"median {statistics.median(own.seconds):6.1f} s of {len(own)} runs, peak {own.mib.max():,.0f} MiB"
        )
        for (own_name, peer), bar in BARS.items():
            if peer == name:
                ratio = medians[own_name] / medians[name]
                line += f"; {own_name} takes {ratio:.2f} of it (bar {bar:.2f}: {_verdict(ratio <= bar)})"
        if own.ess.min() < WANTED:
            line += f"; the ESS is short of {WANTED:,}"
        lines.append(line)
    return lines


def report_further() -> str:
    """Time further fits by laplace of the same shape in one process, and say what one takes."""
    once = [sys.executable, str(HERE / "fit_once.py"), str(REFERENCE / "patients.toml")]
    ran = run([*once, "--engine", "laplace", "--again", str(FURTHER)])
    seconds = json.loads(ran.out)["again"]
    return (
        f"laplace    a further fit of that shape, {WANTED:,} effective draws: median {seconds:.2f} s of "
        f"{FURTHER} (bar {AGAIN} s: {_verdict(seconds <= AGAIN)})"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"
