"""Does the answer hang on how the prior is stated? ISIS-2 with a log-odds of its own for
every regimen.

With one pair of drugs both models can reproduce any four counts; they differ in their priors:
product terms near 0, or regimens near a common mean. What differs between them is prior, not data.
"""

import sys

from cotreat import load_study, reanalyse

study = load_study("isis2")
analysis = reanalyse(study, ["interaction", "saturated"], say=print)

for result in analysis.results:
    table = result.summary
    judged = table[table.estimand.str.contains(":") & table.probability.notna()]
    print(f"\n{result.model}")
    print(judged[["estimand", "scale", "probability"]].to_string(index=False))

sys.exit(3 if analysis.failed else 0)
