"""What does tacrolimus do? The printed odds ratios of the cohort of 793, under every model.

The overall odds ratio compares all who had tacrolimus with all who had not, whatever else they got;
what it is an average of depends on arm sizes that nobody printed.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("sun2024")
models = ["exchangeable", "interaction", "saturated", "additive"]
analysis = reanalyse(study, models, interpretations="odds-ratios", on_progress=print)

columns = ["estimator", "label", "estimate", "lower", "upper", "interval"]
for result in analysis.results:
    table = result.summary
    about = (table.contrast == "TAC vs not TAC") | (table.measure == "risk")
    shown = table[about & table.estimator.isin(["posterior", "reported"])]
    print(f"\n{result.model}\n{shown[columns].to_string(index=False)}")

sys.exit(3 if analysis.failed else 0)
