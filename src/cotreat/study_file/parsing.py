"""Reading regimens and sets of patients of a study file, each with its place in it."""

from dataclasses import dataclass

from cotreat.core.toml_tables import Problems, nearest
from cotreat.study import regimens
from cotreat.study.regimens import NONE, Regimen
from cotreat.study.study import Stratification


@dataclass(frozen=True)
class Places:
    """Reads regimens and sets of patients, and reports the place of a bad one."""

    treatments: tuple[str, ...]
    problems: Problems
    stratifications: tuple[Stratification, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """Levels and subgroups that regimens and sets may name."""
        return frozenset(part for strata in self.stratifications for part in strata.names)

    def rule(self, where: str, text: str | None) -> regimens.Rule | None:
        """Read a set of patients; None where it is bad."""
        if text is None:
            return None
        try:
            return regimens.rule(text, self.treatments, self.parts)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None

    def regimen(self, where: str, text: str | None) -> Regimen | None:
        """Read a regimen; None where it is bad."""
        if text is None:
            return None
        try:
            regimen = regimens.parse(text)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None
        known = {*self.treatments, *self.parts}
        for name in sorted(regimen - known):
            hint = nearest(name, (*self.treatments, *sorted(self.parts), NONE))
            hint = hint or f"the treatments are {', '.join(self.treatments)}"
            self.problems.add(where, f"unknown treatment {name}; {hint}")
        return regimen if regimen <= known else None

    def label(self, regimen: Regimen) -> str:
        """Write a regimen in the order of the file's treatments."""
        return regimens.label(regimen, self.treatments)
