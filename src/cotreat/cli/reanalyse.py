"""The command that fits the models of a study and writes everything about them."""

import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from cotreat.cli import completion, options
from cotreat.cli.common import FAILED_CHECKS, make_folder, progress
from cotreat.cli.options import RESULTS, WEAK, Depth
from cotreat.core.constants import CHAINS, DRAWS, SEED
from cotreat.inference.engines import ENGINES, require_engine

if TYPE_CHECKING:
    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="How treatments combine (see Models below); may be given several times. Without it: "
        "exchangeable, interaction, saturated and additive, as far as the study identifies them.",
        autocompletion=completion.models,
    ),
]
Interpretations = Annotated[
    list[str] | None,
    typer.Option(
        "--interpretation",
        metavar="NAME",
        help="Interpretation of an ambiguous statement, or all; may be given several times. Without it: "
        "every interpretation of the study file for the primary model, the default one for the others.",
        autocompletion=completion.interpretations,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(ENGINES),
        help="; ".join(f"{name}: {words}" for name, words in ENGINES.items())
        + ". Without it, interpretations other than the default one are sampled by smc, and at the "
        "depths quick and standard models other than the primary one are approximated by laplace. With "
        "reported estimates, smc replaces a fit that fails its checks.",
        autocompletion=completion.engines,
    ),
]
Thresholds = Annotated[
    list[float] | None,
    typer.Option(
        "--or-threshold",
        metavar="X",
        parser=options.positive,
        help="Report P(OR > X) as well; may be given several times.",
    ),
]
DepthOption = Annotated[
    Depth,
    typer.Option(
        help="Supplementary analyses. quick: models compared by importance weights, the primary model under "
        "other priors, a coarse bias surface; standard: refits where importance weights fail, each "
        "reported estimate or count left out, every interpretation and belief; full: interpretations, "
        "models and priors crossed, sequential Monte Carlo for Bayes factors."
    ),
]


class CommandWithModels(TyperCommand):
    """A command whose help ends with the models, read from their registry when it is shown."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the models, then the exit statuses."""
        with formatter.section("Models"):
            formatter.write_dl(list(completion.models()))
            formatter.write_text(
                "Where a study has several subgroups, name one after a colon: subgroups:age."
            )
        super().format_epilog(ctx, formatter)


def reanalyse(
    study: options.Study,
    model: Models = None,
    interpretation: Interpretations = None,
    priors: options.Priors = WEAK,
    engine: Engine = None,
    draws: Annotated[int, typer.Option(metavar="N", min=100, help="Draws kept per chain.")] = DRAWS,
    chains: Annotated[int, typer.Option(metavar="N", min=2, help="Chains.")] = CHAINS,
    seed: options.Seed = SEED,
    out: options.Out = RESULTS,
    depth: DepthOption = Depth.STANDARD,
    or_threshold: Thresholds = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit the models of a study and write a report.

    Each model gets a folder with summary.csv, checks.csv, figures and the draws of prior and posterior;
    the study gets one report.html.
    """
    from cotreat.priors.sets import prior_set
    from cotreat.study_file.reader import load_study

    record = load_study(study)
    prior = prior_set(priors, record)
    _refuse(record, prior, model or (), interpretation or (), engine)
    make_folder(out)
    # The heavy libraries take seconds to load: all input that can be refused is refused before.
    on_progress = progress(quiet)
    on_progress("loading PyMC, JAX and ArviZ …")
    from cotreat.cli.summary import text_of
    from cotreat.workflow.reanalyse import FailedChecks
    from cotreat.workflow.reanalyse import reanalyse as fit_and_write

    warnings.simplefilter("ignore", FailedChecks)  # printed once, at the top of the summary
    result = fit_and_write(
        record,
        model or (),
        prior,
        interpretations=interpretation or (),
        out=out,
        thresholds=list(dict.fromkeys(or_threshold or ())),
        on_progress=on_progress,
        engine=engine,
        depth=depth.value,
        draws=draws,
        chains=chains,
        seed=seed,
        progress=sys.stderr.isatty() and not quiet,
    )
    print(text_of(result))
    if result.failed:
        raise typer.Exit(FAILED_CHECKS)


def _refuse(
    study: "Study",
    priors: "PriorSet",
    models: Sequence[str],
    interpretations: Sequence[str],
    engine: str | None,
) -> None:
    """Raise the error of a model, an interpretation or an engine that the study cannot have."""
    from cotreat.models.select import models_for

    models_for(study, priors, models)
    for name in interpretations:
        if name != "all":
            study.resolve(name)
    require_engine(engine or next(iter(ENGINES)))
