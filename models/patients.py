"""What would the rows of the tacrolimus cohort say? A synthetic cohort under the interaction model.

Nobody outside the hospital has the rows. These are made up in the image of the printed numbers, so the
truth is known, and the posterior stands beside it: the odds ratios of the combinations, conditional on
covariates, and the risks standardised over them.
"""

import json
import sys
from pathlib import Path

import numpy as np

from cotreat import load_study, reanalyse
from cotreat.simulate import simulate

path = simulate(load_study("sun2024"), patients=793, seed=1, out=Path("results"))
truth = json.loads((path.parent / "truth.json").read_text(encoding="utf-8"))["log_odds"]
analysis = reanalyse(load_study(path), ["interaction"], say=print)

table = analysis.leader.summary
own = table[table.estimator == "posterior"].set_index("estimand")
for one, other in (("TAC+CYC", "CYC"), ("TAC+MMF", "MMF"), ("TAC+CYC", "MMF"), ("TAC+MMF", "CYC")):
    row = own.loc[f"odds_ratio[{one} vs {other}]"]
    true = np.exp(truth[one] - truth[other])
    print(f"{row.name}: {row.estimate:.2f} ({row.lower:.2f} to {row.upper:.2f}), truth {true:.2f}")
print(*analysis.leader.remarks, sep="\n")

sys.exit(3 if analysis.failed else 0)
