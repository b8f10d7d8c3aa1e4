"""The parameters of a fit as scalars, which is how ArviZ's pictures take them best.

One variable for each scalar lets every ArviZ figure have one panel a scalar, with a name that says
what it is instead of ``beta[SK]``.
"""

from collections.abc import Iterable
from math import prod

import arviz as az
import numpy as np
import xarray as xr
from arviz_base.labels import MapLabeller
from matplotlib.figure import Figure

from cotreat.plots.view import View
from cotreat.plots.words import fold, key, parameter_name, subject

SAMPLE_DIMS = ("chain", "draw")
DRAWS = 500
"""Draws of a chain that a diagnostic picture needs; more only make the lines thicker."""


def sampled(view: View, most: int) -> xr.Dataset:
    """Return the posterior of the sampled parameters; of many, those that mixed worst."""
    posterior = scalars(view, view.model.parameters)
    if len(posterior) <= most:
        return posterior
    rhat = az.rhat(posterior)
    worst = sorted(posterior, key=lambda name: -float(rhat[name]))[:most]
    return posterior[[name for name in posterior if name in worst]]


def scalars(view: View, variables: Iterable[str], group: str = "posterior") -> xr.Dataset:
    """Take variables apart into scalars named ``variable`` or ``variable[index]``."""
    entries = {}
    for variable in variables:
        array = view.tree[group][variable]
        dims = [dim for dim in array.dims if dim not in SAMPLE_DIMS]
        stacked = array.reset_coords(drop=True).stack(entry=dims) if dims else array
        for at in range(prod(array.sizes[dim] for dim in dims)):
            one = stacked.isel(entry=at) if dims else array
            index = ",".join(str(one.coords[dim].item()) for dim in dims)
            name = f"{variable}[{index}]" if dims else variable
            entries[name] = one.drop_vars([c for c in one.coords if c not in SAMPLE_DIMS])
    return xr.Dataset(entries)


def labeller(view: View, data: xr.Dataset, *, between: str = "\n", width: int = 60) -> MapLabeller:
    """Return what tells ArviZ the scalars' names, in lines of at most `width` letters."""
    names = {
        name: fold(parameter_name(view.study, variable, index, between=between), width)
        for name, (variable, index) in _parts(data).items()
    }
    return MapLabeller(var_name_map=names)


def _parts(data: xr.Dataset) -> dict[str, tuple[str, str]]:
    parts = {str(name): str(name).rstrip("]").partition("[") for name in data}
    return {name: (variable, index) for name, (variable, _, index) in parts.items()}


def note(figure: Figure, view: View, data: xr.Dataset) -> None:
    """Say above a figure how many parameters it shows, if not all, and what its ids mean."""
    total = len(scalars(view, view.model.parameters))
    lines = [key(view.study, [subject(view.study, index) for _, index in _parts(data).values()])]
    if set(data) < set(scalars(view, view.model.parameters)):
        lines.append(f"{len(data)} of {total} parameters: those with the largest R-hat")
    if any(lines):
        figure.suptitle("\n".join(filter(None, lines)), fontsize=8)


def thinned(view: View, data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw and every divergent one, with the sampler's flags."""
    diverging = view.tree["sample_stats"]["diverging"]
    step = max(1, data.sizes["draw"] // DRAWS)
    kept = np.zeros(data.sizes["draw"], bool)
    kept[::step] = True
    kept |= diverging.any("chain").values  # the rare draws that the picture is looked at for
    stats = diverging.to_dataset(name="diverging")
    return xr.DataTree.from_dict(
        {"posterior": data.isel(draw=kept), "sample_stats": stats.isel(draw=kept)}
    )


def evenly_thinned(data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw: ranks and densities want them evenly spaced."""
    step = max(1, data.sizes["draw"] // DRAWS)
    return xr.DataTree.from_dict({"posterior": data.isel(draw=slice(None, None, step))})
