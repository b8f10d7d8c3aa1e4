"""Is there synergy, and what does the answer hang on? Every model, and every reading of the print.

No measure of synergy is determined by what is printed: each probability stands beside that of the
prior, and each reading beside its log evidence.
"""

import sys

from cotreat import load_study, reanalyse
from cotreat.results.headline import agreements, judged

study = load_study("sun2024")
analysis = reanalyse(study, on_progress=print)

for result in analysis.results:
    rows = judged(result.summary)
    rows = rows[rows.measure.isin(["ic", "ror", "rrr", "bliss"])]
    print(f"\n{result.model}, reading {result.interpretation}")
    if result.conflict is not None:
        print(result.conflict)
    columns = ["label", "probability", "prior_probability"]
    print(rows[columns].to_string(index=False))
    print(*agreements(result.summary), sep="\n")

sys.exit(3 if analysis.failed else 0)
