"""Regimens and sets of patients in a study file; each problem is noted with its place."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

from cotreat.core.toml_tables import SAME_MEANING, Problems, nearest
from cotreat.evidence.contrasts import Cohort
from cotreat.study import regimens
from cotreat.study.regimens import NONE, Regimen
from cotreat.study.study import Stratification

SEPARATORS = re.compile(r"\s*(?:,|;|/|&|\+|\band\b|\bplus\b|\bwith\b|\s)\s*")
"""What people write between the treatments of a combination."""


def combination(name: str, treatments: Sequence[str]) -> str:
    """Return the regimen of which a name is another spelling, such as A+B for "A and B".

    Parameters
    ----------
    name
        What was written.
    treatments
        Ids of the treatments.

    Returns
    -------
    str
        Empty where the name is no spelling of a combination.
    """
    ids = {treatment.lower(): treatment for treatment in treatments}
    word = name.lower().strip()
    parts = [ids.get(part) for part in SEPARATORS.split(word)]
    if word == "both" and len(ids) == 2:
        parts = list(ids.values())
    spelt = {"".join(pair): pair for pair in permutations(ids, 2)}
    if word in spelt and word not in ids:
        parts = [ids[part] for part in spelt[word]]
    if len(parts) < 2 or None in parts or len(set(parts)) < len(parts):
        return ""
    return regimens.label(frozenset(filter(None, parts)), treatments)


def likely_regimen(name: str, treatments: Sequence[str]) -> str:
    """Return the regimen that a word is likely to mean.

    Parameters
    ----------
    name
        What was written.
    treatments
        Ids of the treatments.

    Returns
    -------
    str
        Empty where nothing is likely.
    """
    word = name.strip().lower()
    same = {id_.lower(): id_ for id_ in (*treatments, NONE)}
    return combination(name, treatments) or same.get(SAME_MEANING.get(word, word), "")


@dataclass(frozen=True)
class RegimenReader:
    """Read regimens and sets of patients of one file; note each problem with its place.

    Attributes
    ----------
    treatments : tuple of str
        Ids of the treatments.
    problems : Problems
        Problems of the file.
    stratifications : tuple of Stratification
        Those whose levels and subgroups may be named.
    source : str
        Source of a count or total that states none.
    inclusion : str
        The inclusion rule of the study.
    admits : callable
        The inclusion rule as a predicate of a regimen.
    cohort : Cohort or None
        Regimens that have patients, or may have; None before the counts are read, or if they cannot be.
    is_counted : bool
        Whether all patients of the cohort are counted.
    """

    treatments: tuple[str, ...]
    problems: Problems
    stratifications: tuple[Stratification, ...] = ()
    source: str = ""
    inclusion: str = "all"
    admits: regimens.Rule = regimens.everyone
    cohort: Cohort | None = None
    is_counted: bool = False

    @cached_property
    def parts(self) -> frozenset[str]:
        """Levels and subgroups that regimens and sets may name."""
        return frozenset(part for strata in self.stratifications for part in strata.names)

    @property
    def admitted(self) -> list[Regimen]:
        """Regimens that the inclusion rule admits, without levels and subgroups."""
        return list(filter(self.admits, regimens.lattice(self.treatments)))

    def with_inclusion(self, text: str | None) -> "RegimenReader":
        """Return the reader of a study with an inclusion rule.

        Parameters
        ----------
        text
            ``study.inclusion``; None admits every regimen.

        Returns
        -------
        RegimenReader
        """
        if named := sorted(regimens.named_parts(text or "")):
            words = f"names {', '.join(named)}; it may name treatments only"
            self.problems.add("study.inclusion", words)
        rule = self.rule("study.inclusion", text) or regimens.everyone
        return replace(self, inclusion=text or "all", admits=rule)

    def rule(self, where: str, text: str | None) -> regimens.Rule | None:
        """Return a set of patients as a predicate; None where it is wrong.

        Parameters
        ----------
        where
            Path of the value in the study file.
        text
            A set expression.

        Returns
        -------
        regimens.Rule or None
        """
        return self._read(where, text, lambda s: regimens.rule(s, self.treatments, self.parts))

    def regimen(self, where: str, text: str | None) -> Regimen | None:
        """Return a regimen; None where it is wrong.

        Parameters
        ----------
        where
            Path of the value in the study file.
        text
            A regimen, such as ``A+B``.

        Returns
        -------
        Regimen or None
        """
        regimen = self._read(where, text, regimens.parse)
        unknown = sorted((regimen or frozenset()) - {*self.treatments, *self.parts})
        for name in unknown:
            self.note_unknown(where, name, *sorted(self.parts), NONE)
        return None if unknown else regimen

    def _read[T](self, where: str, text: str | None, parse: Callable[[str], T]) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None

    def note_unknown(self, where: str, name: str, *more: str) -> None:
        """Note an unknown treatment, with the nearest known name.

        Parameters
        ----------
        where
            Path of the value in the study file.
        name
            The unknown name.
        *more
            Other names that are allowed there.
        """
        owner = regimens.treatment_of(name)
        if owner != name and owner in self.treatments:
            levels = sorted(part for part in self.parts if regimens.treatment_of(part) == owner)
            known = f"known are {', '.join(levels)}" if levels else f"{owner} has no levels"
            self.problems.add(where, f"unknown level {name}; {known}")
            return
        treatments = f"the treatments are {', '.join(self.treatments)}"
        near = nearest(name, (*self.treatments, *more))
        if {*name} & {*", "}:
            near = f'{treatments}, joined by "+"'
        combined = combination(name, self.treatments)
        is_other = combined not in ("", name)  # A regimen is no treatment.
        hint = (f"did you mean {combined}?" if is_other else near) or treatments
        self.problems.add(where, f"unknown treatment {name}; {hint}")

    def require_admitted(self, where: str, name: str, regimen: Regimen) -> None:
        """Note a regimen that the inclusion rule forbids.

        Parameters
        ----------
        where
            Path of the value in the study file.
        name
            The regimen as written.
        regimen
            The regimen.
        """
        if not self.admits(regimen):
            words = f"{name} is forbidden by study.inclusion = {self.inclusion!r}"
            self.problems.add(where, words)

    def label(self, regimen: Regimen) -> str:
        """Write a regimen in the order of the file's treatments.

        Parameters
        ----------
        regimen
            A regimen.

        Returns
        -------
        str
            Such as ``A+B``.
        """
        return regimens.label(regimen, self.treatments)
