"""Is there synergy of streptokinase and aspirin? ISIS-2 under the interaction model.

The product term is the departure of the combination from the product of the odds ratios, on the log scale. Its
prior SD is half that of a treatment effect.
"""

import sys

from cotreat import load_study, reanalyse
from cotreat.results.verdict import verdicts

study = load_study("isis2")
analysis = reanalyse(study, ["interaction"], on_progress=print)

table = analysis.primary.summary
judged = table[(table.pair != "") & table.probability.notna()]
print(judged[["label", "judged_on", "probability", "prior_probability"]].to_string(index=False))
print(verdicts(table).to_string(index=False))
print(*analysis.primary.caveats, sep="\n")

sys.exit(3 if analysis.failed else 0)
