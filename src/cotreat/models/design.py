"""Centre design matrices, so that the intercept is the log-odds at the centre of the design."""

from collections.abc import Callable
from typing import Any

from cotreat.study.study import Study


def centred(columns: Callable[[tuple[str, ...]], Any], study: Study, arms: tuple[str, ...]) -> Any:
    """Return columns of the design matrix less their mean over the regimens of `Study.reference`.

    Parameters
    ----------
    columns
        Function that returns the columns of regimens, shape (regimen, column), such as `Study.content`.
    study
        The study, under an interpretation and a stratification.
    arms
        Regimens whose risk the model estimates.

    Returns
    -------
    ndarray, shape (arm, column)
        Columns whose mean over ``study.reference`` is 0, with equal weights of the regimens.
    """
    return columns(arms) - columns(study.reference).mean(axis=0)
