"""The registry of contrasts: regressions on the arms of a cohort that a reported estimate may come from.

A new kind is one function here and one entry of `KINDS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.logistic_operator import Coefficient, coefficient
from cotreat.evidence.statistics import ODDS_RATIO, Statistic
from cotreat.study import regimens
from cotreat.study.regimens import Regimen
from cotreat.study.study import Meaning, Stratification


@dataclass(frozen=True)
class Cohort:
    """The regimens of a cohort, in order, and their treatments.

    Attributes
    ----------
    treatments : tuple of str
        Ids of the treatments.
    arms : tuple of Regimen
        Regimens of the cohort, by level or subgroup if stratified.
    parts : frozenset of str
        Levels or subgroups by which the arms are stratified.
    """

    treatments: tuple[str, ...]
    arms: tuple[Regimen, ...]
    parts: frozenset[str] = frozenset()

    def stratified_by(self, strata: Stratification) -> "Cohort":
        """Split its regimens by levels or subgroups.

        Parameters
        ----------
        strata
            The stratification.

        Returns
        -------
        Cohort
            The cohort with an arm for each regimen by level or subgroup.
        """
        lattice = regimens.lattice(self.treatments, strata.levels, strata.groups)
        arms = tuple(arm for arm in lattice if regimens.taken(arm) in self.arms)
        return Cohort(self.treatments, arms, frozenset(strata.names))

    def within(self, expression: str) -> NDArray[np.bool_]:
        """Return the membership of the arms in a set of patients, shape (arm,).

        Parameters
        ----------
        expression
            Expression of the study file, such as ``TAC and not CYC``.

        Returns
        -------
        ndarray of bool, shape (arm,)
            True for arms whose patients belong to the set.
        """
        belongs = regimens.rule(expression, self.treatments, self.parts)
        return np.array([belongs(arm) for arm in self.arms], dtype=bool)

    def of(self, regimen: str) -> NDArray[np.bool_]:
        """Return the arms of a regimen, at any level that it does not name, shape (arm,).

        Parameters
        ----------
        regimen
            Label of the regimen.

        Returns
        -------
        ndarray of bool, shape (arm,)
            True for arms of the regimen.
        """
        word = regimens.parse(regimen)
        return np.array([regimens.fits(arm, word) for arm in self.arms], dtype=bool)

    def sides(self, holds: str, words: Sequence[str]) -> NDArray[np.bool_]:
        """Return the membership of the arms in each regimen, or set of patients, shape (side, arm).

        Parameters
        ----------
        holds
            ``regimens`` or ``sets``.
        words
            Labels of regimens or expressions of sets.

        Returns
        -------
        ndarray of bool, shape (side, arm)
            Membership.
        """
        return np.array([self.of(w) if holds == "regimens" else self.within(w) for w in words])

    def taking(self, *drugs: str) -> NDArray[np.float64]:
        """Return the indicator of arms with all of some treatments, shape (arm,).

        Parameters
        ----------
        *drugs
            Ids of treatments.

        Returns
        -------
        ndarray, shape (arm,)
            1 for arms with all of the treatments, otherwise 0.
        """
        return np.array([float(set(drugs) <= regimens.taken(arm)) for arm in self.arms])


Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]
"""Design (arm, coefficient), weights of the coefficients, membership of the arms in the regression."""


def _columns(
    columns: Sequence[NDArray[np.float64]], place: int, members: NDArray[np.bool_]
) -> Columns:
    """Return a regression with an intercept, whose coefficient at `place` is of interest."""
    design = np.column_stack([np.ones(len(members)), *columns])
    return design, np.eye(design.shape[1])[place], members


def _scored(sides: NDArray[np.bool_], scores: Sequence[int]) -> Columns:
    """Return the regression on disjoint sets of patients with a score each."""
    return _columns([np.asarray(scores) @ sides], 1, sides.any(0))


def _contrast(holds: str) -> Callable[[Sequence[str], Cohort], Columns]:
    """Return the regression of a regimen, or a set of patients, against another."""
    return lambda words, cohort: _scored(cohort.sides(holds, words), (1, 0))


def _level(holds: str) -> Callable[[Sequence[str], Cohort], Columns]:
    """Return the regression of one regimen, or one set of patients, alone."""

    def columns(words: Sequence[str], cohort: Cohort) -> Columns:
        count = len(cohort.arms)
        return np.ones((count, 1)), np.ones(1), cohort.sides(holds, words)[0]

    return columns


def _trend(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression on sets of patients scored 0, 1, 2, …: the odds ratio of a step."""
    return _scored(cohort.sides("sets", words), range(len(words)))


def _product(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression with a product of two treatments over their four sets of patients."""
    return _products([words], replace(cohort, treatments=tuple(words)))


def _products(words: Sequence[Sequence[str]], cohort: Cohort) -> Columns:
    """Return the regression with several products, the first of interest, and a column per treatment."""
    single = [cohort.taking(drug) for drug in cohort.treatments]
    products = [cohort.taking(*pair) for pair in words]
    members = np.ones(len(cohort.arms), bool)
    return _columns([*single, *products], 1 + len(single), members)


def _adjusted_product(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression with a product of two treatments and a column per treatment."""
    return _products([words], cohort)


def _against(words: Sequence[Any]) -> str:
    return f"{words[0]} vs {words[1]}"


def _whole(words: Sequence[str]) -> str:
    """Name a set of patients, other than the regimen of the same name."""
    (word,) = words
    return f"all with {word}" if word.replace(".", "_").isidentifier() else word


def _mutual(words: Sequence[Sequence[str]]) -> str:
    first, *others = map(":".join, words)
    return f"{first} given {', '.join(others)}"


@dataclass(frozen=True)
class Kind:
    """An entry of the registry.

    Attributes
    ----------
    columns : callable
        From words and cohort to the regression.
    holds : str
        Its words: ``regimens``, ``sets`` or ``treatments``.
    name : str
        Its measure as an odds ratio.
    words : str
        The measure for people; ``{}`` is the name of the statistic.
    subject : callable
        From words to the text of the contrast.
    """

    columns: Callable[[Sequence[Any], Cohort], Columns]
    holds: str
    name: str
    words: str
    subject: Callable[[Sequence[Any]], str]


LEVEL_NAME = "level"
"""Measure of the log odds of one group of patients alone."""

KINDS: dict[str, Kind] = {
    "regimens": Kind(_contrast("regimens"), "regimens", "odds_ratio", "{}", _against),
    "sets": Kind(_contrast("sets"), "sets", "odds_ratio", "{}", _against),
    "regimen": Kind(_level("regimens"), "regimens", LEVEL_NAME, "{}", "".join),
    "set": Kind(_level("sets"), "sets", LEVEL_NAME, "{}", _whole),
    "trend": Kind(_trend, "sets", "trend", "{} of a step", " < ".join),
    "product": Kind(_product, "treatments", "product", "product term", ":".join),
    "adjusted_product": Kind(
        _adjusted_product,
        "treatments",
        "adjusted_product",
        "product term, adjusted for every treatment",
        ":".join,
    ),
    "products": Kind(
        _products,
        "treatments",
        "mutual_product",
        "product term, adjusted for another",
        _mutual,
    ),
}
"""Every kind of regression coefficient; `cotreat.study_file.contrast` has the text of each."""
OF_REGIMENS = tuple(name for name, kind in KINDS.items() if kind.holds == "regimens")
"""Kinds whose words are regimens."""


def label(meaning: Meaning, statistic: Statistic = ODDS_RATIO) -> str:
    """Write measure and contrast of a reported estimate for people: ``odds ratio, TAC vs not TAC``.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.
    statistic
        The statistic in which it is reported.

    Returns
    -------
    str
        Measure and contrast.
    """
    kind = KINDS[meaning.kind]
    subject = kind.subject(meaning.words).replace(":", " × ")
    return f"{kind.words.format(statistic.words)}, {subject}"


def code(meaning: Meaning) -> str:
    """Write measure and contrast of a reported odds ratio as a name: ``odds_ratio[TAC vs not TAC]``.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.

    Returns
    -------
    str
        Measure, with the contrast in brackets.
    """
    kind = KINDS[meaning.kind]
    return f"{kind.name}[{kind.subject(meaning.words)}]"


def measure_of(meaning: Meaning, statistic: Statistic) -> str:
    """Return the column ``measure`` of a contrast: that of log odds, or the statistic's name with it.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.
    statistic
        The statistic in which it is reported.

    Returns
    -------
    str
        For example ``odds_ratio``, ``trend`` or ``risk_ratio``.
    """
    name = KINDS[meaning.kind].name
    if statistic is ODDS_RATIO or (statistic.is_regression and statistic.of_ratios is None):
        return name
    return statistic.name if name in (ODDS_RATIO.name, LEVEL_NAME) else f"{statistic.name}_{name}"


PRODUCTS = ("product", "adjusted_product")
"""Names of a product term of one pair of treatments."""


def question_of(meaning: Meaning, statistic: Statistic = ODDS_RATIO) -> tuple[str, str, str]:
    """Return measure, contrast and pair of a reported estimate.

    A product term of one pair has no contrast, and all others have no pair.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.
    statistic
        The statistic in which it is reported.

    Returns
    -------
    measure, contrast, pair : str
        The columns of these names.
    """
    kind = KINDS[meaning.kind]
    subject, measure = kind.subject(meaning.words), measure_of(meaning, statistic)
    return (measure, "", subject) if kind.name in PRODUCTS else (measure, subject, "")


def named_parts(meaning: Meaning) -> frozenset[str]:
    """Return the levels and subgroups in a contrast, as ``TAC.high``.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.

    Returns
    -------
    frozenset of str
        Levels and subgroups.
    """
    flat = (w for word in meaning.words for w in (word if isinstance(word, tuple) else (word,)))
    return frozenset(part for word in flat for part in regimens.named_parts(word))


def members(meaning: Meaning, cohort: Cohort) -> NDArray[np.bool_]:
    """Return the membership of the arms in the regression of a reported estimate, shape (arm,).

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.
    cohort
        Regimens and treatments on which contrasts are defined.

    Returns
    -------
    ndarray of bool, shape (arm,)
        True for arms whose patients are in the regression.
    """
    return KINDS[meaning.kind].columns(meaning.words, cohort)[2]


def coefficient_of(
    meaning: Meaning, cohort: Cohort, *, is_adjusted: bool, statistic: Statistic = ODDS_RATIO
) -> Coefficient:
    """Return the regression coefficient of a reported estimate.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.
    cohort
        Regimens and treatments on which contrasts are defined.
    is_adjusted
        Whether the regression also has unreported covariates.
    statistic
        The statistic in which it is reported.

    Returns
    -------
    Coefficient
        The coefficient.

    Raises
    ------
    ValueError
        If the coefficient is not estimable from the arms of the cohort (a side without patients, sides that
        share patients, a product without all four sets), or not supported for the statistic.
    """
    kind = KINDS[meaning.kind]
    columns, weights, arms = kind.columns(meaning.words, cohort)
    if kind.holds != "treatments":
        sides = cohort.sides(kind.holds, meaning.words)
        for side, words in zip(sides, meaning.words, strict=True):
            if not side.any():
                raise ValueError(f"no regimen of the cohort belongs to {words!r}")
        if np.sum(sides, axis=0).max() > 1:
            raise ValueError("the sides share patients; they must be disjoint")
    design = columns[arms]
    if not len(design) or np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f"the regimens of the cohort do not determine {label(meaning)}: its columns are not independent, so "
            "no regression has that coefficient"
        )
    coef = coefficient(columns, weights, arms, is_adjusted=is_adjusted)
    statistic.require_defined(coef)
    return coef
