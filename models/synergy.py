"""Is there synergy, and how sensitive is the conclusion? Every model and every interpretation.

The reported estimates identify no measure of synergy. Each posterior probability is therefore shown with its
prior probability, and each interpretation with the joint predictive tail of the numbers that it adds.
"""

import sys

from cotreat import load_study, reanalyse
from cotreat.results.headline import judged
from cotreat.results.verdict import verdicts

study = load_study("sun2024")
analysis = reanalyse(study, on_progress=print)

for result in analysis.results:
    rows = judged(result.summary)
    rows = rows[rows.measure.isin(["ic", "ror", "rrr", "bliss"])]
    print(f"\n{result.model}, interpretation {result.interpretation}")
    if result.conflict is not None:
        print(result.conflict)
    columns = ["label", "probability", "prior_probability"]
    print(rows[columns].to_string(index=False))
    print(verdicts(result.summary).to_string(index=False))

sys.exit(3 if analysis.failed else 0)
