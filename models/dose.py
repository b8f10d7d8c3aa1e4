"""What is the effect of a low dose of tacrolimus, and of a short course? Neither is reported.

The reported odds ratio of all patients on tacrolimus is a mixture of the odds ratios of its levels. The models
infer the odds ratio of the lower level and the number of patients per level from this odds ratio, the reported
odds ratio of the higher level, the totals and the widths of the intervals. They assume that the effect is
monotone in the level.
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
        *(
            caveat
            for caveat in result.caveats
            if caveat.subject in ("not reported", "immortal-time bias")
        ),
        sep="\n",
    )

sys.exit(3 if analysis.failed else 0)
