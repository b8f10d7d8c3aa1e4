"""The parameters of a fit as scalars for the figures of ArviZ.

Every ArviZ figure has one panel per variable; a variable per scalar gives each panel a name in words
instead of ``beta[SK]``.
"""

from __future__ import annotations

from collections.abc import Iterable
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
SLASH = "∕"
"""Stands for a slash in the name of a scalar, which a DataTree does not allow."""
DRAWS = 500
"""Draws per chain in a diagnostic figure."""


def sampled(view: View, most: int) -> xr.Dataset:
    """Return the posterior of the sampled parameters; of many, those that mixed worst.

    Parameters
    ----------
    view
        The fit and its summary.
    most
        Largest number of scalars.

    Returns
    -------
    xr.Dataset
        A scalar per variable, by name; the attribute ``chosen_from`` has their number where some are left out.
    """
    import arviz as az

    posterior = scalars(view, variables(view))
    if len(posterior) <= most:
        return posterior
    # A chain that never moved has no R-hat, which counts as the worst.
    rhat = az.rhat(posterior).fillna(np.inf)
    worst = sorted(posterior, key=lambda name: -float(rhat[name]))[:most]
    kept = posterior[[name for name in posterior if name in worst]]
    return kept.assign_attrs(chosen_from=len(posterior))


def variables(view: View) -> list[str]:
    """Return the sampled variables: those of the model, then those of the evidence.

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    list of str
        Names of variables of the posterior.
    """
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
    """Split variables into scalars named ``variable`` or ``variable[index]``.

    Parameters
    ----------
    view
        The fit and its summary.
    names
        Names of variables.
    group
        Group of the draws, such as ``posterior``.

    Returns
    -------
    xr.Dataset
        A scalar per variable, dims (chain, draw).
    """
    from arviz_base import xarray_sel_iter

    data, entries = view.draws[group].to_dataset()[list(names)], {}
    for name, entry, position in xarray_sel_iter(data, skip_dims={*SAMPLE_DIMS}):
        index = ",".join(
            str(label) if dim in data.coords else _place(view, name, position[dim])
            for dim, label in entry.items()
        )
        scalar = data[name].isel(position).reset_coords(drop=True)
        entries[f"{name}[{index}]".replace("/", SLASH) if index else name] = scalar
    return xr.Dataset(entries)


def _place(view: View, variable: str, at: int) -> str:
    """Name an entry of a dimension without coordinates: the arm of a share; otherwise its number."""
    sizes = view.reported.sizes if view.reported is not None else None
    if sizes is None or variable not in sizes.variables:
        return str(at + 1)
    arms, _ = sizes.blocks[list(sizes.variables).index(variable)]
    return view.study.present[arms[at]]


def labeller(view: View, data: xr.Dataset, *, between: str = "\n", width: int = 60) -> MapLabeller:
    """Return the ArviZ labeller of the scalars, in lines of at most `width` characters.

    Parameters
    ----------
    view
        The fit and its summary.
    data
        Scalars, as `scalars` returns them.
    between
        What separates the subject from the symbol.
    width
        Largest number of characters in a line.

    Returns
    -------
    MapLabeller
    """
    from arviz_base.labels import MapLabeller

    names: dict[Any, Any] = {
        name: fold(parameter_name(view.study, variable, index, between=between), width)
        for name, (variable, index) in _parts(data).items()
    }
    return MapLabeller(var_name_map=names)


def _parts(data: xr.Dataset) -> dict[str, tuple[str, str]]:
    parts = {str(name): str(name).removesuffix("]").partition("[") for name in data}
    return {
        name: (variable, index.replace(SLASH, "/")) for name, (variable, _, index) in parts.items()
    }


def note(figure: Figure, view: View, data: xr.Dataset) -> None:
    """Explain the ids above a figure, and from how many parameters `sampled` chose these.

    Parameters
    ----------
    figure
        The figure.
    view
        The fit and its summary.
    data
        Scalars, as `sampled` returns them.
    """
    subjects = [subject(view.study, index) for _, index in _parts(data).values()]
    text = key(view.study, subjects)
    if total := data.attrs.get("chosen_from"):
        text += f"\n{len(data)} of {total} parameters: those with the largest R-hat"
    if text:
        figure.suptitle(text.strip(), fontsize=8)


def chain_key(figure: Figure, data: xr.Dataset, title: str = "") -> None:
    """Add a legend of the chains from the lines of the first panel, in their order.

    Parameters
    ----------
    figure
        The figure.
    data
        Scalars that are drawn.
    title
        Line above the entries.
    """
    handles = [
        Line2D([], [], color=line.get_color(), ls=line.get_linestyle(), label=f"chain {chain}")
        for line, chain in zip(figure.axes[0].get_lines(), data["chain"].values, strict=False)
    ]
    legend_below(figure, handles, [title], ncols=8)


def thinned(view: View, data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw and all divergent draws, with the flags of the sampler, if any.

    Parameters
    ----------
    view
        The fit and its summary.
    data
        Scalars, as `scalars` returns them.

    Returns
    -------
    xr.DataTree
        Groups ``posterior`` and, where the sampler has divergences, ``sample_stats``.
    """
    if "diverging" not in view.draws["sample_stats"]:
        return evenly_thinned(data)
    flags = view.draws["sample_stats"].to_dataset()[["diverging"]]
    kept = flags["diverging"].any("chain").values
    kept[:: _step(data)] = True
    groups = {"posterior": data, "sample_stats": flags}
    return xr.DataTree.from_dict({name: group.isel(draw=kept) for name, group in groups.items()})


def evenly_thinned(data: xr.Dataset) -> xr.DataTree:
    """Return every k-th draw, evenly spaced, as ranks and densities need.

    Parameters
    ----------
    data
        Scalars, as `scalars` returns them.

    Returns
    -------
    xr.DataTree
        The group ``posterior``.
    """
    return xr.DataTree.from_dict({"posterior": data.isel(draw=slice(None, None, _step(data)))})


def _step(data: xr.Dataset) -> int:
    return max(1, data.sizes["draw"] // DRAWS)
