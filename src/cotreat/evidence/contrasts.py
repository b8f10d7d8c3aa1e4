"""The registry of contrasts: regressions on the arms of a cohort that a reported estimate may come from.

A new kind is one function here and one entry of `KINDS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """The regimens of a cohort, in order, and their treatments."""

    treatments: tuple[str, ...]
    arms: tuple[Regimen, ...]
    parts: frozenset[str] = frozenset()

    def stratified_by(self, strata: Stratification) -> "Cohort":
        """Split its regimens by levels or subgroups."""
        every = regimens.lattice(self.treatments, strata.levels, strata.groups)
        arms = tuple(arm for arm in every if regimens.taken(arm) in self.arms)
        return Cohort(self.treatments, arms, frozenset(strata.names))

    def within(self, expression: str) -> NDArray[np.bool_]:
        """Return the membership of the arms in a set of patients, shape (arm,)."""
        belongs = regimens.rule(expression, self.treatments, self.parts)
        return np.array([belongs(arm) for arm in self.arms], dtype=bool)

    def of(self, regimen: str) -> NDArray[np.bool_]:
        """Return the arms of a regimen, at any level that it does not name, shape (arm,)."""
        word = regimens.parse(regimen)
        return np.array([regimens.fits(arm, word) for arm in self.arms], dtype=bool)

    def taking(self, *drugs: str) -> NDArray[np.float64]:
        """Return the indicator of arms with all of some treatments, shape (arm,)."""
        return np.array([float(set(drugs) <= regimens.taken(arm)) for arm in self.arms])


Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]
"""Design (arm, coefficient), weights of the coefficients, membership of the arms in the regression."""


def _columns(
    columns: Sequence[NDArray[np.float64]], meant: int, members: NDArray[np.bool_]
) -> Columns:
    design = np.column_stack([np.ones(len(members)), *columns])
    return design, np.eye(design.shape[1])[meant], members


def _regimens(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression of one arm against another."""
    first, second = (cohort.of(word) for word in words)
    return _columns([first.astype(float)], 1, first | second)


def _sets(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression of one set of patients against another."""
    first, second = (cohort.within(w) for w in words)
    return _columns([first.astype(float)], 1, first | second)


def _trend(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression on disjoint sets of patients, scored 0, 1, 2, …: the odds ratio of a step."""
    members = np.array([cohort.within(w) for w in words])
    return _columns([np.arange(len(words)) @ members], 1, members.any(0))


def _product(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression with a product of two treatments over their four sets of patients."""
    own = [cohort.taking(drug) for drug in words]
    return _columns([*own, cohort.taking(*words)], 3, np.ones(len(cohort.arms), bool))


def _adjusted_product(words: Sequence[str], cohort: Cohort) -> Columns:
    """Return the regression with a product of two treatments and a column per treatment."""
    return _products([words], cohort)


def _products(words: Sequence[Sequence[str]], cohort: Cohort) -> Columns:
    """Return the regression with several products, the first of interest, and a column per treatment."""
    own = [cohort.taking(drug) for drug in cohort.treatments]
    products = [cohort.taking(*pair) for pair in words]
    return _columns([*own, *products], 1 + len(own), np.ones(len(cohort.arms), bool))


def _against(words: Sequence[Any]) -> str:
    return f"{words[0]} vs {words[1]}"


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
    subject : callable
        From words to the text of the contrast.
    """

    columns: Callable[[Sequence[Any], Cohort], Columns]
    holds: str
    name: str
    subject: Callable[[Sequence[Any]], str]


KINDS: dict[str, Kind] = {
    "regimens": Kind(_regimens, "regimens", "odds_ratio", _against),
    "sets": Kind(_sets, "sets", "odds_ratio", _against),
    "trend": Kind(_trend, "sets", "trend", " < ".join),
    "product": Kind(_product, "treatments", "product", ":".join),
    "adjusted_product": Kind(_adjusted_product, "treatments", "adjusted_product", ":".join),
    "products": Kind(
        _products,
        "treatments",
        "mutual_product",
        lambda words: (
            ":".join(words[0]) + " given " + ", ".join(":".join(pair) for pair in words[1:])
        ),
    ),
}
"""Every kind of regression coefficient; `cotreat.study_file.contrast` has the text of each."""


def label(meaning: Meaning, statistic: Statistic = ODDS_RATIO) -> str:
    """Write measure and contrast of a reported estimate: ``odds_ratio[TAC vs not TAC]``."""
    return f"{measure_of(meaning, statistic)}[{KINDS[meaning.kind].subject(meaning.words)}]"


def measure_of(meaning: Meaning, statistic: Statistic) -> str:
    """Return the column ``measure`` of a contrast: that of log odds, or the statistic's name with it."""
    name = KINDS[meaning.kind].name
    if statistic is ODDS_RATIO:
        return name
    return statistic.name if name == ODDS_RATIO.name else f"{statistic.name}_{name}"


PRODUCTS = ("product", "adjusted_product")
"""Names of a product term of one pair of treatments."""


def question_of(meaning: Meaning, statistic: Statistic = ODDS_RATIO) -> tuple[str, str, str]:
    """Return measure, contrast and pair of a reported estimate.

    A product term of one pair has no contrast, and all others have no pair.
    """
    kind = KINDS[meaning.kind]
    subject, measure = kind.subject(meaning.words), measure_of(meaning, statistic)
    return (measure, "", subject) if kind.name in PRODUCTS else (measure, subject, "")


def named_parts(meaning: Meaning) -> frozenset[str]:
    """Return the levels and subgroups in a contrast, as ``TAC.high``."""
    flat = (w for word in meaning.words for w in (word if isinstance(word, tuple) else (word,)))
    return frozenset(part for word in flat for part in regimens.named_parts(word))


def members(meaning: Meaning, cohort: Cohort) -> NDArray[np.bool_]:
    """Return the membership of the arms in the regression of a reported estimate, shape (arm,)."""
    return KINDS[meaning.kind].columns(meaning.words, cohort)[2]


def coefficient_of(
    meaning: Meaning, cohort: Cohort, *, is_adjusted: bool, statistic: Statistic = ODDS_RATIO
) -> Coefficient:
    """Return the regression coefficient of a reported estimate.

    Raises
    ------
    ValueError
        If the coefficient is not estimable from the arms of the cohort (a side without patients, sides that
        share patients, a product without all four sets), or not supported for the statistic.
    """
    kind = KINDS[meaning.kind]
    columns, weights, arms = kind.columns(meaning.words, cohort)
    if kind.holds != "treatments":
        _require_disjoint(meaning, cohort)
    design = columns[arms]
    if not len(design) or np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f"the cohort's regimens cannot tell {label(meaning)}: its columns are not independent, so "
            "no regression has that coefficient"
        )
    found = coefficient(columns, weights, arms, is_adjusted=is_adjusted)
    statistic.require_defined(found)
    return found


def _require_disjoint(meaning: Meaning, cohort: Cohort) -> None:
    if meaning.kind == "regimens":
        sides = [cohort.of(word) for word in meaning.words]
    else:
        sides = [cohort.within(w) for w in meaning.words]
    for side, words in zip(sides, meaning.words, strict=True):
        if not side.any():
            raise ValueError(f"no regimen of the cohort belongs to {words!r}")
    if np.sum(sides, axis=0).max() > 1:
        raise ValueError("the sides share patients; they must be disjoint")
