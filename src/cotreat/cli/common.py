"""What the commands share: exit statuses, kinds of numbers, and how to speak."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

Commands = Any  # argparse does not name the type of its subparsers

OTHER = 1
BAD_INPUT = 2
FAILED_CHECKS = 3
INTERRUPTED = 130

STUDY_HELP = "name of a packaged study (see cotreat studies) or path of a study file"
EPILOG = """exit status: 0 done; 2 the input cannot be used, nothing was written; 3 done, but a reported
fit failed its checks, which everything written says at its top; 1 anything else, such as a full
disk; 130 interrupted"""


def refuse(error: Exception) -> int:
    """Say why input cannot be used; return the exit status of that."""
    print(f"cotreat: {error}", file=sys.stderr)
    return BAD_INPUT


def whole(minimum: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from a minimum up."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} up")
        return int(text)

    return convert


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def hush(_: str) -> None:
    """Keep progress to oneself."""


def announce(line: str) -> None:
    """Say a line of progress where it is not in the way of results."""
    print(line, file=sys.stderr, flush=True)
