"""Energy of the sampler (ArviZ)."""

import arviz as az
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cotreat.diagnostics.checks import BFMI
from cotreat.plots import View


def draw(view: View) -> Figure | None:
    """Draw BFMI by chain, and the energies whose ratio it is; None for a sampler without energy."""
    if "energy" not in view.tree["sample_stats"]:
        return None
    plot = az.plot_energy(
        view.tree,
        kind="kde",
        threshold=BFMI,
        backend="matplotlib",
        aes={"color": ["energy"], "linestyle": ["energy"]},
        visuals={"title": False, "legend": False},
        figure_kwargs={"figsize": (6.5, 2.2), "layout": "constrained", "width_ratios": [1, 2]},
    )
    figure = plot.viz["figure"].item()
    bfmi, energy = figure.axes
    bfmi.set_xlim(left=0)
    bfmi.yaxis.set_major_locator(MaxNLocator(integer=True))
    bfmi.set_ylabel("chain")
    bfmi.set_xlabel("BFMI")
    energy.set_xlabel("energy about its mean (marginal), and its change (transition)")
    energy.set_ylim(bottom=0)
    energy.legend(energy.get_lines(), ["marginal", "transition"], loc="upper right")
    return figure
