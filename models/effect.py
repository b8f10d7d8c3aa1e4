"""What does each drug do by itself? ISIS-2 under the additive model.

No interaction: each drug multiplies the odds of dying by its own factor, given alone or together.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("isis2")
analysis = reanalyse(study, ["additive"], say=print)

table = analysis.leader.summary
ratios = table[table.estimand.str.startswith("odds_ratio")]
print(
    ratios[["estimator", "estimand", "estimate", "lower", "upper", "interval"]].to_string(
        index=False
    )
)

sys.exit(3 if analysis.failed else 0)
