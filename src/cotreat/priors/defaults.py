"""Define the default prior of every parameter: the prior set ``weak``.

A user-defined model adds the priors of its parameters (`cotreat.models.registry.register`).
"""

from cotreat.priors.prior import FACTOR, ODDS_RATIO, RATIO_OF_ODDS_RATIOS, RISK, Prior

BASELINE_MEANING = "log-odds without treatment"
STANDARDISED = "standardised deviation z"

ALPHA = Prior(
    "alpha",
    "Normal",
    -1.67,
    0.65,
    BASELINE_MEANING,
    "most outcomes that trials study have a risk between 1 in 20 and 2 in 5",
    scale=RISK,
    about="no treatment",
    symbol="log-odds α",
)
BETA = Prior(
    "beta",
    "Normal",
    0.0,
    1.0,
    "log odds ratio of a treatment",
    "odds ratios above 7 are rare for any drug",
    scale=ODDS_RATIO,
    symbol="log odds ratio β",
)
GAMMA = Prior(
    "gamma",
    "Normal",
    0.0,
    0.5,
    "log ratio of odds ratios of a pair",
    "interactions are half the size of treatment effects",
    scale=RATIO_OF_ODDS_RATIOS,
    symbol="log ratio of odds ratios γ",
)
OF_EVIDENCE = (
    Prior(
        "sigma",
        "HalfNormal",
        None,
        1.0,
        "SD of the latent prognostic score, for which the reported estimates are adjusted",
        "covariates predict as strongly as a treatment",
        about="latent prognostic score",
        symbol="SD σ, log-odds",
    ),
    Prior(
        "loss",
        "HalfNormal",
        None,
        0.15,
        "precision loss from covariate adjustment",
        "standard errors are up to a third larger than without adjustment (Robinson & Jewell 1991)",
        about="covariate adjustment",
        symbol="precision loss",
    ),
    Prior(
        "shift",
        "Normal",
        0.0,
        0.1,
        "shift of a regression with a covariate set of its own, integrated out",
        "another covariate set changes a log odds ratio by about 0.1",
    ),
    Prior(
        "delta",
        "Normal",
        0.0,
        1.0,
        "log odds ratio of a covariate, per SD of a continuous one",
        "covariates predict no more strongly than a treatment",
        symbol="log odds ratio δ",
    ),
    Prior(
        "between",
        "HalfNormal",
        None,
        0.5,
        "SD of the log-odds between clusters",
        "clusters differ by half as much as a treatment effect",
        about="SD between clusters",
        symbol="SD of log-odds",
    ),
    Prior(
        "cluster_z",
        "Normal",
        0.0,
        1.0,
        "standardised deviation of a cluster",
        "by definition",
        symbol=STANDARDISED,
    ),
    Prior(
        "share",
        "Dirichlet",
        None,
        None,
        "sizes of the arms whose size is not reported",
        "uniform on all sizes that the reported totals allow",
        symbol="share of its total",
    ),
)
"""Default priors of the parameters of the evidence: patients and reported estimates."""

OF_MODELS = (
    Prior(
        "mu",
        "Normal",
        0.0,
        0.25,
        "mean log ratio of odds ratios of all pairs",
        "the mean of the pairs is closer to 0 than any one of them",
        scale=RATIO_OF_ODDS_RATIOS,
        about="mean of all pairs",
        symbol="log ratio of odds ratios μ",
    ),
    Prior(
        "tau",
        "HalfNormal",
        None,
        0.5,
        "SD of the interactions between pairs",
        "as wide as one interaction",
        about="SD between pairs",
        symbol="SD τ",
    ),
    Prior(
        "z",
        "Normal",
        0.0,
        1.0,
        "standardised deviation of a pair",
        "by definition",
        symbol=STANDARDISED,
    ),
    Prior(
        "m",
        "Normal",
        -1.67,
        0.65,
        BASELINE_MEANING,
        "as the risk without treatment",
        scale=RISK,
        about="mean of all regimens",
        symbol="log-odds m",
    ),
    Prior(
        "tau_arm",
        "HalfNormal",
        None,
        1.0,
        "SD of the log-odds between regimens",
        "regimens may differ as much as by a treatment effect",
        about="SD between regimens",
        symbol="SD τ of log-odds",
    ),
    Prior(
        "eta",
        "Normal",
        None,
        None,
        "log-odds of a regimen",
        "mean m and SD tau_arm by definition",
        symbol="log-odds η",
    ),
    Prior(
        "simplex",
        "Dirichlet",
        None,
        None,
        "shares of a treatment effect by step between levels",
        "uniform on all monotone effects",
        symbol="share of the effect",
    ),
    Prior(
        "alpha_group",
        "ZeroSumNormal",
        None,
        0.5**0.5,
        "deviation of a subgroup's log-odds from their mean",
        "two subgroups differ as by a covariate: log odds ratio ~ Normal(0, 1)",
        symbol="log-odds, deviation from the mean",
    ),
    Prior(
        "spread",
        "HalfNormal",
        None,
        0.5,
        "SD of a treatment effect between subgroups",
        "an effect differs between subgroups about as much as one interaction",
        symbol="SD τ between subgroups",
    ),
    Prior(
        "effect_z",
        "Normal",
        0.0,
        1.0,
        "standardised deviation of an effect in a subgroup",
        "by definition",
        symbol=STANDARDISED,
    ),
)
"""Default priors of the parameters that only some models have."""

PARAMETERS: dict[str, Prior] = {
    row.variable: row for row in (ALPHA, BETA, GAMMA, *OF_EVIDENCE, *OF_MODELS)
}
"""Default prior by variable; registered models add the priors of their parameters."""

BIAS: dict[str, Prior] = {
    row.variable: row
    for row in (
        Prior(
            "bias_beta",
            "Normal",
            0.0,
            None,
            "log of the factor by which confounding changes the odds ratio of a treatment",
            "",
            scale=FACTOR,
            symbol="confounding, log odds ratio",
        ),
        Prior(
            "bias_gamma",
            "Normal",
            0.0,
            None,
            "log of the factor by which confounding changes the ratio of odds ratios of a pair",
            "",
            scale=FACTOR,
            symbol="confounding, log ratio of odds ratios",
        ),
    )
}
"""Priors of the parameters of unmeasured confounding, by variable; only the prior sets of a bias analysis contain
them."""
