"""Choose the frequentist fit of a study: g-computation with covariates, or logistic regression of counts."""

from cotreat.evidence.protocol import Evidences
from cotreat.frequentist.g_computation import fit_adjusted
from cotreat.frequentist.logistic import Regression, fit_likelihood
from cotreat.models.registry import Model
from cotreat.study.study import Study


def fit_frequentist(study: Study, model: Model, evidence: Evidences) -> Regression | None:
    """Fit a model's linear predictor by maximum likelihood; None where no regimen is counted.

    Parameters
    ----------
    evidence
        What the study resolves to. The fit standardises risks over patients where the evidence does.
    """
    if any(one.standardises for one in evidence):
        return fit_adjusted(study, model, evidence)
    return fit_likelihood(study, model, evidence) if study.counted else None
