"""The command that calibrates models."""

import argparse
import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cotreat.cli.common import (
    EPILOG,
    FAILED_CHECKS,
    Commands,
    announce,
    hush,
    refuse,
    whole,
)
from cotreat.names import REPLICATES, SEED

if TYPE_CHECKING:
    from cotreat.calibration.scale import Mapped


def add_calibrate(commands: Commands) -> None:
    """Add the command that finds out whether posteriors are what they say."""
    command = commands.add_parser(
        "calibrate",
        help="draw truths and evidence from a model, and see whether its posteriors find them",
        description="Simulation-based calibration: truths are drawn from the prior, evidence from the "
        "likelihood, and where each truth lies among draws of its posterior is uniform if the code is right. "
        "Of a MODEL under every kind of evidence, on made-up studies; of the models of a STUDY on its own "
        "regimens and numbers of patients. Writes DIR/calibration.",
        epilog=EPILOG,
    )
    command.add_argument(
        "target",
        metavar="MODEL|STUDY",
        nargs="?",
        default="",
        help="name of a model; name of a packaged study or path of a study file (default: every model)",
    )
    command.add_argument(
        "--model", action="append", metavar="NAME", help="of a study: this model alone"
    )
    command.add_argument(
        "--priors", default="weak", metavar="SET", help="prior set, as in reanalyse (%(default)s)"
    )
    command.add_argument(
        "--replicates",
        type=whole(20),
        default=REPLICATES,
        metavar="N",
        help="truths of each model (%(default)s)",
    )
    command.add_argument(
        "--seed", type=whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument(
        "--processes",
        type=whole(1),
        default=(os.cpu_count() or 1) if find_spec("distributed") else 1,
        metavar="N",
        help="processes of this machine, by Dask (cotreat[dask]) if more than one; they change no number "
        "(%(default)s)",
    )
    command.add_argument(
        "--dask", default="", metavar="ADDRESS", help="a Dask scheduler to use, as tcp://host:8786"
    )
    command.add_argument(
        "--out", default="results", metavar="DIR", help="where to write (%(default)s)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress")
    command.set_defaults(run=_calibrate)


def _tell(say: Callable[[str], None], what: str, done: int, all_: int) -> None:
    say(f"{what}: {done:,} of {all_:,}")


def _calibrate(options: argparse.Namespace) -> int:
    from cotreat.calibration.scale import ScaleError, workers

    folder = Path(options.out) / "calibration"
    try:
        with workers(options.processes, options.dask) as mapped:
            failed = _ranked(options, mapped, folder)
    except ScaleError as error:
        return refuse(error)
    print(f"written: {folder}")
    return FAILED_CHECKS if failed else 0


def _ranked(options: argparse.Namespace, mapped: "Mapped", folder: Path) -> bool:
    """Calibrate all that is asked for; tell whether any of it failed."""
    from cotreat.calibration import kept
    from cotreat.calibration.calibrate import calibrate
    from cotreat.priors import prior_set

    say = hush if options.quiet else announce
    failed = False
    for study, model in kept.wanted(options.target, options.model or (), options.priors):
        found = calibrate(
            study,
            model,
            prior_set(options.priors, study),
            replicates=options.replicates,
            seed=options.seed,
            mapped=mapped,
            say=partial(_tell, say, f"{model} on {study.id}"),
        )
        kept.add(folder, found, options.seed)
        print(found.sentence, flush=True)
        failed |= not found.passes
    return failed
