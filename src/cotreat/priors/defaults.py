"""The default prior of every parameter: the set ``weak``.

Models add the priors of parameters that they alone have (`cotreat.models.registry.register`).
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
"""Parameters that patients and reported estimates need besides those of the model."""

PARAMETERS: dict[str, Prior] = {row.variable: row for row in (ALPHA, BETA, GAMMA, *OF_EVIDENCE)}
"""The default prior of every parameter by variable, those of the models included."""

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
"""Parameters of unmeasured confounding; only the sets of a bias analysis have them."""
