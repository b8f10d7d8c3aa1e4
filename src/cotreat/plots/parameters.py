"""The parameters of a fit as scalars, which is how ArviZ's pictures take them best.

One variable for each scalar lets every ArviZ figure have one panel a scalar, with a name that says
what it is instead of ``beta[SK]``.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from arviz_base.labels import MapLabeller
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.evidence import reported
from cotreat.plots.labels import fold, key, parameter_name, subject
from cotreat.plots.view import View

SAMPLE_DIMS = ("chain", "draw")
OF_EVIDENCE = ("delta", "between", "cluster_z", "sigma", "loss")
"""Parameters of covariates and clusters, and of adjusted estimates."""
DRAWS = 500
"""Draws of a chain that a diagnostic picture needs; more only make the lines thicker."""


def sampled(view: View, most: int) -> xr.Dataset:
    """Return the posterior of the sampled parameters; of many, those that mixed worst."""
    posterior = scalars(view, variables(view))
    if len(posterior) <= most:
        return posterior
    rhat = az.rhat(posterior)
    # A chain that never moved has none, and nothing is worse.
    worst = sorted(posterior, key=lambda name: -float(rhat[name].fillna(np.inf)))[:most]
    kept = posterior[[name for name in posterior if name in worst]]
    return kept.assign_attrs(chosen_from=len(posterior))


def variables(view: View) -> list[str]:
    """Name what was sampled: the model's own parameters, then those of printed numbers or patients."""
    posterior = view.tree["posterior"]
    # A variable for each treatment that has levels goes by the name of its prior and that treatment's.
    own = [
        name
        for known in view.model.parameters
        for name in ([known] if known in posterior else _of_treatments(view, known))
    ]
    numbers = reported.reported_estimates(view.study)
    shares = () if numbers is None else numbers.sizes.variables
    tails = () if numbers is None else [f"tail_{claim.id}" for claim in numbers.p_values]
    ours = (*OF_EVIDENCE, *shares, *tails)
    return [*own, *(name for name in ours if name in posterior)]


def _of_treatments(view: View, known: str) -> list[str]:
    return [f"{known}_{treatment}" for treatment in view.study.levels]


def scalars(view: View, names: Iterable[str], group: str = "posterior") -> xr.Dataset:
    """Take variables apart into scalars named ``variable`` or ``variable[index]``."""
    entries = {}
    for variable in names:
        array = view.tree[group][variable]
        dims = [dim for dim in array.dims if dim not in SAMPLE_DIMS]
        for point in np.ndindex(*(array.sizes[dim] for dim in dims)):
            one = array.isel(dict(zip(dims, point, strict=True)))
            index = ",".join(
                str(one.coords[dim].item()) if dim in one.coords else _place(view, variable, at)
                for dim, at in zip(dims, point, strict=True)
            )
            entries[f"{variable}[{index}]" if dims else variable] = one.reset_coords(drop=True)
    return xr.Dataset(entries)


def _place(view: View, variable: str, at: int) -> str:
    """Name an entry of a dim without coordinates: the arm whose share it is, or its number."""
    numbers = reported.reported_estimates(view.study)
    if numbers is not None:
        for name, (arms, _) in zip(numbers.sizes.variables, numbers.sizes.blocks, strict=False):
            if name == variable:
                return view.study.present[arms[at]]
    return str(at + 1)


def labeller(view: View, data: xr.Dataset, *, between: str = "\n", width: int = 60) -> MapLabeller:
    """Return what tells ArviZ the scalars' names, in lines of at most `width` letters."""
    names: dict[Any, Any] = {
        name: fold(parameter_name(view.study, variable, index, between=between), width)
        for name, (variable, index) in _parts(data).items()
    }
    return MapLabeller(var_name_map=names)


def _parts(data: xr.Dataset) -> dict[str, tuple[str, str]]:
    parts = {str(name): str(name).rstrip("]").partition("[") for name in data}
    return {name: (variable, index) for name, (variable, _, index) in parts.items()}


def note(figure: Figure, view: View, data: xr.Dataset) -> None:
    """Say above a figure what its ids mean, and of how many parameters `sampled` chose these."""
    subjects = [subject(view.study, index) for _, index in _parts(data).values()]
    lines = [key(view.study, subjects)]
    if "chosen_from" in data.attrs:
        total = data.attrs["chosen_from"]
        lines.append(f"{len(data)} of {total} parameters: those with the largest R-hat")
    if any(lines):
        figure.suptitle("\n".join(filter(None, lines)), fontsize=8)


def chain_key(
    figure: Figure, lines: Sequence[Line2D], chains: Iterable[Any], title: str = ""
) -> None:
    """Explain below a figure its chains by the lines that one panel has of them, in their order."""
    handles = [
        Line2D([], [], color=line.get_color(), ls=line.get_linestyle(), label=f"chain {chain}")
        for line, chain in zip(lines, chains, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, title=title)


def thinned(view: View, data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw, with the sampler's flags, if it has any.

    All divergent draws stay: they are few, and what such a picture is looked at for.
    """
    if "diverging" not in view.tree["sample_stats"]:
        return evenly_thinned(data)
    flags = view.tree["sample_stats"].to_dataset()[["diverging"]]
    kept = flags["diverging"].any("chain").values
    kept[:: max(1, data.sizes["draw"] // DRAWS)] = True
    return xr.DataTree.from_dict(
        {"posterior": data.isel(draw=kept), "sample_stats": flags.isel(draw=kept)}
    )


def evenly_thinned(data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw: ranks and densities want them evenly spaced."""
    step = max(1, data.sizes["draw"] // DRAWS)
    return xr.DataTree.from_dict({"posterior": data.isel(draw=slice(None, None, step))})
