"""Compare the patients of the regimens: propensity (overlap) and standardised differences (balance)."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit, ndtr, ndtri, softmax, xlogy

from cotreat.core.constants import MANY_CLUSTERS
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.regimens import NONE, WITHIN, group_of, treatment_of
from cotreat.study.study import Study

Array = NDArray[np.float64]

RARE = 0.02
"""A regimen with a lower estimated probability is rare for a patient."""
MOST_RARE = 0.05
"""Largest share of patients for whom a regimen may be rare. A standardised risk is a mean over all patients; the
risk of patients who hardly ever receive the regimen is not observed, and as it lies between 0 and 1, it can move
the mean by their share at most: by 5 points."""
UNLIKE = 0.25
"""Largest standardised difference for which regression adjusts adequately (Rubin, Health Serv Outcomes Res Methodol
2001;2:169; Stuart, Stat Sci 2010;25:1)."""
CHANCE = 0.05
"""Probability that chance alone makes any difference of a table exceed its allowance."""
RIDGE = 1 / 2.5**2
"""Precision of the Normal(0, 2.5) prior of the coefficients of a regimen's log-probability (the scale of Gelman
et al., Ann Appl Stat 2008;2:1360): finite where a covariate determines the regimen, negligible with some tens of
patients."""
GRADIENT = 1e-9
"""Largest gradient of the penalised log-likelihood per patient at its maximum."""
NEGLIGIBLE = 1e-12
"""Differences and variances below this are rounding errors."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Overlap and balance of the regimens.

    Attributes
    ----------
    regimens : pandas.DataFrame
        One row for each regimen: ``regimen``, ``patients``, ``share`` of all patients (of its subgroup),
        ``rare`` (share of all patients with an estimated probability of it below `RARE`), ``chance`` (that
        share if no covariate determined the regimen), ``lowest`` (smallest estimated probability).
    balance : pandas.DataFrame
        One row for each covariate and regimen: ``covariate``, ``regimen``, ``mean`` of its patients,
        ``others`` (mean of all other patients), ``difference`` (standardised), ``chance`` (bound of all
        differences by chance alone, in 95 of 100 tables), ``largest_pairwise`` (standardised difference
        between any two regimens) and ``pairwise_between`` (those two).
    """

    regimens: pd.DataFrame
    balance: pd.DataFrame

    @property
    def rarest(self) -> pd.Series:
        """Row of the regimen that is rare for the largest share of patients."""
        return self.regimens.loc[self.regimens.rare.idxmax()]

    @property
    def is_rare(self) -> bool:
        """Whether a regimen is rare for more than `MOST_RARE` of the patients."""
        return bool(self.rarest.rare > MOST_RARE)

    @property
    def most_unlike(self) -> pd.Series:
        """Row of the largest difference relative to its allowance."""
        allowed = np.maximum(UNLIKE, self.balance.chance)
        return self.balance.loc[(self.balance.difference.abs() / allowed).idxmax()]

    @property
    def allowed(self) -> float:
        """Allowance of `most_unlike`: `UNLIKE`, or what chance alone makes if that is more."""
        return max(UNLIKE, float(self.most_unlike.chance))

    @property
    def is_unlike(self) -> bool:
        """Whether a difference exceeds its allowance."""
        return bool(abs(self.most_unlike.difference) > self.allowed)

    def __str__(self) -> str:
        """Return a sentence on overlap and one on balance."""
        unlike = self.most_unlike
        verdict = "more than" if self.is_unlike else "within"
        of = "chance alone makes" if self.allowed > UNLIKE else "regression adjusts for"
        return (
            f"Overlap: {self._rare_words()}. The largest standardised difference of a regimen's patients from "
            f"all others is {unlike.difference:.2f} ({unlike.covariate}, {unlike.regimen}), {verdict} the "
            f"{self.allowed:.2f} that {of}."
        )

    def _rare_words(self) -> str:
        rarest = self.rarest
        if rarest.rare == 0:
            return f"no patient has an estimated probability below {RARE} of any regimen"
        whose = "the patients of its subgroup" if group_of(rarest.regimen) else "these patients"
        words = (
            f"{percent(rarest.rare)} of {whose} have an estimated probability below {RARE} of {rarest.regimen}, "
            f"which {percent(rarest.share)} received"
        )
        if 2 * rarest.chance > rarest.rare:
            words += f", where chance alone makes it about {percent(rarest.chance)}"
        others = int((self.regimens.rare > MOST_RARE).sum()) - 1
        if others > 0:
            words += f" ({others} more regimens are rare for more than {MOST_RARE:.0%})"
        if not self.is_rare:
            return (
                f"{words}, at most the {MOST_RARE:.0%} allowed; no other regimen has a larger share"
            )
        return (
            f"{words}, more than the {MOST_RARE:.0%} allowed: for them its standardised risk, and every measure "
            "of it, is a prediction from the covariates' effects alone"
        )


def overlap_in(study: Study) -> Overlap | None:
    """Estimate the overlap of a study's regimens in their treatments that were not assigned at random.

    Parameters
    ----------
    study
        The study, resolved to a stratification.

    Returns
    -------
    Overlap or None
        None without covariates and clusters to compare, and where every treatment was assigned at random: the
        probability of a randomised treatment is known and the same for all patients.
    """
    if study.patterns is None or not study.is_adjusted or study.is_randomised:
        return None
    if not study.patterns.covariates and not _named_clusters(study.patterns):
        return None
    return overlap_of(study.patterns, study.randomised)


@lru_cache(maxsize=4)
def overlap_of(patterns: CovariatePatterns, randomised: tuple[str, ...] = ()) -> Overlap:
    """Estimate the propensity of each regimen, and compare its patients with the others.

    With subgroups the comparison is within each of them, because risks are then standardised over its patients;
    subgroups with one regimen are left out.

    Parameters
    ----------
    patterns
        Covariate patterns.
    randomised
        Treatments that were assigned at random; regimens that differ in these only are compared as one.

    Returns
    -------
    Overlap
    """
    if randomised:
        patterns = _without(patterns, randomised)
    groups = np.array([group_of(regimen) for regimen in patterns.regimens])
    parts = [_within(patterns, groups == group) for group in dict.fromkeys(groups)]
    compared = [part for part in parts if len(set(part.regimens)) > 1] or [patterns]
    return Overlap(
        pd.concat([_regimens(part) for part in compared], ignore_index=True),
        pd.concat([_balance(part, len(compared)) for part in compared], ignore_index=True),
    )


def _without(patterns: CovariatePatterns, treatments: tuple[str, ...]) -> CovariatePatterns:
    """Return the patterns with regimens that leave out some treatments."""

    def rest(regimen: str) -> str:
        taken, *group = regimen.split(WITHIN)
        kept = [part for part in taken.split("+") if treatment_of(part) not in treatments]
        return WITHIN.join(["+".join(kept) or NONE, *group])

    labels = replace(patterns.labels[0], regimens=tuple(map(rest, patterns.regimens)))
    return replace(patterns, labels=(labels,))


def _within(patterns: CovariatePatterns, chosen: NDArray[np.bool_]) -> CovariatePatterns:
    """Return some of the covariate patterns."""
    labels = tuple(np.array(patterns.regimens)[chosen].tolist())
    arrays = {
        name: getattr(patterns, name)[chosen] for name in ("values", "cluster", "n", "events")
    }
    return replace(patterns, labels=(replace(patterns.labels[0], regimens=labels),), **arrays)


def _patients_by_regimen(patterns: CovariatePatterns) -> tuple[list[str], Array]:
    """Return the regimens in order of appearance, and patients by covariate pattern and regimen."""
    place, labels = pd.factorize(np.array(patterns.regimens))
    return labels.tolist(), np.eye(len(labels))[place] * patterns.n[:, None]


def percent(share: float) -> str:
    """Write a share in percent, with one decimal below 10%.

    Parameters
    ----------
    share : float

    Returns
    -------
    str
    """
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


# --- Overlap ---------------------------------------------------------------------------------------


def _regimens(patterns: CovariatePatterns) -> pd.DataFrame:
    labels, weights = _patients_by_regimen(patterns)
    columns = _columns(patterns)[0]
    columns = columns - np.average(columns, axis=0, weights=patterns.n)  # those of a subgroup too
    probability = propensities(columns, weights)
    patients = weights.sum(0)
    return pd.DataFrame(
        {
            "regimen": labels,
            "patients": patients.astype(int),
            "share": patients / patients.sum(),
            "rare": patterns.n @ (probability < RARE) / patients.sum(),
            "chance": _rare_by_chance(columns, patterns.n, patients),
            "lowest": probability.min(0),
        }
    )


def _named_clusters(patterns: CovariatePatterns) -> tuple[str, ...]:
    """Return the clusters, if they are few enough to be compared one by one."""
    return patterns.clusters if len(patterns.clusters) <= MANY_CLUSTERS else ()


def _columns(patterns: CovariatePatterns) -> tuple[Array, list[str]]:
    """Return covariates and indicators of clusters, centred, shape (pattern, column), and their names.

    Many clusters have no indicators: the regimen of a patient does not depend on single ones of them.
    """
    named = _named_clusters(patterns)
    clusters = np.where(patterns.cluster[:, None] == np.arange(len(named)), 1.0, 0.0)
    clusters = clusters - np.average(clusters, axis=0, weights=patterns.n)
    names = [*patterns.names, *(f"cluster={name}" for name in named)]
    return np.hstack([patterns.values, clusters]), names


def _rare_by_chance(columns: Array, n: NDArray[np.int64], patients: Array) -> Array:
    """Return the share of patients for whom sampling error alone makes a regimen rare, by regimen.

    The estimated log-odds of a regimen with n_r patients, a share s of all, then vary between patients with variance
    v = h / (n_r (1 - s)), where h = x' S⁻¹ x is the squared Mahalanobis distance of a patient's columns from their
    means under their covariance S. Their mean is v/2 below logit(s), because the probabilities average to s.
    """
    spread = np.linalg.pinv((columns.T * n) @ columns / n.sum(), hermitian=True)
    far = np.maximum(((columns @ spread) * columns).sum(1), NEGLIGIBLE)
    share = patients / patients.sum()
    variance = far[:, None] / (patients * (1 - share))
    below = ndtr((logit(RARE) - logit(share) + variance / 2) / np.sqrt(variance))
    return n @ below / n.sum()


def propensities(columns: Array, counts: Array, ridge: float = RIDGE) -> Array:
    """Estimate the probability of each regimen given the columns by multinomial logistic regression.

    Parameters
    ----------
    columns
        Shape (pattern, column), centred.
    counts
        Patients, shape (pattern, regimen); every regimen has some.
    ridge
        The penalty is half of it times the squared coefficients, which are taken about their mean over all
        regimens, so that none is the reference; intercepts are not penalised.

    Returns
    -------
    ndarray, shape (pattern, regimen)
        Rows sum to 1.

    Notes
    -----
    The penalised likelihood is concave; the search starts at the proportions of patients on each regimen.
    """
    rows = np.hstack([np.ones((len(columns), 1)), columns])
    n, others = counts.sum(1), counts.shape[1] - 1
    share = counts.sum(0) / counts.sum()

    def scores(coefficients: Array) -> Array:
        # The coefficients of the first regimen are 0.
        return np.pad(rows @ coefficients.reshape(others, -1).T, ((0, 0), (1, 0)))

    def penalised(coefficients: Array, x: Array) -> Array:
        """Return X'x plus the penalty's gradient, per patient; intercepts are not penalised."""
        slopes = coefficients.reshape(others, -1) * (np.arange(rows.shape[1]) > 0)
        penalty = ridge * (slopes - slopes.sum(0) / (others + 1))
        return (x[:, 1:].T @ rows + penalty).ravel() / n.sum()

    def loss(at: Array) -> tuple[float, Array]:
        """Return the negative penalised log-likelihood per patient, with its gradient."""
        probability = softmax(scores(at), axis=1)
        penalty = at @ penalised(at, np.zeros_like(counts)) / 2
        value = penalty - xlogy(counts, probability).sum() / n.sum()
        return value, penalised(at, n[:, None] * probability - counts)

    def curvature(at: Array, direction: Array) -> Array:
        probability, change = softmax(scores(at), axis=1), scores(direction)
        change = change - (probability * change).sum(1, keepdims=True)
        return penalised(direction, n[:, None] * probability * change)

    start = np.zeros((others, rows.shape[1]))
    start[:, 0] = np.log(share[1:] / share[0])
    found = minimize(
        loss,
        start.ravel(),
        method="trust-ncg",
        jac=True,
        hessp=curvature,
        options={"gtol": GRADIENT},
    )
    return softmax(scores(found.x), axis=1)


# --- Balance ---------------------------------------------------------------------------------------


def _balance(patterns: CovariatePatterns, tables: int) -> pd.DataFrame:
    """Compute standardised differences after Austin, Stat Med 2009;28:3083.

    The difference of two means is divided by the root of the mean of the two sample variances; of a binary covariate
    the variance is p (1 - p).
    """
    labels, weights = _patients_by_regimen(patterns)
    values, names = _columns(patterns)
    clusters = len(_named_clusters(patterns))
    shares = np.bincount(patterns.cluster, patterns.n, max(1, clusters)) / patterns.n.sum()
    middle = np.r_[[covariate.mean for covariate in patterns.covariates], shares[:clusters]]
    scale = np.r_[[covariate.scale for covariate in patterns.covariates], np.ones(clusters)]
    binary = np.isin(np.round(values * scale + middle, 9), (0.0, 1.0)).all(0)
    patients = weights.sum(0)
    left = patients.sum() - patients
    sums, squares = weights.T @ values, weights.T @ values**2
    mean, variance = _moments(sums, squares, patients, binary)
    others, spread = _moments(sums.sum(0) - sums, squares.sum(0) - squares, left, binary)
    difference = _standardised(mean - others, variance, spread)
    chance = -ndtri(CHANCE / tables / difference.size / 2) * np.sqrt(1 / patients + 1 / left)
    wide = len(names)
    of_two = _standardised(
        mean.T[:, :, None] - mean.T[:, None], variance.T[:, :, None], variance.T[:, None]
    )
    apart = np.triu(np.abs(of_two), 1).reshape(wide, -1)
    one, two = np.divmod(apart.argmax(1), len(labels))
    between = [f"{labels[i]} and {labels[j]}" for i, j in zip(one, two, strict=True)]
    return pd.DataFrame(
        {
            "covariate": np.repeat(names, len(labels)),
            "regimen": labels * wide,
            "mean": (mean * scale + middle).T.ravel(),
            "others": (others * scale + middle).T.ravel(),
            "difference": difference.T.ravel(),
            "chance": np.tile(chance, wide),
            "largest_pairwise": np.repeat(apart.max(1), len(labels)),
            "pairwise_between": np.repeat(between, len(labels)),
        }
    )


def _moments(
    sums: Array, squares: Array, n: Array, binary: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Return means and variances, shape (regimen, column); the variance of a single patient is 0."""
    n = n[:, None]
    about = squares - sums**2 / n
    return sums / n, np.maximum(about, 0) / np.where(binary, n, np.maximum(n - 1, 1))


def _standardised(difference: Array, one: Array, two: Array) -> Array:
    """Divide differences by the pooled SD; infinite without variance where the means differ."""
    pooled = (one + two) / 2
    varies = pooled > NEGLIGIBLE
    apart = np.where(np.abs(difference) > NEGLIGIBLE, np.copysign(np.inf, difference), 0.0)
    return np.where(varies, difference / np.sqrt(np.where(varies, pooled, 1.0)), apart)
