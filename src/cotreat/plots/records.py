"""Records that figures are drawn from, one per kind of figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cotreat.core.constants import NOT_IDENTIFIED
from cotreat.evidence.reported import reported_in

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from cotreat.bias.records import Surface
    from cotreat.comparison.records import BayesFactor
    from cotreat.estimands.estimand import Estimand, RiskDraws
    from cotreat.estimands.identification import Status
    from cotreat.evidence.folds import FoldPrediction
    from cotreat.evidence.protocol import Evidences
    from cotreat.evidence.reported import ReportedEstimates
    from cotreat.inference.record import Fit
    from cotreat.study.study import Study


@dataclass(frozen=True)
class PriorPosterior:
    """An estimand with its draws before and after the evidence.

    Attributes
    ----------
    estimand : Estimand
        The estimand.
    prior, posterior : array
        Draws.
    is_unidentified : bool
        Whether the evidence alone does not identify it.
    """

    estimand: Estimand
    prior: NDArray[np.float64]
    posterior: NDArray[np.float64]
    is_unidentified: bool

    @classmethod
    def of(
        cls, estimand: Estimand, status: Status, prior: RiskDraws, posterior: RiskDraws
    ) -> PriorPosterior:
        """Evaluate an estimand before and after the evidence.

        Parameters
        ----------
        estimand
            The estimand.
        status
            Its identification status.
        prior, posterior
            Draws of the risks.

        Returns
        -------
        PriorPosterior
        """
        before, after = (estimand.values(draws).values.ravel() for draws in (prior, posterior))
        return cls(estimand, before, after, status.name == NOT_IDENTIFIED)


class Record(Protocol):
    """What every record of figures has."""

    @property
    def footer(self) -> str:
        """Line below each figure that names study, model and priors; empty for none."""


@dataclass(frozen=True)
class View:
    """A fit and its summary: the record of figures of a fit.

    Attributes
    ----------
    fit : Fit
        Study, evidence, model, priors and draws.
    summary : pandas.DataFrame
        Table that `cotreat.results.summary.summarise` returns.
    """

    fit: Fit
    summary: pd.DataFrame

    @property
    def study(self) -> Study:
        """The study under the interpretation and the strata of the fit."""
        return self.fit.study

    @property
    def draws(self) -> xr.DataTree:
        """Draws of the fit by group."""
        return self.fit.draws

    @property
    def reported(self) -> ReportedEstimates | None:
        """The reported estimates among the evidence; None where there are none."""
        return reported_in(self.fit.evidence)

    @property
    def footer(self) -> str:
        """Study, model, priors and, if there are several, interpretation."""
        names = self.summary.iloc[0][["model", "priors", "interpretation"]]
        return _footer(self.study, **names)


@dataclass(frozen=True)
class Comparison:
    """A comparison of models: the record of figures of a comparison.

    Attributes
    ----------
    study : Study
    model : str
        The model whose predictions of left-out evidence are shown.
    evidence : tuple of Evidence
        What the study resolves to.
    predicted : sequence of FoldPrediction
        Each estimate or count that was left out, with its prediction by the rest of the evidence.
    models : pandas.DataFrame
        Models with their expected log predictive densities; empty where none was worked out.
    factors : sequence of BayesFactor
    """

    study: Study
    model: str
    evidence: Evidences = ()
    predicted: Sequence[FoldPrediction] = ()
    models: pd.DataFrame | None = None
    factors: Sequence[BayesFactor] = ()

    @property
    def footer(self) -> str:
        """Study, model and, if there are several, interpretation."""
        return _footer(self.study, model=self.model, interpretation=self.study.interpretation)


@dataclass(frozen=True)
class Interpretations:
    """A study under each of its interpretations: the record of figures of a study.

    Attributes
    ----------
    study : Study
    summaries : mapping of pandas.DataFrame
        Summaries of one model and one prior set by id of the interpretation.
    notes : mapping of str
        Remarks on interpretations for the legend, such as that the other reported estimates are incompatible with one.
    """

    study: Study
    summaries: Mapping[str, pd.DataFrame]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def footer(self) -> str:
        """Study, model, priors, and how many interpretations are shown."""
        first = next(iter(self.summaries.values())).iloc[0]
        words = _footer(self.study, model=first.model, priors=first.priors)
        every = len(self.study.interpretations)
        return words + (f" · {len(self.summaries)} of {every} interpretations" * (every > 1))


@dataclass(frozen=True)
class Sensitivity:
    """A sensitivity analysis: the record of its figures.

    Attributes
    ----------
    study : Study
    changes : pandas.DataFrame or None
        The primary analysis with one choice changed at a time.
    combinations : pandas.DataFrame or None
        The multiverse, with a column of the scale of synergy in words.
    incompatible : sequence of str
        Interpretations that the other reported estimates are incompatible with.
    grid : pandas.DataFrame or None
        The belief × strength grid.
    scaling : pandas.DataFrame or None
        Sensitivity to the weight of priors and of evidence.
    estimands : sequence of PriorPosterior
        Estimands with their prior and posterior draws.
    footer : str
        Line below each figure that names study, model and priors.
    """

    study: Study
    changes: pd.DataFrame | None = None
    combinations: pd.DataFrame | None = None
    incompatible: Sequence[str] = ()
    grid: pd.DataFrame | None = None
    scaling: pd.DataFrame | None = None
    estimands: Sequence[PriorPosterior] = ()
    footer: str = ""


@dataclass(frozen=True)
class Bias:
    """A bias analysis: the record of its figures.

    Attributes
    ----------
    study : Study
    model, priors : str
        Names of the model and of the prior set.
    surfaces : sequence of Surface
        Conclusions over a grid of confounding biases.
    """

    study: Study
    model: str
    priors: str
    surfaces: Sequence[Surface] = ()

    @property
    def footer(self) -> str:
        """Study, model and priors."""
        return _footer(self.study, model=self.model, priors=self.priors)


def _footer(study: Study, **names: str) -> str:
    """Name the study and its choices; the interpretation only where there are several."""
    if len(study.interpretations) < 2:
        names.pop("interpretation", None)
    return " · ".join([f"study {study.id}", *(f"{key} {name}" for key, name in names.items())])
