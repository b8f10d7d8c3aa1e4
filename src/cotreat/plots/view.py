"""What every picture reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cotreat.models.registry import Model
    from cotreat.study.study import Study


@dataclass(frozen=True)
class View:
    """A fit with its study and its answers.

    Attributes
    ----------
    tree : xarray.DataTree
        What `cotreat.inference.sampling.fit` returns.
    summary : pandas.DataFrame
        What `cotreat.results.summary.summarise` returns.
    """

    tree: xr.DataTree
    study: Study
    model: Model
    summary: pd.DataFrame
