"""The command line: studies, audit, cells, simulate, reanalyse, compare, sensitivity, calibrate, report."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cotreat.cli.around import add_compare, add_sensitivity
from cotreat.cli.calibrating import add_calibrate
from cotreat.cli.common import EPILOG, INTERRUPTED, OTHER, refuse
from cotreat.cli.looking import add_audit, add_cells, add_report, add_simulate, add_studies
from cotreat.cli.reanalysing import add_reanalyse
from cotreat.core.errors import ModelError
from cotreat.inference.engines import EngineError
from cotreat.study.study import ReadingError
from cotreat.study_file import StudyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without β must not end a run
            stream.reconfigure(errors="replace")
    try:
        return options.run(options)
    except (StudyError, ModelError, EngineError, ReadingError) as error:
        return refuse(error)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"cotreat: {error}", file=sys.stderr)
        return OTHER
    except KeyboardInterrupt:
        print(
            "cotreat: interrupted; folders of models not finished are as they were", file=sys.stderr
        )
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="cotreat",
        description="Bayesian reanalysis of studies that give treatments in combination and count a "
        "yes/no outcome: risks, odds ratios, the probability of synergy in every sense of the word, "
        "beside the frequentist estimates.",
        epilog=EPILOG,
    )
    command_line.add_argument(
        "--version", action="version", version=f"cotreat {version('cotreat')}"
    )
    commands = command_line.add_subparsers(required=True, metavar="COMMAND")
    add_studies(commands)
    add_audit(commands)
    add_cells(commands)
    add_simulate(commands)
    add_reanalyse(commands)
    add_compare(commands)
    add_sensitivity(commands)
    add_calibrate(commands)
    add_report(commands)
    return command_line
