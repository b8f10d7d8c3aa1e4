"""Run processes with separate caches and measure time, memory and output."""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MIB_A_KIB = 1 / 1024


@dataclass(frozen=True)
class Ran:
    """Result of a process.

    Attributes
    ----------
    seconds : float
        Wall time.
    mib : float
        Peak memory of the process or of its largest child process, in MiB.
    out : str
        Standard output.
    """

    seconds: float
    mib: float
    out: str


def run(command: list[str], caches: Path | None = None) -> Ran:
    """Run a command and measure it.

    Parameters
    ----------
    command
        Program and arguments.
    caches
        Folder of the caches, which may contain those of an earlier run; None for empty caches.

    Returns
    -------
    Ran
        Time, memory and output.

    Raises
    ------
    RuntimeError
        If the command fails; the message contains its standard error.
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
        # Not subprocess.run, because only wait4 returns the memory of a single child process.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()}")
        return Ran(seconds, usage.ru_maxrss * MIB_A_KIB, out.read())
