"""What a study asks: its outcome, its pairs of treatments, and what it does not report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cotreat.report.wording import capital, listed
from cotreat.study.regimens import GROUP, LEVEL, NONE, parse
from cotreat.study.study import Study

EXPECTED = "expected from their separate effects"
"""What synergy exceeds, in words that fit every scale."""

CASE_CONTROL = "case-control"
RANDOMISED = "randomised"
_TUPLES = ("pairs", "not_counted", "without_patients", "not_randomised")


@dataclass(frozen=True)
class Question:
    """The facts of a study that its conclusion refers to.

    Attributes
    ----------
    design : str
        ``cohort``, ``randomised`` or ``case-control``.
    outcome : str
        With its time.
    synergy_on : str
        ``event`` or ``non-event``: the side of the outcome on which synergy is judged.
    names : dict
        Name of each treatment, level and subgroup by id.
    pairs : tuple of str
        Labels of the pairs whose synergy is assessed.
    not_counted : tuple of str
        Regimens with patients whose counts are not reported.
    without_patients : tuple of str
        Regimens that no patient received.
    not_randomised : tuple of str
        Treatments of a randomised study that were not assigned at random.
    """

    design: str
    outcome: str
    synergy_on: str
    names: Mapping[str, str]
    pairs: tuple[str, ...]
    not_counted: tuple[str, ...] = ()
    without_patients: tuple[str, ...] = ()
    not_randomised: tuple[str, ...] = ()

    @classmethod
    def of(cls, study: Study) -> Question:
        """Return the question of a study.

        Parameters
        ----------
        study
            The study.

        Returns
        -------
        Question
        """
        from cotreat.plots.labels import event, part_names

        return cls(
            design=study.design,
            outcome=event(study),
            synergy_on=study.outcome.synergy_on,
            names=part_names(study),
            pairs=tuple(study.judged_pairs),
            not_counted=tuple(r for r in study.present if r not in study.counted),
            without_patients=tuple(r for r in study.regimens if r not in study.present),
            not_randomised=study.not_randomised if study.randomised else (),
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Question:
        """Return what `as_json` wrote.

        Parameters
        ----------
        fields
            Fields by name.

        Returns
        -------
        Question
        """
        return cls(**{**fields, **{name: tuple(fields.get(name, ())) for name in _TUPLES}})

    def as_json(self) -> dict[str, Any]:
        """Return the question as JSON can hold it.

        Returns
        -------
        dict
        """
        return asdict(self)

    def __str__(self) -> str:
        verb = "Are" if self.is_case_control else "Is"
        if len(self.pairs) == 1:
            both = self.pair(self.pairs[0], "and")
            return f"{verb} {self.risk} with {both} together {self.side} than {EXPECTED}?"
        treatments = [n for part, n in self.names.items() if not set(part) & {LEVEL, GROUP}]
        return (
            f"With which two of {listed(treatments)} together {verb.lower()} {self.risk} "
            f"{self.side} than {EXPECTED}?"
        )

    @property
    def is_case_control(self) -> bool:
        """Whether cases and controls were sampled, so that no risk is estimable."""
        return self.design == CASE_CONTROL

    @property
    def is_randomised(self) -> bool:
        """Whether every treatment was assigned at random."""
        return self.design == RANDOMISED and not self.not_randomised

    @property
    def assignment(self) -> str:
        """Which treatments were assigned at random, where some were and others not; otherwise empty."""
        if not self.not_randomised:
            return ""
        treatments = [part for part in self.names if not set(part) & {LEVEL, GROUP}]
        randomised = [self.names[t] for t in treatments if t not in self.not_randomised]
        others = [self.names[treatment] for treatment in self.not_randomised]
        were, were_not = ("was" if len(names) == 1 else "were" for names in (randomised, others))
        return f"{capital(listed(randomised))} {were} assigned at random, {listed(others)} {were_not} not."

    @property
    def confounding(self) -> str:
        """Which comparisons confounding may explain; empty if every treatment was randomised."""
        if self.assignment:
            return (
                f"{self.assignment} Confounding may explain differences between patients whose treatments "
                "differ in more than randomised ones. An interaction with a treatment that was not randomised is "
                "effect modification: the effect of the randomised treatment differs between these patients."
            )
        words = "Patients were not assigned at random, so confounding may explain this."
        return "" if self.is_randomised else words

    @property
    def risk(self) -> str:
        """What is compared: risks, or in a case-control study odds."""
        return f"the {'odds' if self.is_case_control else 'risk'} of {self.outcome}"

    @property
    def side(self) -> str:
        """Where the risk of the outcome lies under synergy."""
        return "higher" if self.synergy_on == "event" else "lower"

    def pair(self, pair: str, link: str = "with") -> str:
        """Name a pair of treatments.

        Parameters
        ----------
        pair
            Label of the pair, ``A:B``.
        link
            Word between the names.

        Returns
        -------
        str
        """
        return f" {link} ".join(self.names.get(part, part) for part in pair.split(":"))

    def place(self, pair: str, co_treatment: str, stratum: str) -> str:
        """Name a pair of treatments, with co-treatment and subgroup in brackets.

        Parameters
        ----------
        pair, co_treatment, stratum
            Labels as in a summary.

        Returns
        -------
        str
        """
        given = [] if co_treatment in ("", NONE) else parse(co_treatment)
        parts = sorted(given, key=list(self.names).index)
        words = [f"with {listed(self.names[p] for p in parts)} as co-treatment"] if parts else []
        words += [f"in {self.names.get(stratum, stratum)}"] if stratum else []
        return self.pair(pair) + (f" ({', '.join(words)})" if words else "")
