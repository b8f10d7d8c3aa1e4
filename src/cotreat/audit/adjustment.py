"""Adjusted numbers beside crude ones, and the assumption under which they are used together."""

from collections.abc import Iterator

from cotreat.evidence.reported import ReportedEstimates
from cotreat.study.study import Study


def assumption(numbers: ReportedEstimates) -> Iterator[str]:
    """State the assumption under which adjusted and crude numbers are used together; nothing without both.

    Parameters
    ----------
    numbers
        The reported estimates that are evidence.

    Yields
    ------
    str
        A sentence without its full stop, which names the numbers.

    Notes
    -----
    The latent prognostic score has the same distribution under every regimen, so that adjustment changes an odds ratio
    by non-collapsibility alone.
    """
    adjusted = [one.id for one in numbers.reported_estimates if one.adjusted]
    crude = [one.id for one in numbers.reported_estimates if not one.adjusted]
    crude += _counts(numbers.study)
    if adjusted and crude:
        yield (
            f"adjusted numbers ({', '.join(adjusted)}) are used together with crude ones ({', '.join(crude)}), which "
            "assumes that what was adjusted for did not confound"
        )


def _counts(study: Study) -> list[str]:
    """Name the counts that compare regimens: not the events of all patients."""
    totals = [t.patients for t in study.totals if t.events is not None and t.patients != "all"]
    return [*(["counts by regimen"] * bool(study.counted)), *(f"events of {one}" for one in totals)]
