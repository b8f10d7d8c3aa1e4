"""Influence: how far the posterior leans on each cell of patients, by leaving it out."""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from cotreat.study.covariate_patterns import Cells

GROUP = "influence"
MOST = 20_000
"""Cells beyond which it is not worked out: at 1,000 draws each takes a millisecond."""


def add_influence(tree: xr.DataTree, names: Sequence[str]) -> None:
    """Add the group ``influence``: PSIS-LOO of patients' events, one cell left out at a time.

    Its variables by cell are ``pareto_k`` and ``elpd``, the log density that the other cells predict for
    it; the attribute ``good_k`` is what k may be. Beyond `MOST` cells nothing is added.

    Parameters
    ----------
    names
        Parameters of the posterior, whose effective sample sizes set the length of tails.

    Notes
    -----
    Vehtari, Gelman & Gabry, Stat Comput 2017;27:1413; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    import arviz as az

    logs = tree["log_likelihood"].to_dataset()[["events"]]
    if logs.sizes["cell"] > MOST:
        return
    posterior = tree["posterior"].to_dataset()[list(names)]
    some = posterior.sel(draw=logs["draw"])
    parts = xr.DataTree.from_dict({"posterior": some, "log_likelihood": logs})
    with warnings.catch_warnings():
        # What it warns of is a row of the checks.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        found = az.loo(parts, var_name="events", pointwise=True)
    tree[GROUP] = xr.DataTree(
        xr.Dataset({"pareto_k": found.pareto_k, "elpd": found.elpd_i}).assign_attrs(
            good_k=float(found.good_k)
        )
    )


def unit(cells: Cells) -> str:
    """Name what is left out at a time."""
    return "patient" if (cells.n == 1).all() else "cell"


def described(cells: Cells, at: int) -> str:
    """Describe a cell in words."""
    n = int(np.asarray(cells.n)[at])
    return (
        f"a patient on {cells.regimens[at]}"
        if n == 1
        else f"{n:,} patients on {cells.regimens[at]}"
    )
