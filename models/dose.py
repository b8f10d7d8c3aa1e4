"""What does a low dose of tacrolimus do, and a short course? Nobody printed it; the model infers it.

The printed odds ratio of all on tacrolimus is a mixture of the levels'. With that of the higher level in
print, the margins and the widths of the intervals, the lower one follows up to how many patients had
which. An effect that never turns back from level to level is an assumption of the models.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("sun2024")
analysis = reanalyse(study, ["dose", "duration"], interpretations="odds-ratios", on_progress=print)

columns = ["estimator", "label", "status", "estimate", "lower", "upper", "interval"]
for result in analysis.results:
    table = result.summary
    about = (table.measure == "odds_ratio") & table.contrast.str.endswith(" vs not TAC")
    about |= (table.measure == "size") & table.contrast.str.startswith("all with")
    print(f"\n{result.model}\n{table[about][columns].to_string(index=False)}")
    print(
        *(one for one in result.caveats if one.subject in ("not reported", "immortal-time bias")),
        sep="\n",
    )

sys.exit(3 if analysis.failed else 0)
