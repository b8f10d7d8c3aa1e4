"""Arguments and options that several commands share."""

from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from cotreat.cli import completion
from cotreat.core import constants


class Depth(StrEnum):
    """How many supplementary analyses are done."""

    QUICK = constants.QUICK
    STANDARD = constants.STANDARD
    FULL = constants.FULL


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and isfinite(value)):
        raise typer.BadParameter(f"{text!r} is not a number above 0")
    return value


Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Name of a packaged study (see cotreat studies) or path of a study file.",
        autocompletion=completion.studies,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="How treatments combine; may be given several times.",
        autocompletion=completion.models,
    ),
]
Priors = Annotated[
    str,
    typer.Option(
        metavar="SET",
        help="Prior set: weak; a belief about the single effects of treatments: sceptical, neutral or "
        "enthusiastic, or a belief with its strength, such as grid:neutral-strong; a belief about "
        "interactions, such as interactions:optimistic-weak; or both, such as "
        "grid:neutral-strong:optimistic-weak.",
        autocompletion=completion.priors,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results of all studies.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Report no progress.")]

WEAK = "weak"
RESULTS = Path("results")
