"""Commands for what stands around the fits: compare, sensitivity."""

import argparse
from collections.abc import Callable
from pathlib import Path

from cotreat.cli.common import (
    EPILOG,
    FAILED_CHECKS,
    STUDY_HELP,
    Commands,
    announce,
    hush,
    probability,
    refuse,
    whole,
)
from cotreat.core.constants import DECIDED, DEPTHS, SEED, STANDARD
from cotreat.models.select import models_for
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study
from cotreat.study_file import load_study


def add_compare(commands: Commands) -> None:
    """Add the command that compares the models of a study."""
    command = commands.add_parser(
        "compare",
        help="compare the models of a study: prediction, Bayes factors, averages",
        description="Fit the models of a study that ask how treatments combine and compare them: "
        "leave-one-out cross-validation with its unit declared, each printed number or count in what all "
        "others predict of it, Bayes factors of the interactions with the prior they depend on, and the "
        "average over whether there are any. Writes DIR/STUDY/comparison.",
        epilog=EPILOG,
    )
    _add_part_options(
        command,
        "quick: importance weights alone; standard: refits where these fail, and each printed number "
        "or count left out; full: every unit refitted under every model, and sequential Monte Carlo",
    )
    command.add_argument("--reading", metavar="NAME", help="reading (default: the study's default)")
    command.set_defaults(run=_compare)


def add_sensitivity(commands: Commands) -> None:
    """Add the command that says what a study's answers depend on."""
    command = commands.add_parser(
        "sensitivity",
        help="say what a study's answers depend on: priors, readings, models",
        description="Fit a study's leading model, and others, under every belief of a grid, other readings "
        "and models; find which sceptic would not be convinced, and how much of each number is prior. "
        "Writes DIR/STUDY/sensitivity.",
        epilog=EPILOG,
    )
    _add_part_options(
        command,
        "quick: the leading model under other priors, and other models; standard: also every reading "
        "and belief, one thing changed at a time; full: readings, models and priors crossed",
    )
    command.add_argument(
        "--threshold",
        type=probability,
        action="append",
        metavar="P",
        help="P(synergy) for which the critical prior of each interaction is found; may be given several "
        f"times ({DECIDED})",
    )
    command.set_defaults(run=_sensitivity)


def _add_part_options(command: argparse.ArgumentParser, depths: str) -> None:
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.add_argument(
        "--priors",
        default="weak",
        metavar="SET",
        help="of the analysis, as in reanalyse (%(default)s)",
    )
    command.add_argument(
        "--depth", choices=DEPTHS, default=STANDARD, help=f"{depths} (%(default)s)"
    )
    command.add_argument(
        "--seed", type=whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument(
        "--out", default="results", metavar="DIR", help="where to write (%(default)s)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress")


def _compare(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    study = study.under(options.reading) if options.reading else study

    def write(priors: PriorSet, folder: Path, say: Callable[[str], None]) -> Path:
        from cotreat.comparison.compare import write

        return write(study, {}, priors, folder, depth=options.depth, seed=options.seed, say=say)

    return _part(options, study, write)


def _sensitivity(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    thresholds = list(dict.fromkeys(options.threshold or [DECIDED]))

    def write(priors: PriorSet, folder: Path, say: Callable[[str], None]) -> Path:
        from cotreat.report.sections.sensitivity import write

        return write(
            study,
            {},
            priors,
            folder,
            depth=options.depth,
            seed=options.seed,
            say=say,
            thresholds=thresholds,
        )

    return _part(options, study, write)


def _part(
    options: argparse.Namespace,
    study: Study,
    write: Callable[[PriorSet, Path, Callable[[str], None]], Path],
) -> int:
    """Write one part of a study's results, and print what it found."""
    priors = prior_set(options.priors, study)
    models_for(study, priors)
    folder = Path(options.out) / study.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return refuse(error)
    # What can be refused is refused by now; the heavy libraries take seconds to load.
    say = hush if options.quiet else announce
    say("loading PyMC, JAX and ArviZ …")
    from cotreat.results.supplementary import read_part
    from cotreat.workflow.analyses import one_thread

    with one_thread():
        written = write(priors, folder, say)
    part = read_part(written)
    failed = [f"FAILED CHECKS: do not use these numbers: {line}" for line in part.failed_checks]
    lines = [f"{study.title}: {part.title.lower()}, {priors.name} priors, depth {options.depth}"]
    lines += [f"- {line}" for line in part.findings]
    unanswered = [line for line in part.failed if line not in part.failed_checks]
    lines += [f"NOT ANSWERED: {line}" for line in unanswered]
    lines += ["", f"written: {written.as_posix()}"]
    lines += [f"to bring it into report.html: cotreat report {folder.as_posix()}"]
    print("\n".join([*failed, *lines]))
    return FAILED_CHECKS if failed else 0
