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
from cotreat.core.constants import COHORTS, REPLICATES, SEED

if TYPE_CHECKING:
    from cotreat.calibration.parallel import Mapped


def add_calibrate(commands: Commands) -> None:
    """Add the command that finds out whether posteriors are what they say."""
    command = commands.add_parser(
        "calibrate",
        help="draw truths and evidence from a model, and see whether its posteriors find them",
        description="Simulation-based calibration: truths are drawn from the prior, evidence from the "
        "likelihood, and where each truth lies among draws of its posterior is uniform if the code is right. "
        "Of a MODEL under every kind of evidence, on made-up studies; of the models of a STUDY on its own "
        "regimens and numbers of patients. With --published, cohorts in the image of a STUDY of which only "
        "numbers are printed are drawn patient by patient from worlds in which risks add, odds multiply, or "
        "treatments are synergistic; what the study prints of them is reanalysed, and P(synergy) compared "
        "with the truth. Writes DIR/calibration.",
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
        "--published",
        action="store_true",
        help="of a study: draw cohorts, print what it prints, and reanalyse that",
    )
    command.add_argument(
        "--cohorts",
        type=whole(1),
        default=COHORTS,
        metavar="N",
        help="with --published, cohorts of each world (%(default)s)",
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


def _refused(options: argparse.Namespace) -> str:
    """Say what of the options does not go together; nothing if all does."""
    if not options.published:
        return ""
    if not options.target:
        return "--published needs a study of printed numbers, such as sun2024"
    if options.model or (options.priors, options.replicates) != ("weak", REPLICATES):
        return (
            "--published takes no --model, --priors or --replicates: what is printed is reanalysed by "
            "exchangeable under weak priors, so many --cohorts of each world"
        )
    return ""


def _calibrate(options: argparse.Namespace) -> int:
    from cotreat.calibration.parallel import ScaleError, workers
    from cotreat.simulate import SimulationError

    if why := _refused(options):
        return refuse(ValueError(why))
    folder = Path(options.out) / "calibration"
    work = _published if options.published else _ranked
    try:
        with workers(options.processes, options.dask) as mapped:
            failed = work(options, mapped, folder)
    except (ScaleError, SimulationError) as error:
        return refuse(error)
    print(f"written: {folder}")
    return FAILED_CHECKS if failed else 0


def _ranked(options: argparse.Namespace, mapped: "Mapped", folder: Path) -> bool:
    """Calibrate all that is asked for; tell whether any of it failed."""
    from cotreat.calibration import kept
    from cotreat.calibration.sbc import calibrate
    from cotreat.priors.sets import prior_set

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


def _published(options: argparse.Namespace, mapped: "Mapped", folder: Path) -> bool:
    """Reanalyse what would be printed of cohorts in the image of a study."""
    from cotreat.calibration import kept
    from cotreat.calibration.published import reanalyse_published
    from cotreat.study_file import load_study

    study = load_study(options.target)
    say = hush if options.quiet else announce
    rows = reanalyse_published(
        study,
        cohorts=options.cohorts,
        seed=options.seed,
        mapped=mapped,
        say=partial(_tell, say, f"parts of {study.id}"),
    )
    kept.add_published(folder, study, rows, options.seed)
    return False
