"""What a study asks, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cotreat.answer.words import listed
from cotreat.study.regimens import GROUP, LEVEL, NONE, parse
from cotreat.study.study import Study

EXPECTED = "expected from their separate effects"
"""What synergy goes beyond, in words that fit every sense of it."""

CASE_CONTROL = "case-control"
RANDOMISED = "randomised"


@dataclass(frozen=True)
class Question:
    """What a study asks, as far as words about it need it.

    Attributes
    ----------
    outcome : str
        With its time.
    names : dict
        Name of each treatment, level and subgroup that regimens are told by.
    pairs : tuple of str
        Labels of the pairs that may be synergistic.
    """

    design: str
    outcome: str
    synergy_on: str
    names: Mapping[str, str]
    pairs: tuple[str, ...]

    @classmethod
    def of(cls, study: Study) -> Question:
        """Return the question of a study."""
        from cotreat.plots.labels import event, part_names

        return cls(
            design=study.design,
            outcome=event(study),
            synergy_on=study.outcome.synergy_on,
            names=part_names(study),
            pairs=tuple(study.judged_pairs),
        )

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Question:
        """Return what `as_json` wrote."""
        return cls(**{**told, "pairs": tuple(told["pairs"])})

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        asked = f"{self.amount} of {self.outcome}", f"{self.side} than {EXPECTED}?"
        if len(self.pairs) == 1:
            return (
                f"{self.verb.title()} {asked[0]} with {self.pair(self.pairs[0], 'and')} together "
                f"{asked[1]}"
            )
        return (
            f"With which two of {listed(self._treatments())} together {self.verb} {asked[0]} "
            f"{asked[1]}"
        )

    @property
    def amount(self) -> str:
        """What is compared: where cases were sought out, no chance is known, only odds up to a factor."""
        return "the odds" if self.is_case_control else "the chance"

    @property
    def verb(self) -> str:
        """The verb that goes with `amount`."""
        return "are" if self.is_case_control else "is"

    @property
    def is_case_control(self) -> bool:
        """Whether cases and controls were sought out, so that no risk is known."""
        return self.design == CASE_CONTROL

    @property
    def any_two(self) -> str:
        """Name the pair, or say that any two of the treatments are meant."""
        if len(self.pairs) == 1:
            return self.pair(self.pairs[0], "and")
        return f"any two of {listed(self._treatments())}"

    @property
    def side(self) -> str:
        """Where the chance of the outcome goes under synergy."""
        return "higher" if self.synergy_on == "event" else "lower"

    def pair(self, pair: str, link: str = "with") -> str:
        """Name a pair of treatments."""
        return f" {link} ".join(self._name(part) for part in pair.split(":"))

    def where(self, background: str) -> str:
        """Say on which background, unless it is the empty one."""
        if background in ("", NONE):
            return ""
        regimen, _, group = background.partition(" | ")
        parts = sorted(parse(regimen), key=list(self.names).index) if regimen != NONE else []
        said = [f"beside {listed(map(self._name, parts))}"] if parts else []
        said += [f"in {self.names.get(group, group)}"] if group else []
        return f" ({', '.join(said)})"

    def whether(self, names: str) -> str:
        """Ask for synergy of treatments as the subject of a sentence."""
        return (
            f"Whether {self.amount} of {self.outcome} with {names} together {self.verb} {self.side} "
            f"than {EXPECTED} (synergy)"
        )

    def _name(self, part: str) -> str:
        return self.names.get(part, part)

    def _treatments(self) -> list[str]:
        return [name for part, name in self.names.items() if not set(part) & {LEVEL, GROUP}]
