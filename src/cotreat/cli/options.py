"""Arguments and options that several commands share."""

from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from cotreat.cli import completion
from cotreat.core import constants
from cotreat.inference.engines import ENGINES


class Depth(StrEnum):
    """How many supplementary analyses are done."""

    QUICK = constants.QUICK
    STANDARD = constants.STANDARD
    FULL = constants.FULL


def positive(text: str) -> float:
    """Read a number above 0.

    Parameters
    ----------
    text
        The number as written.

    Returns
    -------
    float
        The number.

    Raises
    ------
    typer.BadParameter
        If it is no number, not above 0, or not finite.
    """
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
        help="How treatments combine: a model that cotreat reanalyse --help lists; may be given several "
        "times. Without it: exchangeable, interaction, saturated and additive, as far as the study "
        "identifies them.",
        autocompletion=completion.models,
    ),
]
Interpretation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Interpretation of ambiguous statements. Without it: the study's default.",
        autocompletion=completion.interpretations,
    ),
]
Interpretations = Annotated[
    list[str] | None,
    typer.Option(
        "--interpretation",
        metavar="NAME",
        help="Interpretation of ambiguous statements, or all; may be given several times. Without it: "
        "every interpretation of the study file for the primary model, the default one for the others.",
        autocompletion=completion.interpretations,
    ),
]
Priors = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="Prior set: weak, or exposures for larger effects. Without it: exposures if synergy is judged on "
        "the event of a harm, otherwise weak. A belief about the single effects of treatments: sceptical, "
        "pessimistic, neutral or optimistic, or a belief with its strength, such as grid:neutral-strong; a belief about "
        "interactions, such as interactions:optimistic-weak; or both, such as "
        "grid:neutral-strong:optimistic-weak.",
        autocompletion=completion.priors,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(ENGINES),
        help="; ".join(f"{name}: {description}" for name, description in ENGINES.items())
        + ". Without it, interpretations other than the default one are sampled by smc, and at the "
        "depths quick and standard models other than the primary one are approximated by laplace. With "
        "reported estimates, smc replaces a fit that fails its checks.",
        autocompletion=lambda: list(ENGINES.items()),
    ),
]
Thresholds = Annotated[
    list[float] | None,
    typer.Option(
        "--or-threshold",
        metavar="X",
        parser=positive,
        help="Report P(OR > X) as well; may be given several times.",
    ),
]
AnalysisDepth = Annotated[
    Depth,
    typer.Option(
        help="Extent of the supplementary analyses. quick: models compared by importance weights, the "
        "primary model under other priors, a coarse bias surface; standard: refits where importance weights "
        "fail, each reported estimate or count left out, every interpretation and belief, one change at a "
        "time; full: every unit refitted under every model, interpretations, models and priors crossed, "
        "sequential Monte Carlo for Bayes factors."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results of all studies.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Report no progress.")]

RESULTS = Path("results")
