"""Bayesian reanalysis of studies that give treatments in combination and count a yes/no outcome.

Each name loads its module when it is first used, so that reading and auditing a study stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_LAZY = {
    "Study": "cotreat.study.study",
    "StudyError": "cotreat.study_file.reader",
    "Fit": "cotreat.api.fit",
    "fit": "cotreat.api.fit",
    "load_study": "cotreat.study_file.reader",
    "packaged": "cotreat.study_file.reader",
    "parse_study": "cotreat.study_file.reader",
    "prior_set": "cotreat.priors.sets",
    "reanalyse": "cotreat.workflow.reanalyse",
    "write_report": "cotreat.report",
}

__all__ = [
    "Fit",
    "Study",
    "StudyError",
    "audit",
    "fit",
    "load_study",
    "packaged",
    "parse_study",
    "prior_set",
    "reanalyse",
    "write_report",
]


if TYPE_CHECKING:
    from cotreat.api.fit import Fit, fit
    from cotreat.priors.sets import prior_set
    from cotreat.report import write_report
    from cotreat.study.study import Study
    from cotreat.study_file.reader import StudyError, load_study, packaged, parse_study
    from cotreat.workflow.reanalyse import reanalyse


# The first import of a sub-package sets its name here, so it must come before the function of that name.
import_module("cotreat.audit")


def audit(study: "Study") -> str:
    """Return in words what the evidence of a study identifies, without sampling.

    Parameters
    ----------
    study
        What `load_study` or `parse_study` returns.

    Returns
    -------
    str
        Tables and sentences: the evidence, what follows from other numbers, and what is identified.
    """
    from cotreat.audit.audit import audit as audit_of
    from cotreat.audit.wording import words

    return words(audit_of(study))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
