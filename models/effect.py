"""What does each drug do by itself? ISIS-2 under the additive model.

No interaction: each drug multiplies the odds of dying by its own factor, given alone or together.
"""

from cotreat import load_study, reanalyse

study = load_study("isis2")
result = reanalyse(study, ["additive"], say=print).leader

table = result.summary
ratios = table[table.estimand.str.startswith("odds_ratio")]
print(
    ratios[["estimator", "estimand", "estimate", "lower", "upper", "interval"]].to_string(
        index=False
    )
)
