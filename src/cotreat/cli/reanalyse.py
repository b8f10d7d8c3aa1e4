"""The command that fits the models of a study and writes everything about them."""

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cotreat.cli import completion, options
from cotreat.cli.common import FAILED_CHECKS, make_folder, progress, read_study
from cotreat.cli.options import RESULTS, Depth
from cotreat.core.constants import CHAINS, DRAWS, SEED
from cotreat.inference.engines import ENGINES, require_engine


class CommandWithModels(TyperCommand):
    """A command whose help ends with the models, read from their registry when it is shown."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the models, then the exit statuses.

        Parameters
        ----------
        ctx
            Context of the command line.
        formatter
            What the help is written to.
        """
        with formatter.section("Models"):
            formatter.write_dl(list(completion.models()))
            formatter.write_text(
                "Where a study has several subgroups, name one after a colon: subgroups:age."
            )
        super().format_epilog(ctx, formatter)


def reanalyse(
    study: options.Study,
    model: options.Models = None,
    interpretation: options.Interpretations = None,
    priors: options.Priors = None,
    engine: options.Engine = None,
    draws: Annotated[int, typer.Option(metavar="N", min=100, help="Draws kept per chain.")] = DRAWS,
    chains: Annotated[int, typer.Option(metavar="N", min=2, help="Chains.")] = CHAINS,
    seed: options.Seed = SEED,
    out: options.Out = RESULTS,
    depth: options.AnalysisDepth = Depth.STANDARD,
    or_threshold: options.Thresholds = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit the models of a study and write a report.

    Each model gets a folder with summary.csv, checks.csv, figures and the draws of prior and posterior;
    the study gets one report.html.
    """
    from cotreat.models.select import models_for
    from cotreat.priors.sets import prior_set

    record = read_study(study)
    prior = prior_set(priors, record)
    # The heavy libraries take seconds to load: all input that can be refused is refused before.
    models_for(record, prior, model or ())
    for name in interpretation or ():
        if name != "all":
            record.resolve(name)
    require_engine(engine or next(iter(ENGINES)))
    make_folder(out)
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
