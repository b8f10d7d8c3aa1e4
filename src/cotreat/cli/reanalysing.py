"""The command that does everything: reanalyse."""

import argparse
import sys
import warnings
from pathlib import Path

from cotreat.cli.common import (
    EPILOG,
    FAILED_CHECKS,
    STUDY_HELP,
    Commands,
    announce,
    hush,
    positive,
    refuse,
    whole,
)
from cotreat.core.constants import CHAINS, DEPTHS, DRAWS, SEED, STANDARD
from cotreat.inference.engines import ENGINES, require_engine
from cotreat.models.registry import MODELS
from cotreat.models.select import models_for
from cotreat.priors.sets import prior_set
from cotreat.study_file import load_study


def add_reanalyse(commands: Commands) -> None:
    """Add the command that samples the models of a study."""
    command = commands.add_parser(
        "reanalyse",
        help="sample the models of a study and write tables, figures and report",
        description="Sample prior and posterior of a study under one or more models; write for each "
        "of them summary.csv, checks.csv, figures and the draws, and one report.html.",
        epilog=EPILOG,
    )
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="how treatments combine; may be given several times (default: exchangeable, interaction, "
        "saturated and additive, as far as the study can carry them; others answer questions of their "
        "own). " + " ".join(f"{m.name}: {m.sentence}" for m in MODELS.values()) + " Of several "
        "subgroups one is named after a colon, such as subgroups:age.",
    )
    command.add_argument(
        "--reading",
        action="append",
        metavar="NAME",
        help="how to take words in print that leave something open, or all; may be given several times "
        "(default: the leading model under every reading of the study file, other models under its "
        "default one)",
    )
    command.add_argument(
        "--priors",
        default="weak",
        metavar="SET",
        help="weak (default); a belief about the treatments' single effects: sceptical (they work "
        "the wrong way), neutral (near none) or enthusiastic; or one of the grid of belief and "
        "strength, such as grid:neutral-strong; or such a belief about interactions, interactions:optimistic-weak, "
        "or about effects and then interactions, grid:neutral-strong:optimistic-weak.",
    )
    command.add_argument(
        "--engine",
        choices=list(ENGINES),
        help="; ".join(f"{name}: {words}" for name, words in ENGINES.items())
        + ". Without it readings other than the default are sampled by smc, and at depths quick and standard "
        "models that do not make the headline are approximated by laplace. With printed numbers a fit "
        "that fails its checks is replaced by smc.",
    )
    command.add_argument(
        "--draws",
        type=whole(100),
        default=DRAWS,
        metavar="N",
        help="kept draws a chain (%(default)s)",
    )
    command.add_argument(
        "--chains", type=whole(2), default=CHAINS, metavar="N", help="chains (%(default)s)"
    )
    command.add_argument(
        "--seed", type=whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument(
        "--out", default="results", metavar="DIR", help="where to write (%(default)s)"
    )
    command.add_argument(
        "--depth",
        choices=DEPTHS,
        default=STANDARD,
        help="how much is worked out around the fits. quick: models compared by importance weights, the "
        "leading one under other priors, a coarse surface of bias; standard: refits where weights fail, "
        "each printed number or count left out, every reading and belief; full: readings, models and "
        "priors crossed, sequential Monte Carlo for Bayes factors (%(default)s)",
    )
    command.add_argument(
        "--or-threshold",
        type=positive,
        action="append",
        default=[],
        metavar="X",
        help="also give P(odds ratio > X); may be given several times",
    )
    command.add_argument(
        "--quiet", action="store_true", help="no progress, only the results at the end"
    )
    command.set_defaults(run=_reanalyse)


def _reanalyse(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    priors = prior_set(options.priors, study)
    models_for(study, priors, options.model or ())
    for reading in options.reading or ():
        if reading != "all":
            study.under(reading)
    require_engine(options.engine or next(iter(ENGINES)))
    try:
        Path(options.out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return refuse(error)

    # What can be refused is refused by now; the heavy libraries take seconds to load.
    say = hush if options.quiet else announce
    say("loading PyMC, JAX and ArviZ …")
    from cotreat.cli.ending import ending
    from cotreat.workflow.reanalyse import FailedChecks, reanalyse

    warnings.simplefilter("ignore", FailedChecks)  # what failed is printed on top, once
    result = reanalyse(
        study,
        options.model or (),
        priors,
        readings=options.reading or (),
        out=options.out,
        thresholds=list(dict.fromkeys(options.or_threshold)),
        say=say,
        engine=options.engine,
        depth=options.depth,
        draws=options.draws,
        chains=options.chains,
        seed=options.seed,
        progress=sys.stderr.isatty() and not options.quiet,
    )
    print(ending(result))
    return FAILED_CHECKS if result.failed else 0
