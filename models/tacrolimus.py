"""What is the effect of tacrolimus? The reported odds ratios of the cohort of 793, under every model.

The overall odds ratio compares all patients on tacrolimus with all other patients, regardless of co-treatment. It is
weighted by the arm sizes, which are not reported.
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
