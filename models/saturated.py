"""Does the answer hang on the model? ISIS-2 with a log-odds of its own for every regimen.

No structure between arms, so nothing is borrowed from the shape of a logistic regression; compare
its probabilities with those of models/interaction.py.
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
