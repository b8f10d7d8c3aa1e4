"""Do two exposures do harm beyond the sum of each? Two case-control studies.

A case-control study gives odds ratios only: measures built on risks are undefined by design, and
reri_or stands in for the risk-additive family because the diseases are rare.
"""

from cotreat import load_study, reanalyse
from cotreat.headline import agreements, remarks

for name in ("oral-cancer", "factor-v-leiden"):
    study = load_study(name)
    table = reanalyse(study, ["interaction"], say=print).leader.summary
    rows = table[table.estimand.str.startswith(("reri_or", "ror"))]
    columns = ["estimator", "estimand", "estimate", "lower", "upper", "interval", "probability"]
    print(rows[columns].to_string(index=False))
    print(*agreements(table), *remarks(table, study), sep="\n")
