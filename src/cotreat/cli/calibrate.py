"""The command that calibrates models by simulation."""

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import typer

from cotreat.cli import completion, options
from cotreat.cli.common import FAILED_CHECKS, progress, stop
from cotreat.cli.options import RESULTS
from cotreat.core.constants import REPLICATES, SEED

PROCESSES = (os.cpu_count() or 1) if find_spec("distributed") else 1

Replicates = Annotated[
    int, typer.Option(metavar="N", min=20, help="Parameter sets drawn per model.")
]
Processes = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Processes on this machine, by Dask (cotreat[dask]) if more than one; the numbers are the same.",
    ),
]


def calibrate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|STUDY",
            help="Name of a model, or name or path of a study. Without it: every model.",
            autocompletion=lambda: [
                *(name for name, _ in completion.models()),
                *completion.studies(),
            ],
            show_default=False,
        ),
    ] = "",
    model: options.Models = None,
    priors: options.Priors = None,
    replicates: Replicates = REPLICATES,
    seed: options.Seed = SEED,
    processes: Processes = PROCESSES,
    dask: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler to use instead, such as tcp://host:8786.",
            show_default=False,
        ),
    ] = "",
    out: options.Out = RESULTS,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate models by simulation (SBC).

    Simulation-based calibration draws parameters from the prior and evidence from the likelihood. If the
    code is right, the rank of each parameter among draws of its posterior is uniform. Calibrates a MODEL
    under every kind of evidence, on simulated studies, or the models of a STUDY on its regimens and
    numbers of patients. Writes DIR/calibration.
    """
    from cotreat.calibration import kept
    from cotreat.calibration.parallel import ScaleError, workers
    from cotreat.calibration.sbc import calibrate as calibrate_one
    from cotreat.plots.ranks import write_ranks

    folder, on_progress, all_pass = out / "calibration", progress(quiet), True
    try:
        with workers(processes, dask) as mapped:
            for study, name in kept.wanted(target, model or (), priors):
                calibration = calibrate_one(
                    study,
                    name,
                    priors,
                    replicates=replicates,
                    seed=seed,
                    mapped=mapped,
                    on_progress=partial(_report, on_progress, f"{name} on {study.id}"),
                )
                kept.add(folder, calibration, seed)
                write_ranks(calibration, folder)
                print(calibration.sentence, flush=True)
                all_pass &= calibration.passes
    except ScaleError as error:
        raise stop(error) from error
    print(f"written: {folder}")
    if not all_pass:
        raise typer.Exit(FAILED_CHECKS)


def _report(on_progress: Callable[[str], None], title: str, done: int, total: int) -> None:
    on_progress(f"{title}: {done:,} of {total:,}")
