"""Do two exposures do harm beyond the sum of each? Two case-control studies.

A case-control study identifies odds ratios only: measures made of risks are not estimable by design, and
RERI from odds ratios approximates the additive measures if the diseases are rare.
"""

import sys

from cotreat import load_study, reanalyse
from cotreat.results.headline import agreements

failed = False
for name in ("oral-cancer", "factor-v-leiden"):
    analysis = reanalyse(load_study(name), ["interaction"], on_progress=print)
    failed = failed or analysis.failed
    table = analysis.primary.summary
    rows = table[table.measure.isin(["reri_or", "ror"])]
    columns = ["estimator", "label", "estimate", "lower", "upper", "interval", "probability"]
    print(rows[columns].to_string(index=False))
    print(*agreements(table), *analysis.primary.caveats, sep="\n")

sys.exit(3 if failed else 0)
