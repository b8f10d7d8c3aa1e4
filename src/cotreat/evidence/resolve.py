"""From a study to its evidence: the one place that asks what kind of evidence a study has."""

from functools import lru_cache

from cotreat.evidence.counts import Counts
from cotreat.evidence.patients import Patients
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import reported_estimates
from cotreat.evidence.reported_evidence import ReportedEvidence
from cotreat.study.study import Study


@lru_cache(maxsize=64)
def resolve(study: Study) -> Evidences:
    """Return the evidence of a study, under its interpretation and strata.

    Parameters
    ----------
    study
        Resolved to an interpretation of what is ambiguous, and to the strata by which a model tells its
        patients apart.

    Returns
    -------
    tuple of Evidence
        Patients with covariates or clusters; or else the counts by regimen, and after them the estimates
        that are reported of patients whose regimen was not counted, which are conditional on the counts.
    """
    if study.is_adjusted:
        return (Patients(study),)
    reported = reported_estimates(study)
    counts = (Counts(study),) if study.counted else ()
    return counts if reported is None else (*counts, ReportedEvidence(reported))
