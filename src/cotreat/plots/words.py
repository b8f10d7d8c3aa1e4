"""How treatments, regimens and parameters are called in a picture."""

import textwrap

from cotreat.regimens import NONE, parse
from cotreat.study import Study

WIDTH = 34
"""Letters that a label may have; longer names give way to the ids of the study file."""

PARAMETERS = {
    "alpha": ("no treatment", "log-odds α"),
    "beta": ("{}", "log odds ratio β"),
    "gamma": ("{}", "log ratio of odds ratios γ"),
    "mu": ("mean of all pairs", "log ratio of odds ratios μ"),
    "tau": ("spread between pairs", "SD τ"),
    "z": ("{}", "standardised deviation z"),
    "m": ("mean of all regimens", "log-odds m"),
    "tau_arm": ("spread between regimens", "SD τ of log-odds"),
    "eta": ("{}", "log-odds η"),
}
"""What a variable of a model is about and what it is; ``{}`` takes its treatment, pair or regimen.
A variable that is not here goes by its own name."""


def regimen_name(study: Study, regimen: str, width: int = WIDTH) -> str:
    """Write a regimen in the treatments' names where they fit."""
    if regimen == NONE:
        return NONE
    names = _names(study)
    full = " + ".join(names[t] for t in study.treatment_ids if t in parse(regimen))
    return full if len(full) <= width else regimen


def pair_name(study: Study, pair: str, width: int = WIDTH) -> str:
    """Write a pair ``A:B`` in the treatments' names where they fit."""
    names = _names(study)
    full = " × ".join(names[t] for t in pair.split(":"))
    return full if len(full) <= width else pair.replace(":", " × ")


def parameter_name(
    study: Study, variable: str, index: str = "", *, between: str = "\n", width: int = 24
) -> str:
    """Say what an entry of a variable is about and, after `between`, what it is."""
    about, kind = PARAMETERS.get(variable, (f"{variable} {{}}".strip(), ""))
    name = pair_name if ":" in index else regimen_name
    about = about.format(name(study, index, width) if index in _known(study) else index)
    return f"{about}{between}{kind}" if kind else about


def event(study: Study) -> str:
    """Name the outcome, with its time."""
    outcome = study.outcome
    return f"{outcome.name} ({outcome.time})" if outcome.time else outcome.name


def judged_on(study: Study) -> str:
    """Name the side of the outcome on which synergy is judged."""
    return event(study) if study.outcome.synergy_on == "event" else f"no {event(study)}"


def fold(text: str, width: int = 18) -> str:
    """Break each line of a name where it is too long."""
    lines = (textwrap.wrap(line, width, break_long_words=False) for line in text.split("\n"))
    return "\n".join(part for line in lines for part in line)


def _names(study: Study) -> dict[str, str]:
    return {treatment.id: treatment.name for treatment in study.treatments}


def _known(study: Study) -> tuple[str, ...]:
    return (*study.regimens, *study.pair_labels)
