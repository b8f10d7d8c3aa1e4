"""Define the record of a fit, the input of summaries, diagnostics, analyses, figures and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.evidence.protocol import Evidences
    from cotreat.models.registry import Model
    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study


@dataclass(frozen=True)
class Fit:
    """Record a fit: draws from prior and posterior, with study, evidence, model and priors.

    Attributes
    ----------
    study : Study
        The study, resolved to its interpretation and to the strata of the model.
    evidence : tuple of Evidence
        Evidence of the study.
    model : Model
        The model.
    priors : PriorSet
        The priors of the parameters of model and evidence.
    draws : xarray.DataTree
        Groups ``prior``, ``posterior``, ``posterior_predictive``, ``log_likelihood``, ``log_prior``,
        ``sample_stats``, ``observed_data`` and ``constant_data``; with patients also ``influence``.
    """

    study: Study
    evidence: Evidences
    model: Model
    priors: PriorSet
    draws: xr.DataTree

    @property
    def interpretation(self) -> str:
        """Id of the interpretation of the study's ambiguous statements."""
        return self.study.interpretation

    @property
    def prior(self) -> xr.Dataset:
        """Draws from the prior, dims (chain, draw, …)."""
        return self.draws["prior"].to_dataset()

    @property
    def posterior(self) -> xr.Dataset:
        """Draws from the posterior, dims (chain, draw, …)."""
        return self.draws["posterior"].to_dataset()


def unsettled(posterior: xr.Dataset) -> xr.Dataset:
    """Remove the arm sizes that the totals determine, because constant draws cannot be checked.

    Parameters
    ----------
    posterior
        Draws, dims (chain, draw, …).

    Returns
    -------
    xarray.Dataset
        The draws, without ``size`` of arms whose size is constant.
    """
    if "size" not in posterior:
        return posterior
    size = posterior["size"]
    free = size.sel(present=size.std(("chain", "draw")).values > 1e-9)
    others = posterior.drop_vars(["size", "present"])
    return others.assign(size=free) if free.size else others
