"""Regimens and sets of patients in a study file, with the place of each in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cotreat.core.toml_tables import Problems, nearest
from cotreat.study import regimens
from cotreat.study.regimens import NONE, Regimen
from cotreat.study.study import Stratification


def hint(name: str, known: Sequence[str], otherwise: str = "") -> str:
    """Return "did you mean …?" for a name that is near a known one; otherwise list the treatments."""
    return nearest(name, known) or otherwise or f"the treatments are {', '.join(known)}"


@dataclass(frozen=True)
class Places:
    """Read regimens and sets of patients; note each problem with its place.

    Attributes
    ----------
    treatments : tuple of str
        Ids of the treatments.
    problems : Problems
    stratifications : tuple of Stratification
        Those whose levels and subgroups may be named.
    """

    treatments: tuple[str, ...]
    problems: Problems
    stratifications: tuple[Stratification, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """Levels and subgroups that regimens and sets may name."""
        return frozenset(part for strata in self.stratifications for part in strata.names)

    def rule(self, where: str, text: str | None) -> regimens.Rule | None:
        """Return a set of patients as a predicate; None where it is wrong."""
        return self._read(where, text, lambda s: regimens.rule(s, self.treatments, self.parts))

    def regimen(self, where: str, text: str | None) -> Regimen | None:
        """Return a regimen; None where it is wrong."""
        regimen = self._read(where, text, regimens.parse)
        if regimen is None:
            return None
        known = {*self.treatments, *self.parts}
        treatments = f"the treatments are {', '.join(self.treatments)}"
        for name in sorted(regimen - known):
            words = hint(name, (*self.treatments, *sorted(self.parts), NONE), treatments)
            self.problems.add(where, f"unknown treatment {name}; {words}")
        return regimen if regimen <= known else None

    def _read[T](self, where: str, text: str | None, parse: Callable[[str], T]) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None

    def label(self, regimen: Regimen) -> str:
        """Write a regimen in the order of the file's treatments."""
        return regimens.label(regimen, self.treatments)
