"""What the answers depend on: priors, readings, models, and how much of them is prior at all."""

from functools import partial
from pathlib import Path

import pandas as pd

from cotreat.core.constants import SEED, STANDARD
from cotreat.inference.batch import DRAWS
from cotreat.inference.sampling import provenance
from cotreat.plots import SENSITIVITY, draw
from cotreat.plots.records import Sensitivity
from cotreat.priors.prior import PriorSet
from cotreat.report.sections.sensitivity_beliefs import grid_of, reverse_bayes_of
from cotreat.report.sections.sensitivity_choices import hinges_of
from cotreat.report.sections.sensitivity_weights import induced_of, power_scaling_of
from cotreat.results.supplementary import Analysis, Fits, OnProgress, versions, write_analysis
from cotreat.sensitivity.fits import begun, leading_fit, planned
from cotreat.study.study import Study


def write(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str = STANDARD,
    seed: int = SEED,
    on_progress: OnProgress = lambda _: None,
) -> Path:
    """Work out what the answers of a study depend on, and write ``FOLDER/sensitivity/``.

    Parameters
    ----------
    fits
        By model and reading, under `priors`; what is needed and not there is fitted. May be empty.
    folder
        ``results/STUDY``.
    depth
        ``quick``: the leading model under other priors, the other models, no grid; ``standard``: also
        every reading, and the belief × strength grid on effects and on interactions by itself;
        ``full``: readings × models × priors and both grids crossed.
    say
        Called with lines of progress.

    Returns
    -------
    Path
        The folder.
    """
    work = begun(study, fits, priors, depth, seed, on_progress)
    tree, failed = leading_fit(work)
    plan = planned(work, depth)
    work.answers(plan.every)  # all in one batch
    parts = [hinges_of(work, plan)]
    if plan.grid:
        parts.append(grid_of(work, plan))
    on_progress("power scaling, reverse Bayes, the prior of every estimand …")
    parts += [power_scaling_of(work, tree), reverse_bayes_of(work), induced_of(work, tree)]
    on_progress("figures …")
    record = Sensitivity(study, **{k: v for one in parts for k, v in one.shown.items()})
    part = Analysis(
        title="Sensitivity",
        study_digest=study.digest,
        seed=seed,
        findings=tuple(one.finding for one in parts if one.finding)[:3],
        sections=tuple(section for one in parts for section in one.sections),
        failed=tuple(line for one in parts for line in one.failed),
        settings={
            "depth": depth,
            "model": work.model.name,
            "priors": priors.name,
            "interpretation": study.interpretation,
            "engine of the leading fit": provenance(tree)["engine"],
            "engine of the others": "laplace, in batches",
            "effective draws": work.effective,
            "draws": DRAWS,
        },
        versions=versions("arviz", "jax", "numpy", "pymc", "pytensor", "scipy"),
    )
    tables = {k: _short(table) for one in parts for k, table in one.tables.items()}
    target = Path(folder) / SENSITIVITY
    return write_analysis(target, part, tables, partial(draw, SENSITIVITY, record), failed)


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """Keep six digits: the rest is Monte Carlo error."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{n: table[n].map(lambda v: float(f"{v:.6g}")) for n in numbers})
