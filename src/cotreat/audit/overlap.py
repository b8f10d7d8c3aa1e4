"""Overlap: how alike the patients of the regimens are, and who hardly ever gets a regimen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit, ndtr, ndtri, softmax

from cotreat.study.covariate_patterns import Cells
from cotreat.study.regimens import group_of

RARE = 0.02
"""An estimated probability of a regimen below this is that of a patient who hardly ever gets it."""
MOST_RARE = 0.05
"""Share of patients for whom a regimen may be rare. A standardised risk is a mean over all patients;
what it takes for those who hardly ever get the regimen is not seen in the data, and as their true risk
lies between 0 and 1, it can move the mean by their share at most: by 5 points."""
UNLIKE = 0.25
"""A standardised difference up to this is one that regression adjustment copes with (Rubin, Health Serv
Outcomes Res Methodol 2001;2:169; Stuart, Stat Sci 2010;25:1)."""
CHANCE = 0.05
"""Probability that any difference of a table exceeds what chance is allowed to make of it."""
RIDGE = 1 / 2.5**2
"""Precision of the Normal(0, 2.5) under which each coefficient of a regimen's log-probability is estimated
(the scale of Gelman et al., Ann Appl Stat 2008;2:1360): finite where a covariate settles the regimen, and
of no weight beside some tens of patients."""
STEPS, SETTLED = 100, 1e-9
AT_ONCE = 1_000_000
"""Numbers held at once for the information of many cells."""
NOTHING = 1e-12
"""Differences and variances below this are rounding."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """How alike the patients of the regimens are.

    Attributes
    ----------
    regimens : pandas.DataFrame
        A row a regimen: ``regimen``, ``patients``, ``share`` of all patients (in a subgroup, of its
        own), ``rare`` (share of all patients whose estimated probability of it is under `RARE`),
        ``chance`` (about what that share would be if nothing known of a patient mattered for the
        regimen), ``lowest`` (the smallest).
    balance : pandas.DataFrame
        A row a covariate and regimen: ``covariate``, ``regimen``, ``mean`` of its patients, ``others``
        (mean of all other patients), ``difference`` (standardised), ``chance`` (size that chance alone
        keeps all differences below, in 95 of 100 tables), ``largest_pairwise`` (standardised difference
        between any two regimens) and ``pairwise_between`` (which).
    """

    regimens: pd.DataFrame
    balance: pd.DataFrame

    @property
    def rarest(self) -> pd.Series:
        """The regimen that is rare for the largest share of patients."""
        return self.regimens.loc[self.regimens.rare.idxmax()]

    @property
    def is_rare(self) -> bool:
        """Whether a regimen is rare for too many patients."""
        return bool(self.rarest.rare > MOST_RARE)

    @property
    def most_unlike(self) -> pd.Series:
        """The difference of a regimen from the others that is largest beside what is allowed."""
        allowed = np.maximum(UNLIKE, self.balance.chance)
        return self.balance.loc[(self.balance.difference.abs() / allowed).idxmax()]

    @property
    def allowed(self) -> float:
        """What `most_unlike` may be: `UNLIKE`, or more where chance alone makes more."""
        return max(UNLIKE, float(self.most_unlike.chance))

    @property
    def is_unlike(self) -> bool:
        """Whether a regimen's patients differ too much from the others."""
        return bool(abs(self.most_unlike.difference) > self.allowed)

    def __str__(self) -> str:
        """Say in a sentence each for whom a regimen is rare, and how unlike its patients are."""
        return f"Overlap: {self._rare_words()}. {self._unlike_words()}."

    def _rare_words(self) -> str:
        rare = self.rarest
        if rare.rare == 0:
            return f"no patient has an estimated probability under {RARE} of any regimen"
        words = (
            f"{percent(rare.rare)} of {self._whose(rare.regimen)} have an estimated probability under {RARE} of "
            f"{rare.regimen}, which {percent(rare.share)} got"
        )
        if 2 * rare.chance > rare.rare:
            words += f": so few that chance alone would make it about {percent(rare.chance)}"
        others = int((self.regimens.rare > MOST_RARE).sum()) - 1
        if others > 0:
            words += f" ({others} more regimens are rare for more than {MOST_RARE:.0%})"
        if self.is_rare:
            return (
                f"{words}. At most {MOST_RARE:.0%} is asked for: what its standardised risk, and every "
                "measure made of it, takes for them is extrapolated by the covariates' effects"
            )
        return f"{words}; no other regimen has a larger share, and at most {MOST_RARE:.0%} is asked for"

    @staticmethod
    def _whose(regimen: str) -> str:
        return "the patients of its subgroup" if group_of(regimen) else "these patients"

    def _unlike_words(self) -> str:
        unlike = self.most_unlike
        verdict = "more than" if self.is_unlike else "within"
        of = "chance alone makes" if self.allowed > UNLIKE else "adjustment copes with"
        return (
            "The largest standardised difference of a regimen's patients from all others is "
            f"{unlike.difference:.2f} ({unlike.covariate}, {unlike.regimen}), {verdict} the "
            f"{self.allowed:.2f} that {of}"
        )


@lru_cache(maxsize=4)
def overlap_of(cells: Cells) -> Overlap:
    """Compare the patients of each regimen with the others, and estimate who gets what.

    Within each subgroup where regimens are told by subgroups, as risks are then standardised over its
    patients; subgroups whose patients all have one regimen are left out.
    """
    groups = np.array([group_of(regimen) for regimen in cells.regimens])
    parts = [_part(cells, groups == group) for group in dict.fromkeys(groups)]
    compared = [part for part in parts if len(set(part.regimens)) > 1] or [cells]
    return Overlap(
        pd.concat([_regimens(part) for part in compared], ignore_index=True),
        pd.concat([_balance(part, len(compared)) for part in compared], ignore_index=True),
    )


def _part(cells: Cells, own: NDArray[np.bool_]) -> Cells:
    """Return some of the cells."""
    labels = tuple(np.array(cells.regimens)[own].tolist())
    return replace(
        cells,
        labels=(replace(cells.labels[0], regimens=labels),),
        values=cells.values[own],
        cluster=cells.cluster[own],
        n=cells.n[own],
        events=cells.events[own],
    )


def _took(cells: Cells) -> tuple[list[str], NDArray[np.float64]]:
    """Return the regimens in the order in which they first stand, and patients by cell and regimen."""
    labels = list(dict.fromkeys(cells.regimens))
    place = {label: at for at, label in enumerate(labels)}
    took = np.zeros((len(cells.n), len(labels)))
    took[np.arange(len(cells.n)), [place[regimen] for regimen in cells.regimens]] = cells.n
    return labels, took


def percent(share: float) -> str:
    """Write a share, with a decimal where it is small."""
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


# --- Who gets what ---------------------------------------------------------------------------------


def _regimens(cells: Cells) -> pd.DataFrame:
    labels, weights = _took(cells)
    columns = _columns(cells)[0]
    columns = columns - np.average(columns, axis=0, weights=cells.n)  # those of a subgroup too
    probability = propensities(columns, weights)
    patients = weights.sum(0)
    return pd.DataFrame(
        {
            "regimen": labels,
            "patients": patients.astype(int),
            "share": patients / patients.sum(),
            "rare": cells.n @ (probability < RARE) / patients.sum(),
            "chance": _rare_by_chance(columns, cells.n, patients),
            "lowest": probability.min(0),
        }
    )


def _columns(cells: Cells) -> tuple[NDArray[np.float64], list[str]]:
    """Return covariates and an indicator of each cluster, centred, shape (cell, column), and names."""
    clusters = np.eye(len(cells.clusters))[cells.cluster] if cells.clusters else cells.values[:, :0]
    clusters = clusters - np.average(clusters, axis=0, weights=cells.n)
    names = [*cells.names, *(f"cluster={name}" for name in cells.clusters)]
    return np.hstack([cells.values, clusters]), names


def _rare_by_chance(
    columns: NDArray[np.float64], n: NDArray[np.int64], patients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of patients for whom sampling error alone makes a regimen rare, by regimen.

    The estimated log-odds of a regimen that n_r patients got, a share s of all, then vary from patient
    to patient with variance v = h / (n_r (1 - s)), where h = x' S⁻¹ x is how far a patient's columns are
    from their means in the metric of their covariance S, about a mean that is v/2 below that of s, for
    the probabilities average to s.
    """
    spread = np.linalg.pinv((columns.T * n) @ columns / n.sum(), hermitian=True)
    far = np.maximum(((columns @ spread) * columns).sum(1), NOTHING)
    share = patients / patients.sum()
    variance = far[:, None] / (patients * (1 - share))
    below = ndtr((logit(RARE) - logit(share) + variance / 2) / np.sqrt(variance))
    return n @ below / n.sum()


def propensities(
    columns: NDArray[np.float64], counts: NDArray[np.float64], ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Estimate the probability of each regimen given the columns by multinomial logistic regression.

    Parameters
    ----------
    columns
        Shape (cell, column), centred.
    counts
        Patients by cell and regimen, shape (cell, regimen); every regimen has some.
    ridge
        Times half the squared coefficients is what the log-likelihood loses. Coefficients of all
        regimens are counted about their mean, so that none of them is the reference; intercepts are free.

    Returns
    -------
    ndarray, shape (cell, regimen)
        Rows add up to 1.

    Notes
    -----
    Newton's method; a step is halved until it raises the penalised likelihood, which is concave.
    """
    rows = np.hstack([np.ones((len(columns), 1)), columns])
    n = counts.sum(1)
    others, wide = counts.shape[1] - 1, rows.shape[1]
    # Coefficients of the regimens but the first, whose own are 0: squares about the mean of all.
    penalty = ridge * np.kron(
        np.eye(others) - 1 / (others + 1), np.diag([0.0] + [1.0] * (wide - 1))
    )

    def probabilities(at: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = rows @ at.reshape(others, wide).T
        return softmax(np.hstack([np.zeros((len(rows), 1)), scores]), axis=1)

    def gain(at: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
        held = counts > 0
        return float(counts[held] @ np.log(chance[held])) - float(at @ penalty @ at) / 2

    share = counts.sum(0) / counts.sum()
    at = np.zeros((others, wide))
    at[:, 0] = np.log(share[1:] / share[0])
    at = at.ravel()
    chance = probabilities(at)
    for _ in range(STEPS):
        slope = ((counts - n[:, None] * chance)[:, 1:].T @ rows).ravel() - penalty @ at
        step = np.linalg.solve(_information(rows, n, chance) + penalty, slope)
        if slope @ step < SETTLED:
            break
        before, size = gain(at, chance), 1.0
        chance = probabilities(at + step)
        while not gain(at + size * step, chance) > before and size > SETTLED:
            size /= 2
            chance = probabilities(at + size * step)
        at = at + size * step
    return chance


def _information(
    rows: NDArray[np.float64], n: NDArray[np.float64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the information on the coefficients of all regimens but the first, a square array."""
    others, wide = chance.shape[1] - 1, rows.shape[1]
    found, own = np.zeros((others * wide, others * wide)), np.zeros((others * wide, wide))
    for part in np.array_split(np.arange(len(rows)), len(rows) * others * wide // AT_ONCE + 1):
        spread = (chance[part, 1:, None] * rows[part, None, :]).reshape(len(part), -1)
        weighted = (spread * n[part, None]).T
        found -= weighted @ spread
        own += weighted @ rows[part]
    for one in range(others):
        block = slice(one * wide, (one + 1) * wide)
        found[block, block] += own[block]
    return found


# --- How alike they are ----------------------------------------------------------------------------


def _balance(cells: Cells, tables: int) -> pd.DataFrame:
    """Standardised differences after Austin, Stat Med 2009;28:3083.

    The difference of two means over the root of the mean of two variances: those of the samples, or
    p (1 - p) where there is nothing but 0 and 1.
    """
    labels, weights = _took(cells)
    values, names = _columns(cells)
    middle, scale, raw = _raw(cells, values)
    binary = np.isin(np.round(raw, 9), (0.0, 1.0)).all(0)
    patients = weights.sum(0)
    left = patients.sum() - patients
    sums, squares = weights.T @ values, weights.T @ values**2
    mean = sums / patients[:, None]
    variance = _variance(sums, squares, patients, binary)
    rest, rest_squares = sums.sum(0) - sums, squares.sum(0) - squares
    others = rest / left[:, None]
    difference = _standardised(mean - others, variance, _variance(rest, rest_squares, left, binary))
    chance = -ndtri(CHANCE / tables / difference.size / 2) * np.sqrt(1 / patients + 1 / left)
    largest, between = _largest(mean, variance, labels)
    wide = len(names)
    return pd.DataFrame(
        {
            "covariate": np.repeat(names, len(labels)),
            "regimen": labels * wide,
            "mean": (mean * scale + middle).T.ravel(),
            "others": (others * scale + middle).T.ravel(),
            "difference": difference.T.ravel(),
            "chance": np.tile(chance, wide),
            "largest_pairwise": np.repeat(largest, len(labels)),
            "pairwise_between": np.repeat(between, len(labels)),
        }
    )


def _raw(
    cells: Cells, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what to add to columns and to multiply them by to have them as they were, and these."""
    shares = np.bincount(cells.cluster, cells.n, max(1, len(cells.clusters))) / cells.n.sum()
    own = shares if cells.clusters else shares[:0]
    middle = np.r_[[covariate.mean for covariate in cells.covariates], own]
    scale = np.r_[[covariate.scale for covariate in cells.covariates], np.ones(len(own))]
    return middle, scale, values * scale + middle


def _variance(
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    n: NDArray[np.float64],
    binary: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return variances, shape (regimen, column); that of a single patient is 0."""
    about = squares - sums**2 / n[:, None]
    return np.maximum(about, 0) / np.where(binary, n[:, None], np.maximum(n[:, None] - 1, 1))


def _standardised(
    difference: NDArray[np.float64], one: NDArray[np.float64], two: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Divide differences by the pooled SD; infinite where none varies and the means differ."""
    pooled = (one + two) / 2
    known = pooled > NOTHING
    apart = np.where(np.abs(difference) > NOTHING, np.copysign(np.inf, difference), 0.0)
    return np.where(known, difference / np.sqrt(np.where(known, pooled, 1.0)), apart)


def _largest(
    mean: NDArray[np.float64], variance: NDArray[np.float64], labels: Sequence[str]
) -> tuple[list[float], list[str]]:
    """Return the largest difference between two regimens for each column, and which they are."""
    largest, between = [], []
    for means, variances in zip(mean.T, variance.T, strict=True):
        apart = np.abs(
            _standardised(
                means[:, None] - means,
                variances[:, None],
                np.broadcast_to(variances, (len(means),) * 2),
            )
        )
        one, two = np.unravel_index(np.triu(apart, 1).argmax(), apart.shape)
        largest.append(float(apart[one, two]))
        between.append(f"{labels[int(one)]} and {labels[int(two)]}")
    return largest, between
