"""Names and numbers that several modules share, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

INTERVAL = 0.95
"""Probability of every interval, credible and confidence alike."""

CREDIBLE = f"{INTERVAL:.0%} equal-tailed credible"
"""How a posterior interval is labelled in every table."""

DECIDED = 0.975
"""A probability of synergy is *decided* at this value or above, or at its complement or below."""

OBSERVED = "observed"
"""Availability of an estimand that the evidence itself determines."""

STANDARDISED = (
    "risks, and measures made of risks, are standardised: means over the covariates and clusters of "
    "these patients, whatever their regimen; odds ratios are conditional on them. Where the patients of a "
    "regimen are unlike the others, its risk leans on the covariates' effects."
)
"""What adjusted numbers of patients are."""

CONDITIONAL_ONLY = (
    "odds ratios are conditional on the covariates and clusters of these patients; a case-control study "
    "has no risks to standardise over them."
)
"""What adjusted numbers of patients of a case-control study are."""

EXTRAPOLATED = "extrapolated"
"""Availability of an estimand that needs model and prior."""

FIXED = "fixed by the model"
"""Availability of a measure that the model's structure holds at its null."""

IMPLIED = "implied by the model"
"""Availability of a measure of synergy under a model without interaction: with no product term its
sign follows by algebra from the single effects and the reference risk, and no data could show
otherwise, so it gets neither a probability nor a contraction."""

GIVEN_NONE = f"{CREDIBLE}, given no interaction"
"""How the interval of an implied measure is labelled."""

VERDICTS = ("good", "middling", "bad")
"""What weighted draws may be, best first; numbers of bad ones must not be used."""

READING = "default"
"""The reading of a study file whose wording leaves nothing open."""

SUMMARY_COLUMNS = (
    "estimator",
    "model",
    "priors",
    "reading",
    "study",
    "estimand",
    "background",
    "scale",
    "risk_kind",
    "availability",
    "estimate",
    "lower",
    "upper",
    "interval",
    "probability",
    "prior_probability",
    "contraction",
)
"""Columns of ``summary.csv``, in order."""

CHECK_COLUMNS = ("check", "where", "value", "threshold", "verdict", "advice")
"""Columns of ``checks.csv``, in order."""

BFMI = 0.3
"""Bayesian fraction of missing information that each chain should exceed (Betancourt 2016)."""

CALIBRATION = "calibration (χ²)"
"""The check of predicted risks against events."""

EVIDENCE_MOVED = 0.3
PROBABILITY_MOVED = 0.02
"""What doubling the moves of sequential Monte Carlo may change at most: the log evidence, and any
probability of synergy."""

CONTRADICTED = 8.0
"""A reading whose log evidence is so far below that of the default one is contradicted."""

DEPTHS = QUICK, STANDARD, FULL = ("quick", "standard", "full")
"""How much is tried beside the fits of a study."""

CHAINS = 4
DRAWS = 2000
TUNE = 1000
SEED = 1
"""What a fit uses unless told otherwise."""
REPLICATES = 1000
"""Truths that a calibration draws unless told otherwise."""


CONDITIONAL = "conditional_risk"
"""Risks by arm at the centre of the prognostic score, or at the means of the covariates, in a fit."""
CONFOUNDED = "confounded_"
"""Before the name of a risk in a fit: as the evidence sees it."""


def as_seen(draws: xr.Dataset, name: str) -> xr.DataArray:
    """Return risks as the evidence sees them: with the confounding, where a fit states some."""
    return draws[CONFOUNDED + name if CONFOUNDED + name in draws else name]


def is_undefined(availability: str) -> bool:
    """Tell whether an availability says that there is no value (and then why)."""
    return availability.startswith("undefined")
