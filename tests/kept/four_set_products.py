"""Make `four_set_products.nc`: a brief NUTS fit of sun2024, for the tests of figures.

    python -m tests.kept.four_set_products

The fit is of the model ``exchangeable`` under the interpretation ``four-set-products``, the one with odds ratios and
p-values. Figures are compared with these draws, whatever they are, so that few and brief chains are enough. Make it
again when the variables or groups of a fit change.
"""

from pathlib import Path

import xarray as xr

PATH = Path(__file__).with_suffix(".nc")
DRAWS = {"prior": 200, "posterior_predictive": 200}
"""Draws kept per chain by group; 50 of the others. Quantiles far out in the tails need all."""


def make():
    """Fit, thin and write."""
    from cotreat import load_study
    from cotreat.inference import sampling

    study = load_study("sun2024").resolve("four-set-products")
    tree = sampling.fit_model(study, "exchangeable", draws=200, tune=300, chains=2).draws
    groups = {}
    for name, group in tree.children.items():
        kept = DRAWS.get(name, 50)
        data = group.to_dataset()
        if "draw" in data.sizes:
            data = data.isel(draw=slice(None, None, max(data.sizes["draw"] // kept, 1)))
        groups[name] = data
    thinned = xr.DataTree.from_dict(groups)
    thinned.attrs.update(tree.attrs)
    packed = {"zlib": True, "complevel": 9}
    encoding = {
        f"/{name}": dict.fromkeys(group.data_vars, packed)
        for name, group in thinned.children.items()
    }
    thinned.to_netcdf(PATH, engine="h5netcdf", encoding=encoding)


if __name__ == "__main__":
    make()
