"""The parameters of a fit as scalars for the figures of ArviZ.

Every ArviZ figure has one panel per variable; a variable per scalar gives each panel a name in words
instead of ``beta[SK]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots.labels import fold, key, parameter_name, subject
from cotreat.plots.records import View
from cotreat.plots.style import legend_below

if TYPE_CHECKING:
    from arviz_base.labels import MapLabeller

SAMPLE_DIMS = ("chain", "draw")
OF_EVIDENCE = ("delta", "between", "cluster_z", "sigma", "loss")
"""Parameters of covariates and clusters, and of adjusted estimates."""
DRAWS = 500
"""Draws per chain in a diagnostic figure."""


def sampled(view: View, most: int) -> xr.Dataset:
    """Return the posterior of the sampled parameters; of many, those that mixed worst."""
    import arviz as az

    posterior = scalars(view, variables(view))
    if len(posterior) <= most:
        return posterior
    rhat = az.rhat(posterior)
    # A chain that never moved has no R-hat, which counts as the worst.
    worst = sorted(posterior, key=lambda name: -float(rhat[name].fillna(np.inf)))[:most]
    kept = posterior[[name for name in posterior if name in worst]]
    return kept.assign_attrs(chosen_from=len(posterior))


def variables(view: View) -> list[str]:
    """Return the sampled variables: those of the model, then those of the evidence."""
    posterior = view.draws["posterior"]
    # A treatment with levels has a variable of its own, named after the prior and the treatment.
    names = [
        name
        for stem in view.fit.model.parameters
        for name in ([stem] if stem in posterior else [f"{stem}_{t}" for t in view.study.levels])
    ]
    of_evidence = [*OF_EVIDENCE]
    if view.reported is not None:
        of_evidence += [*view.reported.sizes.variables]
        of_evidence += [f"tail_{estimate.id}" for estimate in view.reported.p_values]
    return [*names, *(name for name in of_evidence if name in posterior)]


def scalars(view: View, names: Iterable[str], group: str = "posterior") -> xr.Dataset:
    """Split variables into scalars named ``variable`` or ``variable[index]``."""
    entries = {}
    for variable in names:
        array = view.draws[group][variable]
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
    """Name an entry of a dimension without coordinates: the arm of a share; otherwise its number."""
    sizes = view.reported.sizes if view.reported is not None else None
    if sizes is None or variable not in sizes.variables:
        return str(at + 1)
    arms, _ = sizes.blocks[list(sizes.variables).index(variable)]
    return view.study.present[arms[at]]


def labeller(view: View, data: xr.Dataset, *, between: str = "\n", width: int = 60) -> MapLabeller:
    """Return the ArviZ labeller of the scalars, in lines of at most `width` characters."""
    from arviz_base.labels import MapLabeller

    names: dict[Any, Any] = {
        name: fold(parameter_name(view.study, variable, index, between=between), width)
        for name, (variable, index) in _parts(data).items()
    }
    return MapLabeller(var_name_map=names)


def _parts(data: xr.Dataset) -> dict[str, tuple[str, str]]:
    parts = {str(name): str(name).rstrip("]").partition("[") for name in data}
    return {name: (variable, index) for name, (variable, _, index) in parts.items()}


def note(figure: Figure, view: View, data: xr.Dataset) -> None:
    """Explain the ids above a figure, and from how many parameters `sampled` chose these."""
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
    """Add a legend of the chains from the lines of one panel, in their order."""
    handles = [
        Line2D([], [], color=line.get_color(), ls=line.get_linestyle(), label=f"chain {chain}")
        for line, chain in zip(lines, chains, strict=False)
    ]
    legend_below(figure, handles, [title], ncols=8)


def thinned(view: View, data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw and all divergent draws, with the flags of the sampler, if any."""
    if "diverging" not in view.draws["sample_stats"]:
        return evenly_thinned(data)
    flags = view.draws["sample_stats"].to_dataset()[["diverging"]]
    kept = flags["diverging"].any("chain").values
    kept[:: max(1, data.sizes["draw"] // DRAWS)] = True
    return xr.DataTree.from_dict(
        {"posterior": data.isel(draw=kept), "sample_stats": flags.isel(draw=kept)}
    )


def evenly_thinned(data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw, evenly spaced, as ranks and densities need."""
    step = max(1, data.sizes["draw"] // DRAWS)
    return xr.DataTree.from_dict({"posterior": data.isel(draw=slice(None, None, step))})
