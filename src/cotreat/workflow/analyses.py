"""What is worked out around the fits of a study: model comparison, sensitivity, and bias."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cotreat.priors.prior import PriorSet
from cotreat.results.supplementary import Fits, OnProgress
from cotreat.study.study import Study


def write_analyses(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str,
    seed: int,
    on_progress: OnProgress,
) -> None:
    """Write every part of a study's results.

    Parameters
    ----------
    fits
        By model and reading, all under `priors`.
    folder
        ``results/STUDY``.
    depth
        ``quick``, ``standard`` or ``full``.
    """
    from cotreat.comparison import compare
    from cotreat.report.sections import bias, sensitivity

    with one_thread():
        for name, part in (
            ("model comparison", compare),
            ("sensitivity", sensitivity),
            ("bias", bias),
        ):
            on_progress(f"{study.id}: {name}, depth {depth}")
            part.write(
                study,
                fits,
                priors,
                folder,
                depth=depth,
                seed=seed,
                on_progress=lambda x: on_progress(f"  {x}"),
            )


def one_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread: on many small matrices several burn three times the CPU time of one."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
