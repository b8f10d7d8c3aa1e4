"""The record of a fit, which summaries, diagnostics, analyses, figures and reports read."""

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
    """Draws of prior and posterior, with all that they came from.

    Attributes
    ----------
    study : Study
        Resolved: under its interpretation, with the strata of the model.
    evidence : tuple of Evidence
        What the study resolves to.
    model : Model
    priors : PriorSet
        The rows that model and evidence need.
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
        """Id of the interpretation of what the study reports ambiguously."""
        return self.study.interpretation

    @property
    def prior(self) -> xr.Dataset:
        """Draws from the prior."""
        return self.draws["prior"].to_dataset()

    @property
    def posterior(self) -> xr.Dataset:
        """Draws from the posterior."""
        return self.draws["posterior"].to_dataset()


def unsettled(posterior: xr.Dataset) -> xr.Dataset:
    """Leave out the arm sizes that the totals settle: they have no spread to check."""
    if "size" not in posterior:
        return posterior
    spread = posterior["size"].std(("chain", "draw")).values
    return posterior.assign(size=posterior["size"].sel(present=spread > 1e-9))
