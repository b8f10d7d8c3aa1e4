"""What would individual patient data of the tacrolimus cohort show? A synthetic cohort.

The patient data of the cohort are not public. The data of this script are synthetic and calibrated to the reported
estimates, so the true conditional odds ratios are known. The script shows them with the posterior odds ratios,
then risk differences and numbers needed to treat, standardised over all patients, and the caveats,
which include the overlap of the regimens.
"""

import json
import sys
from pathlib import Path

import numpy as np

from cotreat import load_study, reanalyse

kept = Path(__file__).parents[1] / "results" / "sun2024-synthetic" / "truth.json"
truth = json.loads(kept.read_text(encoding="utf-8"))["log_odds"]
analysis = reanalyse(load_study("sun2024-synthetic"), ["interaction", "dose"], on_progress=print)

by_regimen, by_dose = (result.summary for result in analysis.results)
ratios = by_dose[(by_dose.estimator == "posterior") & (by_dose.measure == "odds_ratio")]
ratios = ratios.set_index("contrast")
for drug in ("CYC", "MMF"):
    for level in ("low", "high"):
        row = ratios.loc[f"TAC.{level}+{drug} vs {drug}"]
        true = np.exp(truth[f"TAC.{level}+{drug}"] - truth[drug])
        print(
            f"{row.name}: {row.estimate:.2f} ({row.lower:.2f} to {row.upper:.2f}), truth {true:.2f}"
        )

is_shown = (by_regimen.contrast == "TAC+CYC vs CYC") & by_regimen.measure.isin(
    ["risk_difference", "nnt"]
)
is_shown |= (by_regimen.measure == "ic") & (by_regimen.pair == "TAC:CYC")
columns = ["label", "estimator", "risk_kind", "status", "estimate", "lower", "upper"]
print(by_regimen[is_shown][columns].to_string(index=False))
print(*analysis.primary.caveats, sep="\n")

sys.exit(3 if analysis.failed else 0)
