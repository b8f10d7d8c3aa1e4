"""Whole processes with caches of their own: how long they take, what they hold, what they print."""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MIB_A_KIB = 1 / 1024


@dataclass(frozen=True)
class Ran:
    """What became of a process.

    Attributes
    ----------
    seconds : float
        Wall time from its start to its end.
    mib : float
        Most memory that it, or any one process it waited for, held, in MiB.
    out : str
        What it printed.
    """

    seconds: float
    mib: float
    out: str


def run(command: list[str], caches: Path | None = None) -> Ran:
    """Run a command to its end.

    Parameters
    ----------
    caches
        Folder of the caches, which may hold those of an earlier run; None for empty ones.

    Raises
    ------
    RuntimeError
        If the command fails; what it said is in the message.
    """
    if caches is None:
        with tempfile.TemporaryDirectory() as folder:
            return run(command, Path(folder))
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(caches / "cache")
    environment["PYTENSOR_FLAGS"] = f"base_compiledir={caches / 'pytensor'}"
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=errors)
        # Not subprocess.run: only wait4 tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()}")
        return Ran(seconds, usage.ru_maxrss * MIB_A_KIB, out.read())
