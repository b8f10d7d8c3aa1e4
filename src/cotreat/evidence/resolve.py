"""From a study to its evidence: the only branch on kinds of evidence."""

from functools import lru_cache

from cotreat.core.constants import MANY_CLUSTERS
from cotreat.evidence.clusters import Clusters
from cotreat.evidence.counts import Counts
from cotreat.evidence.matched import MatchedSets
from cotreat.evidence.patients import Patients
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import estimates_of
from cotreat.evidence.reported_evidence import ReportedEvidence
from cotreat.study.study import Study


def resolve(study: Study, interpretation: str = "", strata: str = "") -> Evidences:
    """Return the evidence of a study under an interpretation and a stratification.

    Parameters
    ----------
    study
        What `cotreat.load_study` returns.
    interpretation
        Id of an interpretation of what the study reports ambiguously; empty for the study's own.
    strata
        ``dose``, ``duration`` or the id of subgroups, by which a model stratifies the patients; empty for
        the study's own.

    Returns
    -------
    tuple of Evidence
        Matched sets, or patients with covariates or clusters; otherwise the counts by regimen, and after them the estimates
        that are reported of patients whose regimen was not counted, which are conditional on the counts.
        The ``study`` of each is the study so resolved.

    Raises
    ------
    InterpretationError, StratificationError
        If the study has no such interpretation or strata.
    """
    return _resolved(study.resolve(interpretation, strata or None))


@lru_cache(maxsize=64)
def _resolved(study: Study) -> Evidences:
    if study.is_matched:
        return (MatchedSets(study),)
    if study.is_adjusted and study.patterns is not None:
        return ((Clusters if len(study.patterns.clusters) > MANY_CLUSTERS else Patients)(study),)
    reported = estimates_of(study)
    counts = (Counts(study),) if study.counted else ()
    return counts if reported is None else (*counts, ReportedEvidence(reported))
