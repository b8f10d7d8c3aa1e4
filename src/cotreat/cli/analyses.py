"""The commands of supplementary analyses: compare, sensitivity."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotreat.cli import options
from cotreat.cli.common import FAILED_CHECKS, make_folder, progress, read_study
from cotreat.cli.options import RESULTS, Depth
from cotreat.core.constants import SEED

if TYPE_CHECKING:
    from cotreat.results.supplementary import Analysis
    from cotreat.study.study import Study


def compare(
    study: options.Study,
    interpretation: options.Interpretation = None,
    priors: options.Priors = None,
    depth: options.AnalysisDepth = Depth.STANDARD,
    seed: options.Seed = SEED,
    out: options.Out = RESULTS,
    quiet: options.Quiet = False,
) -> None:
    """Compare the models of a study: prediction and Bayes factors.

    Fits the models of how treatments combine, then computes leave-one-out cross-validation with
    its unit declared, the prediction of each reported estimate or count from all others, Bayes factors
    of the interactions with the prior they depend on, and the probability of no interaction. Writes
    DIR/STUDY/comparison.
    """
    record = read_study(study).resolve(interpretation)
    _run("comparison", record, priors, depth, seed, out, quiet)


def sensitivity(
    study: options.Study,
    priors: options.Priors = None,
    depth: options.AnalysisDepth = Depth.STANDARD,
    seed: options.Seed = SEED,
    out: options.Out = RESULTS,
    quiet: options.Quiet = False,
) -> None:
    """Analyse the sensitivity to priors and interpretations.

    Fits the primary model, and others, under every belief of a grid, other interpretations and other
    models; finds which sceptical prior would make a result no longer conclusive, and measures how
    much results depend on the priors. Writes DIR/STUDY/sensitivity.
    """
    _run("sensitivity", read_study(study), priors, depth, seed, out, quiet)


def _run(
    name: str, study: "Study", priors: str | None, depth: Depth, seed: int, out: Path, quiet: bool
) -> None:
    """Write one supplementary analysis, and print its findings."""
    from cotreat.models.select import models_for
    from cotreat.priors.sets import prior_set

    chosen = prior_set(priors, study)
    models_for(study, chosen)
    folder, on_progress = make_folder(out / study.id), progress(quiet)
    # The heavy libraries take seconds to load: all input that can be refused is refused before.
    on_progress("loading PyMC, JAX and ArviZ …")
    from cotreat.results.supplementary import Task, read_analysis
    from cotreat.workflow import analyses

    task = Task(study, {}, chosen, depth.value, seed, on_progress)
    written = analyses.write_one(name, task, folder)
    analysis = read_analysis(written)
    heading = f"{study.title}: {analysis.title.lower()}, {chosen.name} priors, depth {depth.value}"
    print(_summary(analysis, heading, written))
    if analysis.failed_checks:
        raise typer.Exit(FAILED_CHECKS)


def _summary(analysis: "Analysis", heading: str, written: Path) -> str:
    """Return the text that ends a supplementary analysis: failed checks first."""
    failed = analysis.failed_checks
    lines = [f"FAILED CHECKS: do not use these numbers: {line}" for line in failed]
    lines += [heading, *(f"- {line}" for line in analysis.findings)]
    lines += [f"NOT COMPUTED: {line}" for line in analysis.failed if line not in failed]
    lines += ["", f"written: {written.as_posix()}"]
    lines += [f"to add it to report.html: cotreat report {written.parent.as_posix()}"]
    return "\n".join(lines)
