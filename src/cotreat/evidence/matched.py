"""Patients in matched sets: which of them had the event, given the number of events in their set."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.core.constants import as_seen
from cotreat.evidence.counts import NOT_REPRODUCED, Counts
from cotreat.evidence.folds import SET, Fold, FoldPrediction, Folds
from cotreat.evidence.patients import Patients
from cotreat.evidence.protocol import Discrepancy, Given, Point, Predictor
from cotreat.priors import model_data
from cotreat.priors.declare import state
from cotreat.study.conditioning import SetBlock, conditioning_sets
from cotreat.study.study import Study

if TYPE_CHECKING:
    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

NONE_SO_FAR = -1e6
"""Log of a sum over no choices, and log-odds of padding; finite, so that gradients are."""
NEGLIGIBLE = 1e-10
"""Eigenvalues below this, relative to the largest, are rounding errors."""
AT_ONCE = 5_000_000
"""Largest number of log-odds, by draw, set and patient, in memory."""


class MatchedSets(Counts):
    """The matched sets of a study; equal sets are counted together, and those without discordance do not enter.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification, with matched patients.
    """

    target_accept = 0.98
    is_replicable = False

    def __init__(self, study: Study) -> None:
        assert study.patterns is not None  # noqa: S101 - for the type checker
        super().__init__(study)
        self.patterns = study.patterns
        self.sets = conditioning_sets(study.patterns)
        self.pattern_count = sum(len(block.times) for block in self.sets.blocks)

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        return ("delta",) if self.patterns.covariates else ()

    def coords(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates of the variables that `likelihood` declares.

        Returns
        -------
        dict
            Labels by dimension.
        """
        labels = {"set": range(self.pattern_count), "covariate": self.patterns.names}
        return {dim: of for dim, of in labels.items() if of}

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the sets as data, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.

        Returns
        -------
        dict
            Values by name.
        """
        given: Given = {"profile arm": np.array([arms.index(r) for r in self.sets.regimens])}
        if self.patterns.covariates:
            given["profile covariates"] = self.sets.values
        for at, block in enumerate(self.sets.blocks):
            count = np.arange(block.chosen.max() + 1) == block.chosen[:, None]
            given |= {
                f"set profile {at}": block.profile,
                f"set padding {at}": np.where(block.is_there, 0.0, NONE_SO_FAR),
                f"set sign {at}": block.sign,
                f"set choice {at}": block.is_chosen.astype(float),
                f"set count {at}": count.astype(float),
                f"set times {at}": block.times.astype(float),
            }
        return given

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """
        sizes = tuple(block.profile.shape for block in self.sets.blocks)
        return ("matched sets", self.study.counted, self.patterns.names, sizes)

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare the conditional probability of the events of each set in the PyMC model in context.

        It contains no intercepts, whatever their distribution over the sets.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """
        import pymc as pm
        import pytensor.tensor as pt

        data = model_data.state(self.data(predictor.arms))
        log_odds = predictor.confounded[data["profile arm"]]
        if self.patterns.covariates:
            log_odds = log_odds + data["profile covariates"] @ state(
                priors, "delta", dims="covariate"
            )
        terms = []
        for at, block in enumerate(self.sets.blocks):
            given = {
                name: data[f"set {name} {at}"]
                for name in ("profile", "padding", "sign", "choice", "count", "times")
            }
            sets, patients = block.profile.shape
            eta = given["sign"][:, None] * log_odds[given["profile"]]
            chosen = (given["choice"] * eta).sum(1)
            of_all = log_sums(eta + given["padding"], sets, patients, int(block.chosen.max()))
            terms.append(given["times"] * (chosen - (given["count"] * of_all).sum(1)))
        pm.CustomDist(
            "events",
            pt.concatenate(terms) if terms else pt.zeros(0),
            logp=lambda _, term: term,
            random=lambda term, rng, size: np.zeros(np.shape(term)),  # noqa: ARG005
            observed=np.concatenate([np.zeros(0), *(b.chosen * b.times for b in self.sets.blocks)]),
            dims="set",
        )

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Return the contrasts of regimens within sets, on which the conditional likelihood depends.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (regimen, regimen)
            Root of the sum over sets of the covariance of the regimen of a patient of the set.
        """
        study = self.study
        at = np.array([study.regimens.index(regimen) for regimen in self.sets.regimens], dtype=int)
        total = np.zeros((len(point.log_odds),) * 2)
        for block in self.sets.blocks:
            indicator = np.eye(len(total))[at[block.profile]] * block.is_there[..., None]
            share = indicator.sum(1) / block.is_there.sum(1, keepdims=True)
            total += np.diag(block.times @ share) - (share.T * block.times) @ share
        values, axes = np.linalg.eigh(total)
        is_there = values > NEGLIGIBLE * max(values.max(), 1.0)
        return np.sqrt(values[is_there])[:, None] * axes.T[is_there]

    def marginal(self) -> Patients:
        """Return the same patients without matched sets.

        Returns
        -------
        Patients
        """
        return Patients(self.study.without_clusters())

    # --- Predictions -----------------------------------------------------------------------------

    @cached_property
    def _each(self) -> tuple[SetBlock, ...]:
        """The blocks with every set on a row of its own."""

        def each(block: SetBlock, name: str) -> Any:
            return np.repeat(getattr(block, name), block.times, axis=0)

        names = ("profile", "is_there", "is_chosen", "sign")
        return tuple(
            replace(
                block, **{n: each(block, n) for n in names}, times=np.ones(block.times.sum(), int)
            )
            for block in self.sets.blocks
        )

    def _log_odds(self, draws: xr.Dataset) -> Array:
        """Return the log-odds of each profile up to a constant, from draws of one chain, shape (draw, profile)."""
        arms = list(draws["arm"].values)
        at = [arms.index(regimen) for regimen in self.sets.regimens]
        log_odds = logit(as_seen(draws, "risk").transpose("draw", "arm").values)[:, at]
        if self.patterns.covariates:
            log_odds += draws["delta"].transpose("draw", "covariate").values @ self.sets.values.T
        return log_odds

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the events of the informative sets, given their numbers, by regimen.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        rng
            Random number generator.

        Returns
        -------
        Dataset
            ``events`` by regimen and their expectations ``expected_events``.
        """
        import xarray as xr

        events, expected = [], []
        for chain in range(draws.sizes["chain"]):
            for one in self._log_odds(draws.isel(chain=chain)):
                drawn, mean = self._by_regimen(one, rng)
                events.append(drawn)
                expected.append(mean)
        shape = (draws.sizes["chain"], draws.sizes["draw"], -1)
        dims = ("chain", "draw", "counted")
        labels = {"chain": draws["chain"], "draw": draws["draw"]}
        return xr.Dataset(
            {
                "events": (dims, np.reshape(events, shape)),
                "expected_events": (dims, np.reshape(expected, shape)),
            },
            {**labels, "counted": list(self.study.counted)},
        )

    def _by_regimen(self, log_odds: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return drawn and expected events by counted regimen, from log-odds by profile."""
        regimen = np.array([self.study.counted.index(r) for r in self.sets.regimens], dtype=int)
        sums = np.zeros((2, len(self.study.counted)))
        for block in self._each:
            eta = block.sign[:, None] * log_odds[block.profile]
            parts = np.stack(choices(eta, block.is_there, block.chosen, rng))
            events = np.where(block.sign[:, None] > 0, parts, block.is_there - parts)
            at = regimen[block.profile].ravel()
            sums += [np.bincount(at, event.ravel(), sums.shape[1]) for event in events]
        return sums[0], sums[1]

    def folds(self) -> Folds:
        """Leave out one set at a time.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """
        return Folds(
            SET,
            tuple(
                Fold(
                    f"matched set {at}.{row}, {int(there)} patients",
                    ((f"set times {at}", row, -1.0),),
                    times=int(times),
                )
                for at, block in enumerate(self.sets.blocks)
                for row, (there, times) in enumerate(
                    zip(block.is_there.sum(1), block.times, strict=True)
                )
            ),
        )

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array:  # noqa: ARG002
        """Return the conditional log probability of the events of a set, shape (chain, draw, fold).

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        folds
            Folds, as `folds` returns them.

        Returns
        -------
        ndarray or None, shape (chain, draw, fold)
            Log densities; None where parts of the evidence have no density.
        """
        chains = [
            self._densities(self._log_odds(draws.isel(chain=c)))
            for c in range(draws.sizes["chain"])
        ]
        return np.stack(chains)

    def _densities(self, log_odds: Array) -> Array:
        """Return the log probability of each different set, shape (draw, set), from log-odds by profile."""
        parts = [np.zeros((len(log_odds), 0))]
        for block in self.sets.blocks:
            step = max(1, AT_ONCE // (block.profile.size * int(block.chosen.max() + 1)))
            values = []
            for start in range(0, len(log_odds), step):
                eta = block.sign[:, None] * log_odds[start : start + step][:, block.profile]
                chosen = (eta * block.is_chosen).sum(-1)
                eta = np.where(block.is_there, eta, -np.inf)
                of_all = _tables(eta, int(block.chosen.max()))[-1]
                at = np.broadcast_to(block.chosen[:, None], (*eta.shape[:2], 1))
                values.append(chosen - np.take_along_axis(of_all, at, -1)[..., 0])
            parts.append(np.concatenate(values))
        return np.concatenate(parts, axis=1)

    def predict_fold(
        self,
        fold: Fold,  # noqa: ARG002
        draws: xr.Dataset,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> list[FoldPrediction]:
        """Return nothing: single sets are not shown.

        Parameters
        ----------
        fold
            The fold that is left out.
        draws
            Draws of a fit without the fold.
        rng
            Random number generator.

        Returns
        -------
        list of FoldPrediction
            Predictions of the fold's numbers; empty where they are not shown.
        """
        return []

    # --- Checks ----------------------------------------------------------------------------------

    def misfit(self, tree: xr.DataTree) -> Discrepancy | None:  # type: ignore[override]
        """Compare the events of the informative sets by regimen with replicated ones by χ².

        Parameters
        ----------
        tree
            Draws of a fit.

        Returns
        -------
        Discrepancy or None
            Posterior predictive p-value, with the regimen that fits worst; None without informative sets.
        """
        replicated, mean = (
            tree["posterior_predictive"].to_dataset()[name].values
            for name in ("events", "expected_events")
        )
        variance = np.mean((replicated - mean) ** 2, axis=(0, 1))
        is_used = variance > 0
        if not is_used.any():
            return None
        actual = np.zeros(len(is_used))
        regimen = np.array([self.study.counted.index(r) for r in self.sets.regimens], dtype=int)
        for block in self._each:
            event = np.where(
                block.sign[:, None] > 0, block.is_chosen, block.is_there & ~block.is_chosen
            )
            actual += np.bincount(regimen[block.profile].ravel(), event.ravel(), len(actual))
        observed, expected = (
            ((values - mean) ** 2 / np.where(is_used, variance, np.inf))
            for values in (actual, replicated)
        )
        share = float(np.mean(expected.sum(-1) >= observed.sum(-1)))
        where = self.study.counted[int(observed.mean((0, 1)).argmax())]
        return Discrepancy(where, share, NOT_REPRODUCED)


def log_sums(eta: pt.TensorVariable, sets: int, patients: int, most: int) -> pt.TensorVariable:
    """Return the logs of the sums over all choices of 0, 1, …, `most` patients of each set.

    Parameters
    ----------
    eta
        Log-odds, shape (set, patient); very low for padding.
    sets, patients, most
        Numbers of sets, of patients, and of chosen patients.

    Returns
    -------
    TensorVariable, shape (set, most + 1)

    Notes
    -----
    Each term is the product of the odds of the chosen patients. Recursion over patients: Gail, Lubin & Rubinstein,
    Biometrika 1981;68:703.
    """
    import pytensor.tensor as pt

    none = pt.zeros((sets, 1))
    if most == 1:
        return pt.concatenate([none, pt.logsumexp(eta, axis=1, keepdims=True)], axis=1)
    sums = pt.full((sets, most), NONE_SO_FAR)
    for at in range(patients):
        before = pt.concatenate([none, sums[:, :-1]], axis=1)
        sums = pt.logaddexp(sums, eta[:, at, None] + before)
    return pt.concatenate([none, sums], axis=1)


def _tables(eta: Array, most: int) -> list[Array]:
    """Return the logs of the sums over choices among the first 0, 1, … patients, each shape (…, most + 1)."""
    sums = np.full((*eta.shape[:-1], most + 1), -np.inf)
    sums[..., 0] = 0
    tables = [sums]
    for at in range(eta.shape[-1]):
        with_it = np.logaddexp(sums[..., 1:], eta[..., at, None] + sums[..., :-1])
        sums = np.concatenate([sums[..., :1], with_it], axis=-1)
        tables.append(sums)
    return tables


def choices(
    eta: Array, is_there: NDArray[np.bool_], chosen: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw a choice of patients of each set, and return the probability of each patient to be chosen.

    Parameters
    ----------
    eta
        Log-odds, shape (set, patient).
    is_there
        False for padding, shape (set, patient).
    chosen
        Number of chosen patients, shape (set,).
    rng
        Random number generator.

    Returns
    -------
    drawn : ndarray, shape (set, patient)
        1 for chosen patients, otherwise 0.
    probability : ndarray, shape (set, patient)

    Notes
    -----
    From the last patient to the first: the probability to be chosen depends on the number still to be chosen.
    """
    most = int(chosen.max())
    tables = _tables(np.where(is_there, eta, -np.inf), most)
    drawn, probability = np.zeros(eta.shape), np.zeros(eta.shape)
    rows, left = np.arange(len(eta)), chosen.copy()
    still = np.eye(most + 1)[chosen]  # probability of each number still to be chosen
    for at in reversed(range(eta.shape[1])):
        before, after = tables[at], tables[at + 1]
        with np.errstate(invalid="ignore"):
            given = np.exp(eta[:, at, None] + before[:, :-1] - after[:, 1:])
        given = np.where(is_there[:, at, None] & np.isfinite(given), given, 0.0)
        given = np.concatenate([np.zeros((len(eta), 1)), given], axis=1)
        drawn[:, at] = rng.random(len(eta)) < given[rows, left]
        left -= drawn[:, at].astype(int)
        taken = still * given
        probability[:, at] = taken.sum(1)
        still = still - taken
        still[:, :-1] += taken[:, 1:]
    return drawn, probability
