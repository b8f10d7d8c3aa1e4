"""Does the effect of tacrolimus differ between subgroups? Partially pooled and unpooled estimates.

The publication reports no odds ratio of a subgroup. The script therefore analyses two studies: a study file with
made-up odds ratios of subgroups, as an example of their format, and the synthetic cohort, whose true effect is the
same in all subgroups.
"""

import sys

from cotreat import load_study, parse_study, reanalyse

REPORTED = """
format = 1
study = { id = "printed-subgroups", title = "MADE UP: reported subgroups", design = "cohort", source = "made up", inclusion = "any(TAC, CYC, MMF)" }
outcome = { name = "complete renal response", direction = "benefit" }
treatments = { TAC = { name = "tacrolimus" }, CYC = { name = "cyclophosphamide" }, MMF = { name = "mycophenolate mofetil" } }
subgroups = { activity = { name = "SLEDAI", groups = { mild = "SLEDAI up to 12", severe = "SLEDAI over 12" } } }
totals = [
  { patients = "all", n = 793, events = 221 },
  { patients = "TAC", n = 244 },
  { patients = "not TAC", n = 549 },
]
reported = [
  { id = "mild", kind = "odds_ratio", contrast = "TAC and activity.mild vs not TAC and activity.mild", value = 1.60, ci = [0.85, 3.01], adjusted = true, model = "mild", source = "made up" },
  { id = "severe", kind = "odds_ratio", contrast = "TAC and activity.severe vs not TAC and activity.severe", value = 3.90, ci = [2.30, 6.61], adjusted = true, model = "severe", source = "made up" },
]
"""

failed = False
for study in (parse_study(REPORTED), load_study("sun2024-synthetic")):
    analysis = reanalyse(study, ["subgroups"], on_progress=print)
    failed = failed or analysis.failed
    table = analysis.primary.summary
    is_shown = (table.measure == "effect_ratio") & table.contrast.str.startswith("TAC: ")
    is_shown &= table.contrast.str.contains("=")
    is_shown |= table.contrast.str.startswith("TAC and") & (table.estimator != "prior")
    columns = ["estimator", "label", "status", "estimate", "lower", "upper", "interval"]
    print(f"\n{study.title}\n{table[is_shown][columns].to_string(index=False)}")
    print(*analysis.primary.caveats, sep="\n")

sys.exit(3 if failed else 0)
