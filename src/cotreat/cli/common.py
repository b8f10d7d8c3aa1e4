"""Exit statuses, error messages and progress of all commands."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from cotreat.study.study import Study

OTHER = 1
BAD_INPUT = 2
FAILED_CHECKS = 3
INTERRUPTED = 130

RENAMED = {"cells": "aggregate"}
"""Former names of commands, each with its present name."""

EXIT_STATUSES = (
    "Exit status: 0 done; 1 another error, such as a full disk; 2 the input cannot be used, and "
    "nothing was written; 3 done, but a reported fit failed its checks, as stated at the top of "
    "everything written; 130 interrupted."
)


class CommandGroup(TyperGroup):
    """The group of commands: each expected error becomes one message and an exit status."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the first word; refuse a former name with the present one.

        Parameters
        ----------
        ctx
            Context of the command line.
        args
            Words of the command line.

        Returns
        -------
        Any
            Name of the command, the command and the other words.

        Raises
        ------
        typer.Exit
            If the first word is the former name of a command.
        """
        if args and args[0] in RENAMED:
            raise stop(f"the command {args[0]} is now {RENAMED[args[0]]}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the user named.

        Parameters
        ----------
        ctx
            Context of the command line.

        Returns
        -------
        Any
            What the command returns.

        Raises
        ------
        typer.Exit
            If the command cannot continue: with the message on standard error and its exit status.
        """
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.TyperException):
            raise
        except BrokenPipeError:  # the reader of the output closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            raise stop(error, OTHER) from error
        except KeyboardInterrupt as error:
            unchanged = "interrupted; the folders of unfinished models are unchanged"
            raise stop(unchanged, INTERRUPTED) from error
        except _input_errors() as error:
            raise stop(error) from error


def _input_errors() -> tuple[type[Exception], ...]:
    """Return the errors of unusable input; their modules load only where an error is raised."""
    from cotreat.core.errors import ModelError
    from cotreat.inference.engines import EngineError
    from cotreat.study.study import InterpretationError
    from cotreat.study_file.reader import StudyError

    return StudyError, ModelError, EngineError, InterpretationError


def stop(error: Exception | str, status: int = BAD_INPUT) -> typer.Exit:
    """Print why a command cannot continue; return the exit to raise.

    Parameters
    ----------
    error
        Why the command cannot continue.
    status
        Exit status.

    Returns
    -------
    typer.Exit
        The exit, to be raised.
    """
    print(f"cotreat: {error}", file=sys.stderr)
    return typer.Exit(status)


def read_study(name: str) -> "Study":
    """Read a study, and print what is unusual about its numbers to standard error.

    Parameters
    ----------
    name
        Name of a packaged study, or path of a study file.

    Returns
    -------
    Study
        The study.
    """
    from cotreat.study_file.reader import load_study

    study = load_study(name)
    for caution in study.cautions:
        print(f"cotreat: warning: {caution}", file=sys.stderr)
    return study


def make_folder(path: Path) -> Path:
    """Make the folder of results, or stop before anything is fitted.

    Parameters
    ----------
    path
        The folder; its parents are made as well.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    typer.Exit
        If the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        words = (
            f"the folder of results {path} cannot be made: {error.strerror}; name another by --out"
        )
        raise stop(words) from error
    return path


def progress(quiet: bool) -> Callable[[str], None]:
    """Return the function that reports progress on standard error, or discards it.

    Parameters
    ----------
    quiet
        Whether progress is discarded.

    Returns
    -------
    Callable[[str], None]
        Called with each line of progress.
    """
    return (lambda _: None) if quiet else print_note


def print_note(line: str) -> None:
    """Print a line on standard error, apart from the results.

    Parameters
    ----------
    line
        The line.
    """
    print(line, file=sys.stderr, flush=True)
