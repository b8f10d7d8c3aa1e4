"""Names and numbers that several modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

INTERVAL = 0.95
"""Probability of every interval, credible and confidence alike."""

CREDIBLE = f"{INTERVAL:.0%} equal-tailed credible"
"""Label of a posterior interval in every table."""

CONCLUSIVE = 0.975
"""A probability of synergy is conclusive at or above this value, or at or below its complement."""

IDENTIFIED = "identified"
"""Status of an estimand that the evidence alone determines (by the rank of its Jacobian)."""

NOT_IDENTIFIED = "not identified"
"""Status of an estimand that depends on model and prior as well."""

NOT_ESTIMABLE = "not estimable"
"""Status of an estimand that has no value; the column ``reason`` states why."""

ANY = "any"
"""Co-treatment of a number that a model holds constant over all co-treatments."""

STANDARDISED = (
    "risks, and measures made of risks, are standardised: means over the covariates and clusters of "
    "these patients, whatever their regimen; odds ratios are conditional on them. Where the patients of a "
    "regimen differ from the others, its risk depends on the covariates' effects. Of more than 20 clusters, "
    "whose effects are integrated out, the mean is over their distribution."
)
"""Note on numbers that are adjusted for covariates."""

CONDITIONAL_ONLY = (
    "odds ratios are conditional on the covariates and clusters of these patients; a case-control study "
    "has no risks to standardise over them."
)
"""Note on numbers of a case-control study that are adjusted for covariates."""

MANY_CLUSTERS = 20
"""Largest number of clusters each of which has a parameter, and a place in comparisons of patients. Time and memory
of NUTS grow with its square; the effects of more clusters are integrated out."""

FIXED = "fixed by the model"
"""Status of a measure that the structure of the model fixes at its null."""

IMPLIED = "implied by the model"
"""Status of a measure of synergy under a model without interaction: with no product term its
sign follows by algebra from the single effects and the reference risk, and no data could show
otherwise, so it gets neither a probability nor a contraction."""

STATUSES = (IDENTIFIED, NOT_IDENTIFIED, FIXED, IMPLIED, NOT_ESTIMABLE)
"""Values of the column ``status``."""

GIVEN_NONE = f"{CREDIBLE}, given no interaction"
"""Label of the interval of an implied measure."""

VERDICTS = ("good", "borderline", "unreliable")
"""Verdicts on weighted draws, best first; unreliable draws must not be used."""

GOOD_K, UNRELIABLE_K = 0.5, 0.7
"""Below the first weights have a finite variance; above the second no number of draws that anybody makes
brings their means near enough, and they must not be used."""

DEFAULT_INTERPRETATION = "default"
"""Id of the interpretation of a study file that states no other."""

QUESTION = ("measure", "contrast", "pair", "co_treatment", "stratum", "scale", "judged_on")
"""Columns that identify an estimand in every table: measure; regimen or contrast; pair of treatments,
co-treatment and subgroup; reference model of no interaction; event or non-event."""

ASKED = ("label", *QUESTION, "status", "reason")
"""Columns that state the estimand and its identification in every supplementary table."""

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
    "mcse_estimate",
    "mcse_lower",
    "mcse_upper",
    "risk_kind",
    "probability",
    "mcse_probability",
    "prior_probability",
    "margin",
    "margin_lower",
    "margin_upper",
    "probability_inside",
    "mcse_inside",
    "prior_probability_inside",
    "overlap",
    "data_share",
    "posterior_contraction",
    "model",
    "priors",
    "interpretation",
    "study",
    "label",
)
"""Columns of ``summary.csv``, in order."""

WEAK = "identified but weak"
WEAK_BELOW = 0.2
"""An identified estimand is identified but weak if a smaller share of its posterior precision comes from data."""

CHECK_COLUMNS = ("check", "where", "value", "threshold", "verdict", "advice")
"""Columns of ``checks.csv``, in order."""

BFMI = 0.3
"""Bayesian fraction of missing information that each chain should exceed (Betancourt 2016)."""

CALIBRATION = "calibration (χ²)"
"""The check of predicted risks against events."""
INFLUENCE = "influence (Pareto k)"
"""The check of leaving out single covariate patterns, clusters or matched sets."""

EVIDENCE_MOVED = 0.3
PROBABILITY_MOVED = 0.02
"""Largest accepted change of the log evidence, and of a probability of synergy, when the moves of
sequential Monte Carlo are doubled."""

INCOMPATIBLE_BELOW = 0.01
"""An interpretation is incompatible if the joint predictive tail of what it adds is below this."""

DEPTHS = QUICK, STANDARD, FULL = ("quick", "standard", "full")
"""Extents of the supplementary analyses."""

CHAINS = 4
DRAWS = 2000
TUNE = 1000
SEED = 1
"""Defaults of a fit."""
REPLICATES = 1000
"""Default number of parameter sets of a calibration."""


CONDITIONAL = "conditional_risk"
"""Risks by arm at the centre of the prognostic score, or at the means of the covariates, in a fit."""
CONFOUNDED = "confounded_"
"""Prefix of the name of a risk that includes confounding."""


def as_seen(draws: xr.Dataset, name: str) -> xr.DataArray:
    """Return risks with the confounding of a fit, if it has any: the risks that generate the evidence.

    Parameters
    ----------
    draws
        Variables of a fit.
    name
        Name of the risk without confounding.

    Returns
    -------
    xarray.DataArray
    """
    return draws[CONFOUNDED + name if CONFOUNDED + name in draws else name]


FAMILY_WISE = 0.01
"""Family-wise level of the test that ranks are uniform, over the quantities of a calibration."""
