"""Checks of a study file that need all of it: arm sizes, contrasts that a model can use, consistency."""

from collections.abc import Iterator
from dataclasses import replace

from cotreat.core.toml_tables import Problems
from cotreat.evidence.arm_sizes import events_fit, listed_events, sizes_of
from cotreat.evidence.reported import estimates_of, incompatibilities, is_used, too_narrow
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import Interpretation, StratificationError, Study
from cotreat.study_file.reported import check_symmetry

OF_CLUSTERS = (
    "cases and controls are sampled separately, so that the clusters of a case-control study have no common "
    'distribution of intercepts; if they are the matched sets, write matched = "…" in place of cluster'
)
"""Warning of clusters in a case-control study."""


def check_study(study: Study, problems: Problems) -> Study | None:
    """Check arm sizes, dependent estimates and intervals; problems are noted.

    Parameters
    ----------
    study
        The study as read.
    problems
        Problems of the file.

    Returns
    -------
    Study or None
        The study with its warnings; None where there are problems.
    """
    rows = study.patterns.warnings if study.patterns is not None else ()
    warnings = [f"patients: {words}" for words in rows]
    has_clusters = study.patterns is not None and bool(study.patterns.clusters)
    is_odd = study.is_case_control and has_clusters and not study.is_matched
    warnings += [f"patients: {OF_CLUSTERS}"] * is_odd
    if study.has_uncounted:
        try:
            sizes_of(study)
        except ValueError as error:
            problems.add("totals", str(error))
            return None
        stratified = list(_stratified(study))
        for interpretation in study.interpretations:
            _check_used(study, stratified, interpretation, problems)
        for one in stratified:
            try:
                sizes_of(one)
            except ValueError as error:
                problems.add("totals", f"by {one.strata}: {error}")
                continue
            for words in (words for words, is_error in incompatibilities(one) if is_error):
                problems.add("reported", f"by {one.strata}: {words}")
    if study.arms and study.has_uncounted:
        more = max(
            t.n - sum(a.n for a in study.arms if study.holds(t.patients, a.regimen))
            for t in study.totals
        )
        words = f"{more} patients are in no counted arm; is that what the study had?"
        warnings.append(f"totals: {words}")
    warnings += _unusual(study, problems)
    if problems.lines:
        return None
    warnings += _incompatible(study, problems)
    numbers = estimates_of(study)
    warnings += [] if numbers is None else too_narrow(numbers)
    if study.has_uncounted and not problems.lines and not events_fit(study):
        problems.add("totals", f"no numbers of events fit these totals: {listed_events(study)}")
    return None if problems.lines else replace(study, warnings=tuple(warnings))


def _unusual(study: Study, problems: Problems) -> Iterator[str]:
    """Note risks of a case-control study, and intervals of a model that are not symmetric; yield warnings of others."""
    for at, estimate in enumerate(study.reported_estimates, start=1):
        statistic = statistic_of(estimate.kind)
        if study.is_case_control and statistic.needs_risks:
            words = "cases and controls were sampled apart, so that only odds ratios are estimable"
            problems.add(f"reported[{at}].kind", f"is {statistic.name!r}; {words}")
        words = check_symmetry(estimate)
        if words and estimate.model:
            problems.add(f"reported[{at}].ci", words)
        elif words:
            yield f"{estimate.id}: {words}"


def _incompatible(study: Study, problems: Problems) -> Iterator[str]:
    """Note incompatible estimates of the default interpretation; yield the others as warnings."""
    several = len(study.interpretations) > 1
    for interpretation in study.interpretations:
        for words, is_error in incompatibilities(study.resolve(interpretation.id)):
            if is_error and interpretation is study.interpretations[0]:
                problems.add("totals" if words.startswith("events[") else "reported", words)
            else:
                yield f"interpretation {interpretation.id}: {words}" if several else words


def _stratified(study: Study) -> Iterator[Study]:
    """Yield the study at each stratification by which its patients are counted."""
    for strata in study.stratifications:
        try:
            yield study.resolve(strata=strata.id)
        except StratificationError:
            continue  # counted by regimen only: noted where a model needs the strata


def _check_used(
    study: Study, stratified: list[Study], interpretation: Interpretation, problems: Problems
) -> None:
    """Require a contrast that a model can use, and totals for p-values."""
    records = [one.resolve(interpretation.id) for one in (study, *stratified)]
    used = [c for c in interpretation.reported_estimates if any(is_used(r, c) for r in records)]
    several = len(study.interpretations) > 1
    where = f"interpretations: {interpretation.id}" if several else "reported"
    if not used:
        problems.add(where, "no reported estimate has a contrast that a model can use")
    if not study.totals and not all(estimate.has_interval for estimate in used):
        problems.add(where, "p-values require the number of patients; write [[totals]]")
