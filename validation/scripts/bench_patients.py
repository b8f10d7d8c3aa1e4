"""Compare the run times of cotreat, rstanarm, brms and bambi on one cohort under the same priors.

Each run is a complete process: cotreat with empty caches, rstanarm with its compiled model, brms with compilation
of its Stan code, bambi in a separate environment that exists already. Each sampler has four chains with 1,000
warm-up draws, and as many further draws as the smallest bulk ESS of a coefficient needs to reach 4,000. The engine
laplace of cotreat has no warm-up and yields 4,000 effective draws.
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
"""Name of cotreat with the engine laplace."""
WANTED = 4000
"""Smallest bulk ESS required of every coefficient."""
DRAWS = {"cotreat": 1300, LAPLACE: 2000, "rstanarm": 2700, "brms": 2400, "bambi": 2200}
"""Draws per chain, chosen by trial: multiples of 100 that reach `WANTED` with few more than needed."""
BARS = {
    ("cotreat", "rstanarm"): 1 / 3,
    ("cotreat", "brms"): 1 / 6,
    (LAPLACE, "rstanarm"): 1 / 2,
}
"""Targets: largest ratio of the time of cotreat, or its engine laplace, to that of another package."""
BAMBI = "bambi==0.21.0"
FURTHER, AGAIN = 20, 0.5
"""Number of further fits by laplace in the same process, and the target of each in seconds."""


def programs(place: Path) -> dict[str, list[str]]:
    """Return the command of each program that is installed or can be installed.

    Parameters
    ----------
    place
        Folder for the environment of bambi.

    Returns
    -------
    dict
        Command by program.
    """
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
    """Create an environment with bambi; return its Python, or None if bambi cannot be installed."""
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
    """Test whether R has a package, and the package posterior."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return False
    expression = f'quit(status = !all(sapply(c("{package}", "posterior"), requireNamespace, quietly = TRUE)))'
    return (
        subprocess.run([rscript, "-e", expression], capture_output=True, check=False).returncode
        == 0
    )


def ess_of(ran: Ran) -> float:
    """Read the smallest bulk ESS from the output of a program.

    Parameters
    ----------
    ran
        A finished process.

    Raises
    ------
    RuntimeError
        If the output contains no ESS.
    """
    if ran.out.startswith("{"):
        return json.loads(ran.out)["ess"]
    match = re.search(r"^ess (\d+)", ran.out, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"the output contains no ESS: {ran.out!r}")
    return float(match[1])


def measure(rounds: int) -> pd.DataFrame:
    """Run all programs in turn, `rounds` times.

    Parameters
    ----------
    rounds
        Number of runs per program.

    Returns
    -------
    pandas.DataFrame
        One row per run: program, round, draws per chain, smallest bulk ESS, seconds and memory (MiB).
    """
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
    """Report medians and compare them with the targets.

    Parameters
    ----------
    table
        Runs returned by `measure`.

    Returns
    -------
    list of str
        One line per program.
    """
    medians = table.groupby("what").seconds.median()
    lines = []
    for name, runs in table.groupby("what", sort=False):
        kind = "effective draws" if name == LAPLACE else "least bulk ESS"
        line = (
            f"{name:<10} {runs.draws.iloc[0]:>6,} draws per chain, {kind} {runs.ess.min():>6,.0f}, "
            f"median {statistics.median(runs.seconds):6.1f} s of {len(runs)} runs, peak {runs.mib.max():,.0f} MiB"
        )
        for (own_name, peer), bar in BARS.items():
            if peer == name:
                ratio = medians[own_name] / medians[name]
                line += f"; {own_name} takes {ratio:.2f} of it (bar {bar:.2f}: {_verdict(ratio <= bar)})"
        if runs.ess.min() < WANTED:
            line += f"; the ESS is short of {WANTED:,}"
        lines.append(line)
    return lines


def report_further() -> str:
    """Measure and report the time of further fits by laplace of the same shape in one process."""
    once = [sys.executable, str(HERE / "fit_once.py"), str(REFERENCE / "patients.toml")]
    ran = run([*once, "--engine", "laplace", "--again", str(FURTHER)])
    seconds = json.loads(ran.out)["again"]
    return (
        f"laplace    a further fit of that shape, {WANTED:,} effective draws: median {seconds:.2f} s of "
        f"{FURTHER} (bar {AGAIN} s: {_verdict(seconds <= AGAIN)})"
    )


def _verdict(is_met: bool) -> str:
    """Return whether a target is met, in words."""
    return "met" if is_met else "missed"
