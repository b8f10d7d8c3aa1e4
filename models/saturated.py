"""Does the conclusion depend on the form of the prior? ISIS-2 under the saturated model.

Every regimen has its own log-odds. With one pair of drugs this model and the model interaction can both
reproduce any four counts; they differ in their priors: regimens near a common mean, or product terms
near 0. Differences between their posteriors come from the priors, not from the data.
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
