"""A fitted model as an object."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from cotreat.inference.record import Fit as Record
    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study


class Fit:
    """A fitted model of a study.

    Parameters
    ----------
    record : cotreat.inference.record.Fit
        Study, evidence, model, priors and draws.
    """

    def __init__(self, record: Record) -> None:
        self.record = record

    def __repr__(self) -> str:
        sizes = self.idata["posterior"].sizes
        return (
            f"Fit of {self.record.study.id}: model {self.record.model.name}, {self.record.priors.name} "
            f"priors, {sizes['chain']} chains of {sizes['draw']} draws"
        )

    @property
    def idata(self) -> xr.DataTree:
        """Draws in ArviZ's groups: ``prior``, ``posterior``, ``log_likelihood``, ``sample_stats``, …."""
        return self.record.draws

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Summary table: one row per estimand and estimator, as `cotreat.results.summary.summarise` has it."""
        from cotreat.results.summary import summary_of

        return summary_of(self.record)

    @cached_property
    def checks(self) -> pd.DataFrame:
        """Diagnostics: one row per check, with value, limit and verdict."""
        from cotreat.diagnostics.checks import checks

        return checks(self.record)

    @cached_property
    def prior_shifts(self) -> pd.DataFrame:
        """Shift of each estimate that each prior causes, in posterior SDs, as `cotreat.results.prior_shift` has it."""
        from cotreat.results.prior_shift import shift_table

        return shift_table(self.record)

    @cached_property
    def failed(self) -> list[str]:
        """Failed diagnostics in words; the numbers of a fit with any must not be used."""
        from cotreat.diagnostics.checks import failures

        return failures(self.checks)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Verdicts of this fit: one row per pair, co-treatment, subgroup and scale."""
        from cotreat.results.verdict import verdicts

        return verdicts(self.summary, is_reliable=not self.failed)

    def figure(self, name: str) -> Figure | None:
        """Draw one figure of the fit; write nothing.

        Parameters
        ----------
        name
            A figure of a fit, such as ``odds_ratios``, ``synergy`` or ``trace``.

        Returns
        -------
        matplotlib.figure.Figure or None
            None where the fit has nothing to show in that figure.

        Raises
        ------
        ValueError
            If there is no such figure.
        """
        from cotreat.plots import FIT, View, figures
        from cotreat.plots.style import off_screen

        known = figures(FIT)
        if name not in known:
            raise ValueError(f"no figure {name!r}; the figures of a fit are {', '.join(known)}")
        with off_screen():
            return known[name].drawing(View(self.record, self.summary))


def fit(
    study: Study, model: str = "interaction", priors: str | PriorSet | None = None, **settings: Any
) -> Fit:
    """Fit a model of a study.

    Parameters
    ----------
    study
        What `cotreat.load_study` or `cotreat.parse_study` returns.
    model
        An entry of `cotreat.models.registry.MODELS`, such as ``interaction``, ``dose`` or ``subgroups:age``.
    priors
        Name of a prior set, or a prior set; by default ``exposures`` if synergy is judged on the event of a harm,
        otherwise ``weak``.
    **settings
        ``engine``, ``draws``, ``tune``, ``chains``, ``seed``, ``progress`` of
        `cotreat.inference.sampling.fit_model`.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If the study or the prior set does not allow the model.
    EngineError
        If the engine is unknown or not installed, or has too few chains.

    Examples
    --------
    >>> fit = cotreat.fit(cotreat.load_study("isis2"), "interaction", seed=1)
    >>> fit.summary
    >>> az.summary(fit.idata)
    """
    from cotreat.inference.sampling import fit_model

    return Fit(fit_model(study, model, priors, **settings))
