"""Is a combination with tacrolimus better than one drug alone? The reported estimates identify the answer.

They identify six odds ratios among CYC, MMF, TAC+CYC and TAC+MMF, and the ratio of odds ratios of TAC: the odds ratio of
tacrolimus with one co-treatment divided by its odds ratio with the other.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("sun2024")
analysis = reanalyse(study, ["exchangeable"], interpretations="odds-ratios", on_progress=print)

table = analysis.primary.summary
identified = table[(table.status == "identified") & table.estimator.isin(["posterior", "reported"])]
columns = ["estimator", "label", "estimate", "lower", "upper", "interval", "probability"]
print(identified[columns].to_string(index=False))

sys.exit(3 if analysis.failed else 0)
