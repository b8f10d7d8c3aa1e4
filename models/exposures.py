"""Do two exposures cause more harm jointly than the sum of their separate effects? Two case-control studies.

A case-control study identifies only odds ratios. Measures based on risks are not estimable by design. RERI from
odds ratios approximates RERI from risk ratios if the disease is rare.
"""

import sys

from cotreat import load_study, reanalyse
from cotreat.results.verdict import verdicts

failed = False
for name in ("oral-cancer", "factor-v-leiden"):
    analysis = reanalyse(load_study(name), ["interaction"], on_progress=print)
    failed = failed or analysis.failed
    table = analysis.primary.summary
    rows = table[table.measure.isin(["reri_or", "ror"])]
    columns = ["estimator", "label", "estimate", "lower", "upper", "interval", "probability"]
    print(rows[columns].to_string(index=False))
    print(verdicts(table).to_string(index=False))
    print(*analysis.primary.caveats, sep="\n")

sys.exit(3 if failed else 0)
