"""Do the drugs do more together than apart? ISIS-2 under the interaction model.

The product term lets the combination differ from what the single effects make of it; its prior
expects interactions half the size of effects.
"""

from cotreat import load_study, reanalyse
from cotreat.headline import agreements, remarks

study = load_study("isis2")
result = reanalyse(study, ["interaction"], say=print).leader

table = result.summary
judged = table[table.estimand.str.contains(":") & table.probability.notna()]
print(judged[["estimand", "scale", "probability", "prior_probability"]].to_string(index=False))
print(*agreements(table), *remarks(table, study), sep="\n")
