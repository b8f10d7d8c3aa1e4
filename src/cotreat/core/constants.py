"""Names and numbers that several modules share, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

INTERVAL = 0.95
"""Probability of every interval, credible and confidence alike."""

CREDIBLE = f"{INTERVAL:.0%} equal-tailed credible"
"""How a posterior interval is labelled in every table."""

CONCLUSIVE = 0.975
"""A probability of synergy is *decided* at this value or above, or at its complement or below."""

IDENTIFIED = "identified"
"""Status of an estimand that the evidence alone determines (by the rank of its Jacobian)."""

NOT_IDENTIFIED = "not identified"
"""Status of an estimand that depends on model and prior, too."""

NOT_ESTIMABLE = "not estimable"
"""Status of an estimand that has no value; the reason stands in a column of its own."""

ANY = "any"
"""Co-treatment of a number that a model holds the same whatever else is given."""

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

FIXED = "fixed by the model"
"""Status of a measure that the model's structure holds at its null."""

IMPLIED = "implied by the model"
"""Status of a measure of synergy under a model without interaction: with no product term its
sign follows by algebra from the single effects and the reference risk, and no data could show
otherwise, so it gets neither a probability nor a contraction."""

STATUSES = (IDENTIFIED, NOT_IDENTIFIED, FIXED, IMPLIED, NOT_ESTIMABLE)
"""What the column ``status`` of a table may hold."""

GIVEN_NONE = f"{CREDIBLE}, given no interaction"
"""How the interval of an implied measure is labelled."""

VERDICTS = ("good", "borderline", "unreliable")
"""What weighted draws may be, best first; numbers of bad ones must not be used."""

GOOD_K, UNRELIABLE_K = 0.5, 0.7
"""Below the first weights have a finite variance; above the second no number of draws that anybody makes
brings their means near enough, and they must not be used."""

DEFAULT_INTERPRETATION = "default"
"""The reading of a study file whose wording leaves nothing open."""

QUESTION = ("measure", "contrast", "pair", "co_treatment", "stratum", "scale", "judged_on")
"""Columns that name an estimand in every table, none of them made from another: what is measured; of
which regimen, or of which against which; of which two treatments, with which others, and in which
subgroup; against which reference model of no interaction; and on the event or on the non-event."""

ASKED = ("label", *QUESTION, "status", "reason")
"""Columns that say in every supplementary table what was asked, and whether it is identified."""

SUMMARY_COLUMNS = (
    *QUESTION,
    "unit",
    "threshold",
    "status",
    "reason",
    "estimator",
    "estimate",
    "sd",
    "lower",
    "upper",
    "interval",
    "risk_kind",
    "probability",
    "prior_probability",
    "posterior_contraction",
    "model",
    "priors",
    "interpretation",
    "study",
    "label",
)
"""Columns of ``summary.csv``, in order."""

RESERVED_COLUMNS = ("overlap", "data_share", "mcse_estimate", "mcse_probability")
"""Columns that a later version adds to ``summary.csv``; nothing else may be called so."""

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

INCOMPATIBLE_BELOW = 8.0
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


FAMILY_WISE = 0.01
"""Family-wise level of the test that ranks are uniform, over the quantities of a calibration."""
