"""Does the conclusion depend on the form of the prior? ISIS-2 under the saturated model.

The log-odds of the regimens are exchangeable. With one pair of drugs, both this model and the model interaction
can fit any four counts; they differ only in their priors, which shrink the regimens towards a common mean or the
product term towards 0. Differences between their posteriors are caused by the priors, not by the data.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("isis2")
analysis = reanalyse(study, ["interaction", "saturated"], on_progress=print)

for result in analysis.results:
    table = result.summary
    judged = table[(table.pair != "") & table.probability.notna()]
    print(f"\n{result.model}")
    print(judged[["label", "judged_on", "probability"]].to_string(index=False))

sys.exit(3 if analysis.failed else 0)
