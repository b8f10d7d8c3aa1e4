"""Tests of reported estimates and interpretations of a study file: problems, and contrasts."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.stats import beta, kstest, uniform

from cotreat.evidence.arm_sizes import Polytope, sizes_of
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import estimates_of, incompatibilities, is_used
from cotreat.evidence.statistics import STATISTICS
from cotreat.study.study import InterpretationError, Meaning, ReportedEstimate, RoundedNumber, Study
from cotreat.study_file.reader import StudyError, load_study, parse_study

HEAD = """
format = 1

[study]
id = "trio"
title = "Three drugs, of which nobody saw a count by regimen"
design = "cohort"
inclusion = "any(TAC, CYC, MMF)"
source = "Trio 2025"

[outcome]
name = "remission"
direction = "benefit"

[treatments]
TAC = { name = "tacrolimus" }
CYC = { name = "cyclophosphamide" }
MMF = { name = "mycophenolate" }
"""

TOTALS = """
[[totals]]
patients = "all"
n = 400
events = 120

[[totals]]
patients = "TAC"
n = 150
"""

RATIO = """
[[reported]]
id = "tac"
kind = "odds_ratio"
contrast = "TAC vs not TAC"
value = 2.00
ci = [1.25, 3.20]
adjusted = true
model = "main"
source = "abstract"
"""

P_VALUE = """
[[reported]]
id = "p-tac-cyc"
kind = "p_value"
contrast = "TAC x CYC"
value = 0.040
sign = "+"
adjusted = true
model = "products"
source = "abstract"
"""

TRIO = HEAD + TOTALS + RATIO + P_VALUE

# 180 patients; "TAC" are 120 of them with 44 events, "CYC" 140 with 47.
ARMS = """
[[arms]]
regimen = "TAC"
n = 40
events = 12

[[arms]]
regimen = "CYC"
n = 60
events = 15

[[arms]]
regimen = "TAC+CYC"
n = 80
events = 32
"""

ALL_KINDS = " or ".join(f'"{kind}"' for kind in (*STATISTICS, "p_value", "p_trend"))
NO_CI = "[lower, upper] with 0 < lower < upper, or p with the p-value of its Wald test"
TEXT = "a text that is not empty"
P = 'a number above 0 and at most 1, or as text "<0.001"'
KEYS = "id, kind, contrast, adjusted, model, source, value, ci, p, n, level, interval, sign"
MEANS_KEYS = "contrast, model"
CONTRAST = (
    'a contrast such as "A+B vs B", "A vs not A", "all with A vs all with B", '
    '"not A < A and not B < A and B", "A x B", "A x B | treatments", "A x B | A x C", '
    '"unspecified: WORDS"'
)
SHARE = "the sides share patients; they must be disjoint"
NOT_INDEPENDENT = "its columns are not independent, so no regression has that coefficient"
FORBIDDEN = "none is forbidden by study.inclusion = 'any(TAC, CYC, MMF)'"
SKEWED = (
    "(1.25, 3.9) is not symmetric about 2 on the log scale (its middle is 2.208), as a Wald interval "
    'is; correct a digit, or write interval = "profile" or "exact"'
)
ALL_TOTAL = 'so their number of patients is unknown; add the total of patients = "all"'
READING_ID = "lower-case letters, digits, - and _ (it names a folder)"
MEANS = (
    "a table of ids of reported estimates, each with its contrast here, such as "
    '{ p1 = { contrast = "A x B" } }'
)
ONE_DEFAULT = "interpretations: exactly one must say default = true"


def swap(*edits: tuple[str, str], text: str = TRIO) -> str:
    for old, new in edits:
        # An edit that hits nothing, or two places, would test something else than its case says.
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def p_value(written: str) -> str:
    return swap(("value = 0.040", f"value = {written}"))


def meaning(written: str) -> str:
    """Write the meaning of reported[2], the p-value."""
    return swap(('contrast = "TAC x CYC"', written))


def total(patients: str, n: int, events: int | None = None) -> str:
    count = "" if events is None else f"events = {events}\n"
    return f'\n[[totals]]\npatients = "{patients}"\nn = {n}\n{count}'


def with_totals(*totals: str) -> str:
    return HEAD + "".join(totals) + RATIO + P_VALUE


def ratio(name: str, about: str, value: str, ci: str, more: str = 'model = "combined"') -> str:
    return (
        f'\n[[reported]]\nid = "{name}"\nkind = "odds_ratio"\n{about}\n'
        f'value = {value}\nci = {ci}\n{more}\nsource = "table 2"\n'
    )


def mixed(*parts: str, about: str = 'contrast = "TAC+MMF vs CYC"') -> str:
    """Count three regimens and print an odds ratio, by default against one that is not counted."""
    return HEAD + ARMS + "".join(parts) + ratio("m", about, "2.00", "[1.00, 4.00]")


def interpretation(name: str, means: str = "", *, default: bool = False) -> str:
    return (
        f'\n[[interpretations]]\nid = "{name}"\nwords = "as {name} says"\n'
        + "default = true\n" * default
        + (f"[interpretations.means]\n{means}\n" if means else "")
    )


def four(last: str, more: str = 'model = "combined"', more_of_last: str = "") -> str:
    """Print four odds ratios of which three are free: the last is 3.00 · 2.50 / 2.00 = 3.75."""
    return (
        HEAD
        + TOTALS
        + ratio("a", 'contrast = "TAC+CYC vs CYC"', "2.00", "[1.00, 4.00]", more)
        + ratio("b", 'contrast = "TAC+MMF vs CYC"', "3.00", "[1.50, 6.00]", more)
        + ratio("c", 'contrast = "TAC+CYC vs MMF"', "2.50", "[1.25, 5.00]", more)
        + ratio("d", 'contrast = "TAC+MMF vs MMF"', *last.split(" ", 1), more + more_of_last)
    )


AGREES, CONTRADICTS = "3.75 [1.88, 7.50]", "4.75 [2.38, 9.50]"
CONTRADICTION = "d is reported as 4.75 (2.38 to 9.50), but a, b, c make it 3.75, beyond rounding"


def bad_p(shown: str, hint: str = "") -> tuple[str, ...]:
    return (f"reported[2].value: is {shown}; it must be {P}{hint}",)


def told(where: str, label: str) -> tuple[str, ...]:
    return (f"{where}: the regimens of the cohort do not determine {label}: {NOT_INDEPENDENT}",)


def no_sizes(words: str, *, everywhere: bool = False) -> tuple[str, ...]:
    more = " with patients in every arm" * everywhere
    return (f"totals: no numbers of patients fit these totals{more}: {words}",)


NUMBERS = {
    "interval without its estimate": (
        swap(("[1.25, 3.20]", "[2.25, 3.20]")),
        ("reported[1].ci: (2.25, 3.20) does not contain the estimate 2.00",),
    ),
    "no interval": (
        swap(("ci = [1.25, 3.20]\n", "")),
        (f"reported[1].ci: missing; it must be {NO_CI}",),
    ),
    "asymmetric Wald interval of a model": (
        swap(("3.20", "3.90")),
        (f"reported[1].ci: {SKEWED}",),
    ),
    "unknown interval": (
        swap(("[1.25, 3.20]", '[1.25, 3.20]\ninterval = "score"')),
        ('reported[1].interval: is \'score\'; it must be "wald" or "profile" or "exact"',),
    ),
    "sign of an odds ratio": (
        swap(("value = 2.00", 'value = 2.00\nsign = "+"')),
        ("reported[1].sign: only a p-value has a sign; leave it out",),
    ),
    "p-value 0": (p_value("0"), bad_p("0")),
    "p-value above 1": (p_value("1.2"), bad_p("1.2")),
    "p-value negative": (p_value("-0.1"), bad_p("-0.1")),
    "p-value nan": (p_value("nan"), bad_p("nan")),
    "p-value true": (p_value("true"), bad_p("true")),
    "p-value of less than a float": (p_value("1e-400"), bad_p("1e-400")),
    "p-value below 0": (p_value('"<0"'), bad_p("'<0'")),
    "p-value below 0.000": (p_value('"<0.000"'), bad_p("'<0.000'")),
    "p-value below 1.5": (p_value('"<1.5"'), bad_p("'<1.5'")),
    "p-value above": (p_value('">0.05"'), bad_p("'>0.05'")),
    "p-value as text": (
        p_value('"0.04"'),
        bad_p("'0.04'", "; write 0.04, without quotation marks"),
    ),
    "p-value in words": (p_value('"NS"'), bad_p("'NS'")),
    "interval of a p-value": (
        p_value("0.040\nci = [1.0, 2.0]"),
        ("reported[2].ci: a p-value has no interval; leave it out",),
    ),
    "level of a p-value": (
        p_value("0.040\nlevel = 0.9"),
        ("reported[2].level: a p-value has no interval; leave it out",),
    ),
    "bad sign": (
        swap(('sign = "+"', 'sign = "positive"')),
        ('reported[2].sign: is \'positive\'; it must be "+" or "-"',),
    ),
    "sign as a number": (
        swap(('sign = "+"', "sign = 1")),
        ('reported[2].sign: is 1; it must be "+" or "-"',),
    ),
    # What else such a claim must have depends on its kind: nothing may be said about sign and ci.
    "misspelt kind": (
        swap(('"p_value"', '"p-value"')),
        (f"reported[2].kind: is 'p-value'; it must be {ALL_KINDS}; did you mean p_value?",),
    ),
    "kind is a list": (
        swap(('"p_value"', '["p_value"]')),
        (f"reported[2].kind: is ['p_value']; it must be {ALL_KINDS}",),
    ),
    "no source": (
        HEAD + TOTALS + RATIO + P_VALUE.replace('source = "abstract"\n', ""),
        (f"reported[2].source: missing; it must be {TEXT}",),
    ),
    "id twice": (TRIO + P_VALUE, ("reported[3].id: p-tac-cyc is the id of an estimate above",)),
    "model partly adjusted": (
        swap(('adjusted = true\nmodel = "products"', 'model = "main"')),
        ("reported: of model 'main' some are adjusted and others not; one regression is either",),
    ),
    "claim is no table": (
        "reported = [1]\n" + HEAD + TOTALS,
        (f"reported[1]: must be a table with the keys {KEYS}",),
    ),
    "claims are a table": (
        HEAD + TOTALS + RATIO.replace("[[reported]]", "[reported]"),
        ("reported: must be a list of tables, each begun by [[reported]]",),
    ),
    "empty list of claims": (
        "reported = []\n" + HEAD + TOTALS,
        (
            "arms: at least two regimens must have patients; write one [[arms]] for each of them, "
            "or [[reported]] for each published estimate",
        ),
    ),
}

MEANINGS = {
    "no contrast": (
        meaning(""),
        (f"reported[2].contrast: missing; it must be {CONTRAST}",),
    ),
    "a contrast and a key of version 0.1": (
        meaning('contrast = "TAC x CYC"\nabout = "synergy"'),
        ('reported[2].about: is now contrast = "unspecified: synergy"',),
    ),
    "unspecified, without words": (
        meaning('contrast = "unspecified: "'),
        (f"reported[2].contrast: is 'unspecified:'; it must be {CONTRAST}",),
    ),
    "unknown treatment in regimens": (
        meaning('contrast = "TAC+AZA vs CYC"'),
        ("reported[2].contrast: unknown treatment AZA; the treatments are TAC, CYC, MMF",),
    ),
    "unknown treatment in sets": (
        meaning('contrast = "AZA vs not TAC"'),
        ("reported[2].contrast: 'AZA' names AZA; the treatments are CYC, MMF, TAC",),
    ),
    "unknown treatment in a product, one near": (
        meaning('contrast = "TAC x MMV"'),
        ("reported[2].contrast: unknown treatment MMV; did you mean MMF?",),
    ),
    "unknown treatment in a product, none near": (
        meaning('contrast = "TAC x rituximab | treatments"'),
        ("reported[2].contrast: unknown treatment rituximab; the treatments are TAC, CYC, MMF",),
    ),
    "unknown treatment in products": (
        meaning('contrast = "TAC x CYC | TAC x AZA"'),
        ("reported[2].contrast: unknown treatment AZA; the treatments are TAC, CYC, MMF",),
    ),
    "regimen in a product": (
        meaning('contrast = "TAC+CYC x MMF"'),
        ("reported[2].contrast: unknown treatment TAC+CYC; did you mean TAC?",),
    ),
    "empty part of a regimen": (
        meaning('contrast = "TAC+ vs CYC"'),
        (
            "reported[2].contrast: 'TAC+' has an empty part; write treatments joined by \"+\", or "
            '"none"',
        ),
    ),
    "forbidden regimen": (
        meaning('contrast = "TAC vs none"'),
        (f"reported[2].contrast: {FORBIDDEN}",),
    ),
    "set without a regimen": (
        meaning('contrast = "all with TAC vs none"'),
        ("reported[2].contrast: no regimen of the cohort belongs to 'none'",),
    ),
    "sides that share patients": (
        meaning('contrast = "all with TAC vs all with CYC"'),
        (f"reported[2].contrast: {SHARE}",),
    ),
    "regimen against itself": (
        meaning('contrast = "TAC+CYC vs CYC+TAC"'),
        (f"reported[2].contrast: {SHARE}",),
    ),
    "trend of sets that overlap": (
        meaning('contrast = "not TAC < TAC and not CYC < TAC"'),
        (f"reported[2].contrast: {SHARE}",),
    ),
    "trend with an empty set": (
        meaning('contrast = "none < TAC < not TAC"'),
        ("reported[2].contrast: no regimen of the cohort belongs to 'none'",),
    ),
    "trend of one set": (
        meaning('contrast = "TAC < "'),
        (f"reported[2].contrast: is 'TAC <'; it must be {CONTRAST}",),
    ),
    "product of a treatment with itself": (
        meaning('contrast = "TAC x TAC"'),
        ("reported[2].contrast: names TAC twice; name different ones",),
    ),
    "products of one pair twice": (
        meaning('contrast = "TAC x CYC | TAC x CYC"'),
        ("reported[2].contrast: names TAC x CYC twice; name different ones",),
    ),
    "adjusted product of a treatment with itself": (
        meaning('contrast = "CYC x CYC | treatments"'),
        ("reported[2].contrast: names CYC twice; name different ones",),
    ),
    "product of one treatment": (
        meaning('contrast = "TAC x "'),
        (f"reported[2].contrast: is 'TAC x'; it must be {CONTRAST}",),
    ),
    # Whoever is in has TAC or CYC, so nobody has neither.
    "product without one of its four sets": (
        swap(("any(TAC, CYC, MMF)", "any(TAC, CYC)")),
        told("reported[2].contrast", "product term, TAC × CYC"),
    ),
    "one product of products": (
        meaning('contrast = "TAC x CYC | "'),
        (f"reported[2].contrast: is 'TAC x CYC |'; it must be {CONTRAST}",),
    ),
    "product adjusted for what is no product": (
        meaning('contrast = "TAC x CYC | MMF"'),
        (
            'reported[2].contrast: is \'TAC x CYC | MMF\'; after "|" it must have "treatments", or '
            'products such as "A x C, B x C"',
        ),
    ),
    "product given itself": (
        meaning('contrast = "TAC x CYC | CYC x TAC"'),
        told(
            "reported[2].contrast", "product term, adjusted for another, TAC × CYC given CYC × TAC"
        ),
    ),
    "no usable claim": (
        HEAD
        + TOTALS
        + P_VALUE.replace('contrast = "TAC x CYC"', 'contrast = "unspecified: synergy"'),
        ("reported: no reported estimate has a contrast that a model can use",),
    ),
    # A test for trend of a product is shown, and no model reads it.
    "only a p-value for trend": (
        HEAD + TOTALS + P_VALUE.replace('"p_value"', '"p_trend"'),
        ("reported: no reported estimate has a contrast that a model can use",),
    ),
    "p-values without totals": (
        HEAD + RATIO + P_VALUE,
        ("reported: p-values require the number of patients; write [[totals]]",),
    ),
}

SIZES = {
    "total of TAC larger than all": (
        with_totals(total("all", 400), total("TAC", 450)),
        no_sizes("all 400, TAC 450"),
    ),
    "all have TAC, though others are compared": (
        with_totals(total("all", 400), total("TAC", 400)),
        no_sizes("all 400, TAC 400", everywhere=True),
    ),
    "total twice": (
        with_totals(total("all", 400), total("all", 401)),
        no_sizes("all 400, all 401"),
    ),
    "total of nobody": (
        with_totals(total("all", 400), total("none", 50)),
        no_sizes("all 400, none 50"),
    ),
    # 90 + 90 - 10 have TAC or CYC, which are more than all.
    "overlapping totals that leave less than nobody": (
        with_totals(
            total("all", 100),
            total("TAC", 90),
            total("CYC", 90),
            total("MMF", 90),
            total("TAC and CYC", 10),
        ),
        no_sizes("all 100, TAC 90, CYC 90, MMF 90, TAC and CYC 10", everywhere=True),
    ),
    # Everybody has a drug, but 30 at most have any.
    "overlapping totals that nothing fits": (
        with_totals(total("all", 100), total("TAC", 10), total("CYC", 10), total("MMF", 10)),
        no_sizes("all 100, TAC 10, CYC 10, MMF 10", everywhere=True),
    ),
    "regimens in no total": (
        with_totals(total("TAC", 150)),
        (f"totals: no total holds CYC, MMF, CYC+MMF, {ALL_TOTAL}",),
    ),
    "more events than patients": (
        with_totals(total("all", 400, 401)),
        ("totals[1].events: 401 events in 400 patients; at most 400 can be",),
    ),
    "events that do not add up": (
        with_totals(total("all", 400, 120), total("TAC", 150, 60), total("not TAC", 250, 70)),
        (
            "totals: events[not TAC] is reported as 70, but events[all], events[TAC] make it 60, "
            "beyond rounding",
        ),
    ),
    "more events in a part than in all": (
        with_totals(total("all", 400, 120), total("TAC", 150, 130)),
        ("totals: no numbers of events fit these totals: all 120 of 400, TAC 130 of 150",),
    ),
    "total below the counted arms": (
        mixed(total("all", 170)),
        ("totals[1].n: 170 reported for 'all', but its arms add up to 180",),
    ),
    "events below those counted": (
        mixed(total("all", 200, 58)),
        ("totals[1].events: 58 reported for 'all', but its arms add up to 59",),
    ),
    "more events than patients outside the counted arms": (
        mixed(total("all", 200, 100)),
        (
            "totals: no numbers of events fit these totals: all 100 of 200, with 59 of 180 "
            "counted by regimen",
        ),
    ),
    "nobody outside the counted arms": (
        mixed(total("all", 180)),
        ("reported[1].contrast: no counted arm belongs to 'TAC+MMF'",),
    ),
    "total larger than the counted arms, which are all that is claimed": (
        mixed(total("all", 200), about='contrast = "TAC+CYC vs CYC"'),
        ("totals[1].n: 200 reported for 'all', but its arms add up to 180",),
    ),
    # Whether TAC+MMF has patients would stand in the total: nothing may be said about the claim.
    "broken number of a total": (
        mixed(total("all", 0)),
        ("totals[1].n: is 0; it must be a whole number from 1 to 1,000,000,000",),
    ),
    "misspelt patients of a total": (
        mixed(total("al", 200)),
        ("totals[1].patients: 'al' names al; the treatments are CYC, MMF, TAC",),
    ),
}

DEPENDENT = {
    "redundant odds ratios of one model": (four(CONTRADICTS), (f"reported: {CONTRADICTION}",)),
    "the same odds ratio upside down": (
        HEAD
        + TOTALS
        + ratio("a", 'contrast = "TAC vs not TAC"', "2.00", "[1.00, 4.00]")
        + ratio("b", 'contrast = "not TAC vs TAC"', "0.60", "[0.30, 1.20]"),
        ("reported: b is reported as 0.60 (0.30 to 1.20), but a make it 0.5, beyond rounding",),
    ),
    "in the default interpretation": (
        HEAD
        + TOTALS
        + ratio("a", 'contrast = "TAC vs not TAC"', "2.00", "[1.00, 4.00]")
        + ratio("b", 'contrast = "unspecified: no TAC"', "0.60", "[0.30, 1.20]")
        + interpretation("shown")
        + interpretation("used", 'b = { contrast = "not TAC vs TAC" }', default=True),
        ("reported: b is reported as 0.60 (0.30 to 1.20), but a make it 0.5, beyond rounding",),
    ),
}

READINGS = {
    "unknown claim, one near": (
        TRIO + interpretation("a", 'p-tac-cyx = { contrast = "TAC x MMF" }', default=True),
        (
            "interpretations[1].means.p-tac-cyx: no reported estimate has this id; did you mean p-tac-cyc?",
        ),
    ),
    "unknown claim, none near": (
        TRIO + interpretation("a", 'dose = { contrast = "TAC x MMF" }', default=True),
        (
            "interpretations[1].means.dose: no reported estimate has this id; the ids are tac, p-tac-cyc",
        ),
    ),
    # The claim is there, if broken: that there is none would be false.
    "broken claim": (
        p_value("1.2")
        + interpretation("a", 'p-tac-cyc = { contrast = "TAC x MMF" }', default=True),
        bad_p("1.2"),
    ),
    "two defaults": (
        TRIO + interpretation("a", default=True) + interpretation("b", default=True),
        (ONE_DEFAULT,),
    ),
    "no default": (TRIO + interpretation("a") + interpretation("b"), (ONE_DEFAULT,)),
    "id twice": (
        TRIO + interpretation("a", default=True) + interpretation("a"),
        ("interpretations[2].id: a is the id of an interpretation above",),
    ),
    "two bad ids": (
        TRIO + interpretation("A", default=True) + interpretation("B"),
        (
            f"interpretations[1].id: is 'A'; it must be {READING_ID}",
            f"interpretations[2].id: is 'B'; it must be {READING_ID}",
        ),
    ),
    "no words": (
        TRIO + interpretation("a", default=True).replace('words = "as a says"\n', ""),
        (f"interpretations[1].words: missing; it must be {TEXT}",),
    ),
    "unknown treatment": (
        TRIO + interpretation("a", 'p-tac-cyc = { contrast = "TAC x AZA" }', default=True),
        (
            "interpretations[1].means.p-tac-cyc.contrast: unknown treatment AZA; "
            "the treatments are TAC, CYC, MMF",
        ),
    ),
    "coefficient that no regression has": (
        swap(("any(TAC, CYC, MMF)", "any(TAC, CYC)"))
        + interpretation("a", 'p-tac-cyc = { contrast = "TAC x CYC" }', default=True),
        told("reported[2].contrast", "product term, TAC × CYC")
        + told("interpretations[1].means.p-tac-cyc.contrast", "product term, TAC × CYC"),
    ),
    "sides that share patients": (
        TRIO
        + interpretation("a", default=True)
        + interpretation("b", 'tac = { contrast = "all with TAC vs all with CYC" }'),
        (f"interpretations[2].means.tac.contrast: {SHARE}",),
    ),
    "forbidden regimen": (
        TRIO + interpretation("a", 'tac = { contrast = "TAC vs none" }', default=True),
        (f"interpretations[1].means.tac.contrast: {FORBIDDEN}",),
    ),
    "forbidden regimen, and a claim whose id begins alike": (
        swap(('"p-tac-cyc"', '"ta"'))
        + interpretation(
            "a",
            'tac = { contrast = "TAC vs none" }\nta = { contrast = "TAC vs TAC" }',
            default=True,
        ),
        (
            f"interpretations[1].means.tac.contrast: {FORBIDDEN}",
            "interpretations[1].means.ta.contrast: names TAC twice; name different ones",
        ),
    ),
    "only a model": (
        TRIO + interpretation("a", 'tac = { model = "other" }', default=True),
        (f"interpretations[1].means.tac.contrast: missing; it must be {CONTRAST}",),
    ),
    "meaning is no table": (
        TRIO + interpretation("a", 'tac = "product"', default=True),
        (f"interpretations[1].means.tac: must be a table with the keys {MEANS_KEYS}",),
    ),
    "means nothing": (
        TRIO + interpretation("a", default=True) + "means = {}\n",
        (f"interpretations[1].means: must be {MEANS}",),
    ),
    "value of a claim": (
        TRIO
        + interpretation("a", 'tac = { value = 2.1, contrast = "CYC vs not CYC" }', default=True),
        (f"interpretations[1].means.tac.value: unknown key; known are {MEANS_KEYS}",),
    ),
    "interpretations are a table": (
        TRIO + "[interpretations]\nid = 'a'\n",
        ("interpretations: must be a list of tables, each begun by [[interpretations]]",),
    ),
    "model partly adjusted": (
        swap(('adjusted = true\nmodel = "products"', ""))
        + interpretation("a", default=True)
        + interpretation("b", 'p-tac-cyc = { contrast = "TAC x CYC", model = "main" }'),
        (
            "interpretations[2].means: of model 'main' some are adjusted and others not; "
            "one regression is either",
        ),
    ),
    "no usable claim": (
        HEAD
        + TOTALS
        + RATIO
        + interpretation("a", default=True)
        + interpretation("b", 'tac = { contrast = "unspecified: response to tacrolimus" }'),
        ("interpretations: b: no reported estimate has a contrast that a model can use",),
    ),
    "p-values without totals": (
        HEAD
        + RATIO
        + P_VALUE.replace('contrast = "TAC x CYC"', 'contrast = "unspecified: synergy"')
        + interpretation("a", default=True)
        + interpretation("b", 'p-tac-cyc = { contrast = "TAC x CYC" }'),
        ("interpretations: b: p-values require the number of patients; write [[totals]]",),
    ),
}

BROKEN = {
    f"{group}: {what}": case
    for group, cases in {
        "numbers": NUMBERS,
        "meanings": MEANINGS,
        "sizes": SIZES,
        "dependent": DEPENDENT,
        "interpretations": READINGS,
    }.items()
    for what, case in cases.items()
}


@pytest.mark.parametrize(
    ("text", "problems"),
    [pytest.param(*case, id=what) for what, case in BROKEN.items()],
)
def test_broken_estimates_are_refused(text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    assert caught.value.problems == problems


def test_what_the_broken_claims_are_made_from_is_whole() -> None:
    assert parse_study(TRIO).warnings == ()
    assert parse_study(four(AGREES)).warnings == ()
    assert parse_study(mixed(total("all", 200))).warnings == (
        "totals: 20 patients are in no counted arm; is that what the study had?",
    )


# --- Warnings ------------------------------------------------------------------------------------


def test_contradiction_agrees_within_rounding() -> None:
    # Rounding moves each factor by 0.005, so that 3.727 to 3.773 may be printed as 3.75.
    for value in ("3.74 [1.87, 7.48]", "3.77 [1.88, 7.56]"):
        assert parse_study(four(value)).warnings == ()


@pytest.mark.parametrize(
    ("more", "more_of_last"),
    [
        ("", ""),
        ('model = "combined"', '\ninterval = "profile"'),
    ],
    ids=["no model", "another interval"],
)
def test_contradiction_that_has_an_excuse_is_a_warning(more: str, more_of_last: str) -> None:
    assert parse_study(four(CONTRADICTS, more, more_of_last)).warnings == (CONTRADICTION,)


def test_incompatibility_in_another_interpretation_is_a_warning() -> None:
    study = parse_study(
        HEAD
        + TOTALS
        + ratio("a", 'contrast = "TAC vs not TAC"', "2.00", "[1.00, 4.00]")
        + ratio("b", 'contrast = "unspecified: no TAC"', "0.60", "[0.30, 1.20]")
        + interpretation("shown", default=True)
        + interpretation("used", 'b = { contrast = "not TAC vs TAC" }')
    )
    assert study.warnings == (
        "interpretation used: b is reported as 0.60 (0.30 to 1.20), but a make it 0.5, beyond rounding",
    )


def p_of_tac(value: str, sign: str) -> Study:
    """Print 2.00 (1.00 to 4.00), whose p-value is 0.0500, and a p-value of the same coefficient."""
    text = swap(
        ('contrast = "TAC x CYC"', 'contrast = "TAC vs not TAC"'),
        ('id = "p-tac-cyc"', 'id = "p"'),
        ("0.040", value),
        ('sign = "+"', sign),
        ("adjusted = true\n", ""),
        ('"products"', '"combined"'),
        text=P_VALUE,
    )
    one = ratio("a", 'contrast = "TAC vs not TAC"', "2.00", "[1.00, 4.00]")
    return parse_study(HEAD + TOTALS + one + text)


@pytest.mark.parametrize("value", ["0.05", "0.049", '"<0.06"'])
def test_p_value_of_a_printed_odds_ratio_agrees(value: str) -> None:
    assert p_of_tac(value, 'sign = "+"').warnings == ()


@pytest.mark.parametrize(
    ("value", "shown"), [("0.40", "p = 0.40"), ("0.0010", "p = 0.0010"), ('"<0.01"', "p < 0.01")]
)
def test_p_value_that_contradicts_its_odds_ratio_is_a_warning(value: str, shown: str) -> None:
    assert p_of_tac(value, "").warnings == (
        f"p is reported as {shown}, but a make it 0.05, beyond rounding",
    )


def test_p_value_on_the_other_side_than_its_odds_ratio_is_a_warning() -> None:
    assert p_of_tac("0.05", 'sign = "-"').warnings != ()


def test_asymmetric_interval_without_a_model_is_a_warning() -> None:
    study = parse_study(swap(("3.20", "3.90"), ('model = "main"\n', "")))
    assert study.warnings == (f"tac: {SKEWED}",)


@pytest.mark.parametrize("interval", ["profile", "exact"])
def test_only_wald_intervals_are_symmetric(interval: str) -> None:
    study = parse_study(swap(("3.20]", f'3.90]\ninterval = "{interval}"')))
    assert study.warnings == ()
    assert study.reported_estimates[0].interval == interval


def test_rounding_explains_a_little_asymmetry() -> None:
    # 0.1 is anything from 0.05 to 0.15, so that its middle with 3.20 says little.
    text = swap(("value = 2.00", "value = 0.60"), ("[1.25, 3.20]", "[0.1, 3.20]"))
    assert parse_study(text).warnings == ()


def test_claims_of_a_study_with_all_counted_stay_checks() -> None:
    study = parse_study(
        HEAD
        + ARMS
        + total("all", 180, 59)
        + ratio("a", 'contrast = "TAC+CYC vs CYC"', "2.00", "[1.00, 4.00]")
        + ratio("b", 'contrast = "CYC vs TAC+CYC"', "0.60", "[0.30, 1.20]")
    )
    assert (study.has_uncounted, study.present) == (False, ("TAC", "CYC", "TAC+CYC"))
    assert not any(
        is_used(study, reported_estimate) for reported_estimate in study.reported_estimates
    )
    assert estimates_of(study) is None
    assert incompatibilities(study) == []
    assert study.warnings == ()
    assert sizes_of(study).fixed.tolist() == [40, 60, 80]


# --- Numbers -------------------------------------------------------------------------------------


def claim_of(study: Study, name: str) -> ReportedEstimate:
    (reported_estimate,) = (
        reported_estimate
        for reported_estimate in study.reported_estimates
        if reported_estimate.id == name
    )
    return reported_estimate


@pytest.mark.parametrize(
    ("written", "value", "half", "shown"),
    [
        ("0.040", 0.04, 0.0005, "p = 0.040"),
        ("0.04", 0.04, 0.005, "p = 0.04"),
        ("1", 1.0, 0.5, "p = 1"),
        ("2.5e-4", 0.00025, 0.000005, "p = 0.00025"),
        ('"<0.001"', 0.001, 0.0005, "p < 0.001"),
        ('"<.001"', 0.001, 0.0005, "p < 0.001"),
        ('" < 0.05 "', 0.05, 0.005, "p < 0.05"),
    ],
)
def test_p_values_keep_their_digits(written: str, value: float, half: float, shown: str) -> None:
    reported_estimate = claim_of(parse_study(p_value(written)), "p-tac-cyc")
    assert reported_estimate.value == RoundedNumber(value, pytest.approx(half, rel=1e-12))
    assert reported_estimate.is_below == ("<" in written)
    assert (
        reported_estimate.ci,
        reported_estimate.has_interval,
        reported_estimate.as_reported,
    ) == (None, False, shown)


def test_what_a_claim_turns_into() -> None:
    study = parse_study(p_value("0.040"))
    assert study.arms == ()
    tac, p = study.reported_estimates
    assert (tac.kind, tac.meaning) == ("odds_ratio", Meaning("sets", ("TAC", "not TAC")))
    assert (tac.value, tac.level, tac.interval) == (RoundedNumber(2.0, 0.005), 0.95, "wald")
    assert tac.ci == (RoundedNumber(1.25, 0.005), RoundedNumber(3.2, 0.005))
    assert (tac.adjusted, tac.model, tac.sign, tac.as_reported) == (
        True,
        "main",
        "",
        "2.00 (1.25 to 3.20)",
    )
    assert (p.kind, p.meaning) == ("p_value", Meaning("product", ("TAC", "CYC")))
    assert (p.adjusted, p.model, p.sign, p.source) == (True, "products", "+", "abstract")


@pytest.mark.parametrize(
    ("written", "kind", "words"),
    [
        ('contrast = "MMF+TAC vs CYC"', "regimens", ("TAC+MMF", "CYC")),
        ('contrast = "MMF x CYC | treatments"', "adjusted_product", ("MMF", "CYC")),
        (
            'contrast = "TAC x CYC | TAC x MMF"',
            "products",
            (("TAC", "CYC"), ("TAC", "MMF")),
        ),
        (
            'contrast = "not TAC < TAC and not CYC < TAC and CYC"',
            "trend",
            ("not TAC", "TAC and not CYC", "TAC and CYC"),
        ),
    ],
)
def test_meanings(written: str, kind: str, words: tuple[object, ...]) -> None:
    assert claim_of(parse_study(meaning(written)), "p-tac-cyc").meaning == Meaning(kind, words)


def test_what_is_used() -> None:
    study = parse_study(
        TRIO
        + P_VALUE.replace('"p-tac-cyc"', '"shown"').replace(
            'contrast = "TAC x CYC"', 'contrast = "unspecified: dose"'
        )
        + P_VALUE.replace('"p-tac-cyc"', '"trend"').replace('"p_value"', '"p_trend"')
    )
    assert {
        reported_estimate.id: is_used(study, reported_estimate)
        for reported_estimate in study.reported_estimates
    } == {
        "tac": True,
        "p-tac-cyc": True,
        "shown": False,
        "trend": False,
    }


def test_flagship_is_redundant_and_agrees() -> None:
    study = load_study("sun2024")
    assert study.warnings == ()
    numbers = estimates_of(study)
    assert numbers is not None
    four_ids = ("tac-cyc-vs-cyc", "tac-mmf-vs-cyc", "tac-cyc-vs-mmf", "tac-mmf-vs-mmf")
    assert tuple(numbers.names[at] for at in numbers.kept) == ("tac", *four_ids[:3], "events[all]")
    (one,) = numbers.dependences
    assert (one.name, one.others) == (four_ids[3], four_ids[:3])
    assert one.implied == pytest.approx(2.43 * 3.14 / 2.15)
    assert round(one.implied, 3) == 3.549
    assert one.agrees


# --- Readings ------------------------------------------------------------------------------------

THREE_READINGS = (
    TRIO
    + interpretation("other", 'p-tac-cyc = { contrast = "TAC x MMF", model = "mmf" }')
    + interpretation("plain", default=True)
    + interpretation("shown", 'p-tac-cyc = { contrast = "unspecified: synergy" }')
)


def test_default_interpretation_comes_first() -> None:
    study = parse_study(THREE_READINGS)
    assert [one.id for one in study.interpretations] == ["plain", "other", "shown"]
    assert (study.interpretation, study.is_default) == ("plain", True)
    assert study.interpretations[0].words == "as plain says"
    assert study.reported_estimates == parse_study(TRIO).reported_estimates


def test_interpretations_change_contrasts() -> None:
    study = parse_study(THREE_READINGS)
    plain = claim_of(study, "p-tac-cyc")
    other = claim_of(study.resolve("other"), "p-tac-cyc")
    shown = claim_of(study.resolve("shown"), "p-tac-cyc")
    assert (plain.meaning, plain.model) == (Meaning("product", ("TAC", "CYC")), "products")
    assert (other.meaning, other.model) == (Meaning("product", ("TAC", "MMF")), "mmf")
    assert (shown.meaning, shown.about, shown.model) == (None, "synergy", "products")
    assert {one.value for one in (plain, other, shown)} == {plain.value}
    for name in ("other", "shown"):
        assert not study.resolve(name).is_default
        assert study.resolve(name).resolve("plain") == study
        assert claim_of(study.resolve(name), "tac") == claim_of(study, "tac")


def test_unknown_interpretation() -> None:
    with pytest.raises(InterpretationError) as caught:
        parse_study(THREE_READINGS).resolve("abstract")
    assert str(caught.value) == (
        "trio has no interpretation 'abstract'; its interpretations are plain, other, shown"
    )


def test_flagship_interpretations() -> None:
    study = load_study("sun2024")
    assert [one.id for one in study.interpretations] == [
        "odds-ratios",
        "four-set-products",
        "mutually-adjusted-products",
        "abstract-wording",
    ]
    assert study.is_default
    used = {
        one.id: [c.id for c in one.reported_estimates if is_used(study.resolve(one.id), c)]
        for one in study.interpretations
    }
    combinations = ["tac-cyc-vs-cyc", "tac-mmf-vs-cyc", "tac-cyc-vs-mmf", "tac-mmf-vs-mmf"]
    assert used["odds-ratios"] == used["abstract-wording"] == ["tac", *combinations]
    assert used["four-set-products"] == ["tac", *combinations, "p-tac-cyc", "p-tac-mmf"]
    wording = study.resolve("abstract-wording")
    assert claim_of(wording, "tac-mmf-vs-cyc").meaning == Meaning("product", ("TAC", "MMF"))
    assert claim_of(wording, "tac-cyc-vs-mmf").model == "interaction"


# --- Cohorts that are counted in part ------------------------------------------------------------

SEVEN = ("TAC", "CYC", "MMF", "TAC+CYC", "TAC+MMF", "CYC+MMF", "TAC+CYC+MMF")


@pytest.mark.parametrize(
    "text",
    [
        mixed(total("all", 200)),
        mixed(total("all", 200, 70)),
        mixed(total("all", 200), about='contrast = "TAC vs not TAC"'),
        mixed(total("all", 200), about='contrast = "TAC x MMF"'),
        pytest.param(
            mixed(total("all", 200), about='contrast = "MMF+TAC vs CYC"'),
        ),
        pytest.param(
            mixed(total("all", 200), total("CYC", 150)),
        ),
        pytest.param(
            mixed(total("all", 200), about='contrast = "unspecified: in words"')
            + interpretation("a", 'm = { contrast = "TAC+MMF vs CYC" }', default=True),
        ),
    ],
    ids=["n", "events", "sets", "product", "another order", "two totals", "interpretation"],
)
def test_mixed_study(text: str) -> None:
    study = parse_study(text)
    assert study.has_uncounted
    assert study.counted == ("TAC", "CYC", "TAC+CYC")
    assert study.present == SEVEN
    assert is_used(study, study.reported_estimates[0])


def test_claim_of_counted_arms_says_nothing_more_in_a_mixed_study() -> None:
    study = parse_study(
        mixed(total("all", 200))
        + ratio("counted", 'contrast = "TAC+CYC vs CYC"', "2.00", "[1.00, 4.00]")
    )
    assert [
        is_used(study, reported_estimate) for reported_estimate in study.reported_estimates
    ] == [True, False]


def test_claims_alone() -> None:
    study = parse_study(TRIO)
    assert study.has_uncounted
    assert (study.counted, study.n.tolist(), study.events.tolist()) == ((), [], [])
    assert study.present == study.admitted == SEVEN


# All who had TAC are counted, so nobody had TAC with MMF.
EXHAUSTED = mixed(total("all", 200), total("TAC", 120), about='contrast = "CYC+MMF vs CYC"')


def test_regimens_that_a_total_leaves_nobody_for_are_not_present() -> None:
    study = parse_study(EXHAUSTED)
    assert study.present == ("TAC", "CYC", "MMF", "TAC+CYC", "CYC+MMF")
    assert (sizes_of(study).typical > 0).all()


def test_law_is_finite_where_a_total_leaves_nobody_for_a_regimen() -> None:
    study = parse_study(EXHAUSTED)
    numbers = estimates_of(study)
    assert numbers is not None
    at = np.zeros(len(study.present))
    with np.errstate(all="ignore"):
        law = joint_distribution(np, numbers, at, None, None, sizes_of(study).typical, 0.0)
    assert np.isfinite(law.mean).all()
    assert np.isfinite(law.covariance).all()


# --- Sizes ---------------------------------------------------------------------------------------


def test_sizes_of_a_partition() -> None:
    sizes = sizes_of(parse_study(TRIO))
    # TAC, TAC+CYC, TAC+MMF, all three: 150; CYC, MMF, CYC+MMF: 250.
    assert sizes.blocks == (
        ((0, 3, 4, 6), pytest.approx(150)),
        ((1, 2, 5), pytest.approx(250)),
    )
    assert sizes.fixed.tolist() == [0] * 7
    assert (sizes.polytope, sizes.are_known) == (None, True)
    assert sizes.variables == ("share_1", "share_2")
    np.testing.assert_allclose(sizes.typical, [37.5, 250 / 3, 250 / 3, 37.5, 37.5, 250 / 3, 37.5])


def test_sizes_of_regimens_that_stand_alone_are_fixed() -> None:
    # MMF alone is whoever has neither TAC nor CYC.
    sizes = sizes_of(
        parse_study(
            with_totals(total("all", 400), total("TAC", 150), total("CYC and not TAC", 200))
        )
    )
    np.testing.assert_allclose(sizes.fixed, [0, 0, 50, 0, 0, 0, 0], atol=1e-9)
    assert sizes.blocks == (((0, 3, 4, 6), pytest.approx(150)), ((1, 5), pytest.approx(200)))


def test_counted_arms_are_taken_from_totals() -> None:
    sizes = sizes_of(parse_study(mixed(total("all", 200), total("TAC", 132))))
    np.testing.assert_allclose(sizes.fixed, [40, 60, 0, 80, 0, 0, 0])
    assert sizes.blocks == (((2, 5), pytest.approx(8)), ((4, 6), pytest.approx(12)))
    np.testing.assert_allclose(sizes.typical, [40, 60, 4, 80, 6, 4, 6])


def test_sizes_without_totals_are_shares() -> None:
    sizes = sizes_of(parse_study(HEAD + RATIO))
    assert not sizes.are_known
    assert sizes.blocks == ((tuple(range(7)), 1.0),)
    np.testing.assert_allclose(sizes.typical, 1 / 7)


def overlapping(*totals: tuple[str, int]) -> tuple[Study, Polytope, NDArray[np.float64]]:
    """Return a study of overlapping totals, what they leave open, and sizes drawn from it."""
    study = parse_study(with_totals(*(total(*one) for one in totals)))
    sizes = sizes_of(study)
    polytope = sizes.polytope
    assert polytope is not None
    assert sizes.blocks == ()
    assert sizes.variables == ("share",)
    assert sizes.loose == tuple(range(len(study.present)))
    np.testing.assert_array_equal(sizes.typical, polytope.centre)
    draws = polytope.draws(2000, np.random.default_rng(1))
    return study, polytope, polytope.centre + draws @ polytope.basis.T


def test_overlapping_totals_hold_in_every_draw() -> None:
    totals = (("all", 400), ("TAC", 150), ("CYC", 200), ("MMF", 180))
    study, polytope, sizes = overlapping(*totals)
    assert polytope.basis.shape == (7, 3)
    np.testing.assert_allclose(polytope.basis.T @ polytope.basis, np.eye(3), atol=1e-12)
    assert (polytope.centre > 0).all()
    assert sizes.min() > -1e-9
    for patients, n in totals:
        np.testing.assert_allclose(sizes[:, study.members(patients, study.present)].sum(1), n)


def two_drugs() -> Study:
    """Overlap in one dimension: TAC 60 and CYC 50 of 100, all regimens of the two allowed."""
    head = swap(
        ('MMF = { name = "mycophenolate" }\n', ""),
        ('inclusion = "any(TAC, CYC, MMF)"\n', ""),
        text=HEAD,
    )
    return parse_study(head + total("all", 100) + total("TAC", 60) + total("CYC", 50) + RATIO)


def test_one_free_size_is_uniform_on_what_is_possible() -> None:
    # With x on both drugs 60 - x have TAC alone, 50 - x CYC alone, x - 10 none: 10 ≤ x ≤ 50.
    study = two_drugs()
    assert study.present == ("none", "TAC", "CYC", "TAC+CYC")
    polytope = sizes_of(study).polytope
    assert polytope is not None
    draws = polytope.draws(4000, np.random.default_rng(2))
    assert draws.shape == (4000, 1)
    none, tac, cyc, both = (polytope.centre + draws @ polytope.basis.T).T
    np.testing.assert_allclose(np.c_[none, tac, cyc], np.c_[both - 10, 60 - both, 50 - both])
    assert kstest(both, uniform(10, 40).cdf).pvalue > 0.01


def test_free_sizes_of_one_total_are_those_of_a_flat_dirichlet() -> None:
    polytope = Polytope(np.full(4, 25.0), null_space(np.ones((1, 4))))
    sizes = polytope.centre + polytope.draws(4000, np.random.default_rng(3)) @ polytope.basis.T
    np.testing.assert_allclose(sizes.sum(1), 100)
    for share in sizes.T / 100:
        assert kstest(share, beta(1, 3).cdf).pvalue > 0.01


def test_draws_of_sizes_follow_their_seed() -> None:
    polytope = sizes_of(two_drugs()).polytope
    assert polytope is not None
    first, again = (polytope.draws(5, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
