"""Study files: what is wrong with a broken one, and what a good one turns into."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from cotreat.study.study import Meaning, ReportedEstimate, RoundedNumber, Sequential, Study
from cotreat.study_file.reader import StudyError, load_study, packaged, parse_study
from cotreat.study_file.shape import NO_HAZARDS

HEAD = """
format = 1

[study]
id = "toy"
title = "Toy study"
design = "cohort"
inclusion = "any(TAC, CYC)"
source = "Toy 2024"

[outcome]
name = "remission"
direction = "benefit"

[baseline]
risk = [0.05, 0.40]
source = "registry"

[treatments.TAC]
name = "tacrolimus"

[treatments.CYC]
name = "cyclophosphamide"

[treatments.MMF]
name = "mycophenolate"
"""

# The larger arms stand first: what follows the lattice must not follow the file.
ARMS = """
[[arms]]
regimen = "CYC+TAC"
n = 80
events = 32
source = "Toy 2024, figure 1"

[[arms]]
regimen = "CYC"
n = 60
events = 15

[[arms]]
regimen = "TAC"
n = 40
events = 12
"""

TOTAL = """
[[totals]]
patients = "TAC"
n = 120
events = 44
"""

CLAIM = """
[[reported]]
id = "joint"
kind = "odds_ratio"
contrast = "TAC+CYC vs CYC"
value = 2.40
ci = [1.15, 5.00]
source = "Toy 2024, table 2"
"""

TOY = HEAD + ARMS + TOTAL + CLAIM

NOT_A_SET = (
    "is not a set of patients; write for example all, none, A, not A, any(A, B), A and not B"
)
CONTRAST = (
    'a contrast such as "A+B vs B", "A vs not A", "all with A vs all with B", '
    '"not A < A and not B < A and B", "A x B", "A x B | treatments", "A x B | A x C", '
    '"unspecified: WORDS"'
)
TEXT = "a text that is not empty"
COUNT = "a whole number from 0 to 1,000,000,000"
COUNT_FROM_1 = "a whole number from 1 to 1,000,000,000"
POSITIVE = "a number above 0"
INTERVAL = "[lower, upper] with 0 < lower < upper"
BASELINE = '[baseline]\nrisk = [0.05, 0.40]\nsource = "registry"\n'
RISK = "[lower, upper] with 0 < lower < upper < 1, the central 95 % of the risk"
TREATMENT_ID = (
    "a treatment's id must be a letter A-Z or a-z followed by letters, digits or _, and "
    "no word of set expressions or of Python (all, any, none, vs, not, and, is, …)"
)
SECTIONS = "format, study, outcome, baseline, margins, treatments, subgroups, sequential, arms, totals, reported, interpretations, patients, patterns"

# Only their length is wrong with them.
LONG_NUMBER = "9" * 5000
LONG_SET = " or ".join(["TAC"] * 80)


def swap(*edits: tuple[str, str]) -> str:
    text = TOY
    for old, new in edits:
        # An edit that hits nothing, or two places, would test something else than its case says.
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def drop(*lines: str) -> str:
    return swap(*((line + "\n", "") for line in lines))


def with_arm(regimen: str, n: int = 10, events: int = 5) -> str:
    return TOY + f'\n[[arms]]\nregimen = "{regimen}"\nn = {n}\nevents = {events}\n'


def with_treatments(*ids: str) -> str:
    return TOY + "".join(f'\n[treatments."{name}"]\nname = "drug"\n' for name in ids)


def with_total(patients: str, n: int) -> str:
    return TOY + f'\n[[totals]]\npatients = "{patients}"\nn = {n}\n'


def with_sides(text: str) -> str:
    return swap(('contrast = "TAC+CYC vs CYC"\n', text))


def n_of_cyc(value: str) -> str:
    return swap(("n = 60", f"n = {value}"))


def events_of_cyc(value: str) -> str:
    return swap(("events = 15", f"events = {value}"))


def level(value: str) -> str:
    return swap(("value = 2.40", f"value = 2.40\nlevel = {value}"))


def value_of_claim(value: str) -> str:
    return swap(("value = 2.40", f"value = {value}"))


def ci_of_claim(value: str) -> str:
    return swap(("[1.15, 5.00]", value))


def risk(value: str) -> str:
    return swap(("[0.05, 0.40]", value))


def without_outcome(*edits: tuple[str, str]) -> str:
    table = '[outcome]\nname = "remission"\ndirection = "benefit"\n'
    return 'outcome = "remission"\n' + swap((table, ""), *edits)


def bad_n(shown: str, hint: str = "") -> tuple[str, ...]:
    return (f"arms[2].n: is {shown}; it must be {COUNT_FROM_1}{hint}",)


def bad_value(shown: str) -> tuple[str, ...]:
    return (f"reported[1].value: is {shown}; it must be {POSITIVE}",)


def bad_ci(shown: str) -> tuple[str, ...]:
    return (f"reported[1].ci: is {shown}; it must be {INTERVAL}",)


def bad_level(shown: str) -> tuple[str, ...]:
    return (f"reported[1].level: is {shown}; it must be a number between 0 and 1, such as 0.95",)


def bad_risk(shown: str) -> tuple[str, ...]:
    return (f"baseline.risk: is {shown}; it must be {RISK}",)


def bad_id(shown: str) -> tuple[str, ...]:
    right = "lower-case letters, digits, - and _ (it names a folder)"
    return (f"study.id: is {shown}; it must be {right}",)


FILES = {
    "not TOML": (
        swap(('title = "Toy study"', "title: Toy study")),
        ("not TOML: Expected '=' after a key in a key/value pair (at line 6, column 6)",),
    ),
    "key twice": (
        swap(('id = "toy"', 'id = "toy"\nid = "toy"')),
        ("not TOML: Cannot overwrite a value (at line 6, column 11)",),
    ),
    "unknown section, one near": (
        TOY.replace("[[totals]]", "[[total]]"),
        ("total: unknown key; did you mean totals?",),
    ),
    "unknown section, none near": (
        TOY + '[funding]\nby = "us"\n',
        (f"funding: unknown key; known are {SECTIONS}",),
    ),
    "unknown key, one near": (
        swap(('name = "remission"', 'name = "remission"\ntme = "6 months"')),
        ("outcome.tme: unknown key; did you mean time?",),
    ),
    "unknown key, none near": (
        swap(('name = "remission"', 'name = "remission"\ncolour = "blue"')),
        ("outcome.colour: unknown key; known are name, time, direction, synergy_on",),
    ),
    "misspelt required key": (
        swap(("events = 15", "evnts = 15")),
        (
            "arms[2].evnts: unknown key; did you mean events?",
            f"arms[2].events: missing; it must be {COUNT}",
        ),
    ),
    "section is no table": (
        'baseline = "low"\n' + drop("[baseline]", "risk = [0.05, 0.40]", 'source = "registry"'),
        ("baseline: must be a table with the keys risk, regimen, source",),
    ),
    "study is no table": (
        'format = 1\nstudy = "toy"\n' + TOY[TOY.index("[outcome]") :],
        (
            "study: must be a table with the keys id, title, design, randomised, source, doi, inclusion",
        ),
    ),
    "outcome is no table": (
        without_outcome(),
        ("outcome: must be a table with the keys name, time, direction, synergy_on",),
    ),
    "outcome is no table, arms and claims are wrong": (
        without_outcome(("events = 15", "events = 61"), ("[1.15, 5.00]", "[2.50, 5.00]")),
        (
            "outcome: must be a table with the keys name, time, direction, synergy_on",
            "arms[2].events: 61 events in 60 patients; at most 60 can be",
            "reported[1].ci: (2.50, 5.00) does not contain the estimate 2.40",
        ),
    ),
    "outcome is no table, totals are wrong": (
        without_outcome(("n = 120", "n = 121")),
        (
            "outcome: must be a table with the keys name, time, direction, synergy_on",
            "totals[1].n: 121 reported for 'TAC', but its arms add up to 120",
        ),
    ),
    "reading without its keys": (
        TOY + '[[interpretations]]\nreader = "A"\n',
        (
            "interpretations[1].reader: unknown key; known are id, words, default, means",
            "interpretations[1].id: missing; it must be lower-case letters, digits, - and _ "
            "(it names a folder)",
            f"interpretations[1].words: missing; it must be {TEXT}",
            "interpretations: exactly one must say default = true",
        ),
    ),
    "number of thousands of digits": (
        n_of_cyc(LONG_NUMBER),
        (
            "not TOML: Exceeds the limit (4300 digits) for integer string conversion: "
            "value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit",
        ),
    ),
}

STUDY = {
    "several studies": (
        swap(("[study]", "[[study]]")),
        ("study: several studies in one file are not supported; write one file each",),
    ),
    "no id": (
        drop('id = "toy"'),
        ("study.id: missing; it must be lower-case letters, digits, - and _ (it names a folder)",),
    ),
    "no design": (
        drop('design = "cohort"'),
        ('study.design: missing; it must be "cohort" or "randomised" or "case-control"',),
    ),
    "no direction": (
        drop('direction = "benefit"'),
        ('outcome.direction: missing; it must be "benefit" or "harm"',),
    ),
    "no source": (drop('source = "Toy 2024"'), (f"study.source: missing; it must be {TEXT}",)),
    "title of blanks": (
        swap(('"Toy study"', '"  "')),
        (f"study.title: is '  '; it must be {TEXT}",),
    ),
    "empty doi": (
        swap(('id = "toy"', 'id = "toy"\ndoi = ""')),
        (f"study.doi: is ''; it must be {TEXT}",),
    ),
    "id with capitals": (swap(('"toy"', '"Toy"')), bad_id("'Toy'")),
    "id that leaves the folder": (swap(('"toy"', '"../toy"')), bad_id("'../toy'")),
    "id that ends the line": (swap(('"toy"', '"toy\\n"')), bad_id(r"'toy\n'")),
    "unknown design": (
        swap(('"cohort"', '"Cohort"')),
        (
            'study.design: is \'Cohort\'; it must be "cohort" or "randomised" or "case-control"; did you mean cohort?',
        ),
    ),
    "unknown direction": (
        swap(('"benefit"', '"good"')),
        ('outcome.direction: is \'good\'; it must be "benefit" or "harm"; did you mean benefit?',),
    ),
    "case-control without a scale": (
        swap(('"cohort"', '"case-control"'), (BASELINE, "")),
        (
            'outcome.synergy_on: missing; a case-control study must say "event" or "non-event" '
            "(additive measures differ between the two)",
        ),
    ),
    "inclusion is no set": (
        swap(('"any(TAC, CYC)"', '"TAC + CYC"')),
        (f"study.inclusion: 'TAC + CYC' {NOT_A_SET}",),
    ),
    "inclusion names a stranger": (
        swap(('"any(TAC, CYC)"', '"any(TAC, CYC, AZA)"')),
        ("study.inclusion: 'any(TAC, CYC, AZA)' names AZA; the treatments are CYC, MMF, TAC",),
    ),
    "inclusion too long": (
        swap(('"any(TAC, CYC)"', f'"{LONG_SET}"')),
        (f"study.inclusion: {LONG_SET!r} {NOT_A_SET}",),
    ),
    "baseline of an unknown regimen": (
        swap((BASELINE, f'{BASELINE}regimen = "TAX"\n')),
        ("baseline.regimen: unknown treatment TAX; did you mean TAC?",),
    ),
    "baseline in a case-control study": (
        swap(
            ('"cohort"', '"case-control"'),
            ('direction = "benefit"', 'direction = "benefit"\nsynergy_on = "event"'),
        ),
        (
            "baseline: a case-control study has no risks, its sampling sets the share of cases; "
            "remove it",
        ),
    ),
    "baseline reversed": (risk("[0.40, 0.05]"), bad_risk("[0.40, 0.05]")),
    "baseline from 0": (risk("[0, 0.40]"), bad_risk("[0, 0.40]")),
    "baseline up to 1": (risk("[0.05, 1.0]"), bad_risk("[0.05, 1.0]")),
    "baseline in per cent": (risk("[5, 40]"), bad_risk("[5, 40]")),
    "baseline from nan": (risk("[nan, 0.40]"), bad_risk("[nan, 0.40]")),
    "baseline up to nan": (risk("[0.05, nan]"), bad_risk("[0.05, nan]")),
    "baseline up to inf": (risk("[0.05, inf]"), bad_risk("[0.05, infinity]")),
    "baseline from 0 as a float": (risk("[1e-400, 0.40]"), bad_risk("[1e-400, 0.40]")),
    "baseline up to 1 as a float": (
        risk(f"[0.05, 0.{'9' * 20}]"),
        bad_risk(f"[0.05, 0.{'9' * 20}]"),
    ),
}

TREATMENTS = {
    "one treatment": (
        drop(
            "[treatments.CYC]",
            'name = "cyclophosphamide"',
            "[treatments.MMF]",
            'name = "mycophenolate"',
        ),
        ('treatments: must be at least two tables such as [treatments.A] with name = "drug A"',),
    ),
    "seven treatments": (
        with_treatments("D", "E", "F", "G"),
        ("treatments: 7 treatments; at most 6 are supported",),
    ),
    "id with a hyphen": (with_treatments("anti-CD20"), (f"treatments.anti-CD20: {TREATMENT_ID}",)),
    "id begins with a digit": (with_treatments("6MP"), (f"treatments.6MP: {TREATMENT_ID}",)),
    "reserved id any": (with_treatments("any"), (f"treatments.any: {TREATMENT_ID}",)),
    "reserved id none": (with_treatments("none"), (f"treatments.none: {TREATMENT_ID}",)),
    "reserved id all": (with_treatments("all"), (f"treatments.all: {TREATMENT_ID}",)),
    "word of Python": (with_treatments("is"), (f"treatments.is: {TREATMENT_ID}",)),
    "id with an umlaut": (with_treatments("ÄZA"), (f"treatments.ÄZA: {TREATMENT_ID}",)),
    "id in Greek": (with_treatments("β"), (f"treatments.β: {TREATMENT_ID}",)),
    # Python takes the wide A for a plain one, so that two ids would mean the same treatment.
    "id of wide letters": (with_treatments("ＴＡＣ"), (f"treatments.ＴＡＣ: {TREATMENT_ID}",)),
    "no table": (
        swap(('[treatments.TAC]\nname = "tacrolimus"', '[treatments]\nTAC = "tacrolimus"')),
        ("treatments.TAC: must be a table with the keys name, dose, duration",),
    ),
    "no name": (
        drop('name = "tacrolimus"'),
        (f"treatments.TAC.name: missing; it must be {TEXT}",),
    ),
}

ARM_CASES = {
    "n is text": (n_of_cyc('"60"'), bad_n("'60'", "; write 60, without quotation marks")),
    "n is a float": (n_of_cyc("60.0"), bad_n("60.0")),
    "n is a bool": (n_of_cyc("true"), bad_n("true")),
    "n is negative": (n_of_cyc("-60"), bad_n("-60")),
    "n is zero": (n_of_cyc("0"), bad_n("0")),
    "n is nan": (n_of_cyc("nan"), bad_n("nan")),
    "n is infinite": (n_of_cyc("inf"), bad_n("infinity")),
    "n above a thousand millions": (n_of_cyc("1_000_000_001"), bad_n("1000000001")),
    "events above a thousand millions": (
        events_of_cyc("1_000_000_001"),
        (f"arms[2].events: is 1000000001; it must be {COUNT}",),
    ),
    "events above n": (
        events_of_cyc("61"),
        ("arms[2].events: 61 events in 60 patients; at most 60 can be",),
    ),
    "events negative": (
        events_of_cyc("-1"),
        (f"arms[2].events: is -1; it must be {COUNT}",),
    ),
    "unknown treatment, one near": (
        with_arm("CYC+MMV"),
        ("arms[4].regimen: unknown treatment MMV; did you mean MMF?",),
    ),
    "unknown treatment, none near": (
        with_arm("CYC+rituximab"),
        ("arms[4].regimen: unknown treatment rituximab; the treatments are TAC, CYC, MMF",),
    ),
    "none with a capital": (
        with_arm("None"),
        ("arms[4].regimen: unknown treatment None; did you mean none?",),
    ),
    "two unknown treatments": (
        with_arm("MMV+TAK"),
        (
            "arms[4].regimen: unknown treatment MMV; did you mean MMF?",
            "arms[4].regimen: unknown treatment TAK; did you mean TAC?",
        ),
    ),
    "commas between treatments": (
        with_arm("CYC,MMF"),
        ("arms[4].regimen: unknown treatment CYC,MMF; did you mean CYC+MMF?",),
    ),
    "small letters": (
        with_arm("cyc+mmf"),
        (
            "arms[4].regimen: unknown treatment cyc; did you mean CYC?",
            "arms[4].regimen: unknown treatment mmf; did you mean MMF?",
        ),
    ),
    "level of a treatment without levels": (
        with_arm("CYC.high"),
        ("arms[4].regimen: unknown level CYC.high; CYC has no levels",),
    ),
    "empty part of a regimen": (
        with_arm("CYC+"),
        ('arms[4].regimen: \'CYC+\' has an empty part; write treatments joined by "+", or "none"',),
    ),
    "treatment twice": (
        with_arm("CYC+MMF+CYC"),
        ("arms[4].regimen: 'CYC+MMF+CYC' names a treatment twice",),
    ),
    "arm twice": (with_arm("CYC", 60, 15), ("arms[4].regimen: CYC is counted in an arm above",)),
    "arm twice in another order": (
        with_arm("TAC+CYC", 80, 32),
        ("arms[4].regimen: TAC+CYC is counted in an arm above",),
    ),
    "arm forbidden": (
        with_arm("MMF"),
        ("arms[4].regimen: MMF is forbidden by study.inclusion = 'any(TAC, CYC)'",),
    ),
    "empty regimen forbidden": (
        with_arm("none"),
        ("arms[4].regimen: none is forbidden by study.inclusion = 'any(TAC, CYC)'",),
    ),
    "no arms": (
        HEAD,
        (
            "arms: at least two regimens must have patients; write one [[arms]] for each of them, "
            "or [[reported]] for each published estimate",
        ),
    ),
    "arms are a table": (
        HEAD + '[arms]\nregimen = "TAC"\nn = 40\nevents = 12\n',
        ("arms: must be a list of tables, each begun by [[arms]]",),
    ),
    # Claims alone are a study, but somebody who never had TAC stands in no total.
    "no arms, total and claim": (
        HEAD + TOTAL + CLAIM,
        (
            "totals: no total holds CYC, CYC+MMF, so their number of patients is unknown; "
            'add the total of patients = "all"',
        ),
    ),
    # The total and the claim are right: nothing may be said about them.
    "one arm, total and claim": (
        HEAD + "[[arms]]" + ARMS.split("[[arms]]")[1] + TOTAL + CLAIM,
        ("arms: at least two regimens must have patients; write one [[arms]] for each of them",),
    ),
    "n missing in an arm of the total": (
        drop("n = 80"),
        (f"arms[1].n: missing; it must be {COUNT_FROM_1}",),
    ),
    "events are text in an arm of the total": (
        swap(("events = 12", 'events = "12"')),
        (f"arms[3].events: is '12'; it must be {COUNT}; write 12, without quotation marks",),
    ),
    "misspelt regimen of the total": (
        swap(('regimen = "TAC"', 'regimen = "TAK"')),
        ("arms[3].regimen: unknown treatment TAK; did you mean TAC?",),
    ),
    "misspelt regimen of the claim": (
        swap(('regimen = "CYC"', 'regimen = "CYX"')),
        ("arms[2].regimen: unknown treatment CYX; did you mean CYC?",),
    ),
    "twice, in the total": (
        with_arm("TAC"),
        ("arms[4].regimen: TAC is counted in an arm above",),
    ),
    # What is wrong with the total and the claim by themselves is said all the same.
    "wrong as well as total and claim": (
        swap(
            ("n = 80", "n = 0"),
            ('patients = "TAC"', 'patients = "TAC+CYC"'),
            ('contrast = "TAC+CYC vs CYC"', 'contrast = "all with AZA vs all with CYC"'),
            ("[1.15, 5.00]", "[2.50, 5.00]"),
        ),
        (
            f"arms[1].n: is 0; it must be {COUNT_FROM_1}",
            f"totals[1].patients: 'TAC+CYC' {NOT_A_SET}",
            "reported[1].contrast: 'AZA' names AZA; the treatments are CYC, MMF, TAC",
            "reported[1].ci: (2.50, 5.00) does not contain the estimate 2.40",
        ),
    ),
}

TOTALS = {
    "n does not add up": (
        swap(("n = 120", "n = 121")),
        ("totals[1].n: 121 reported for 'TAC', but its arms add up to 120",),
    ),
    "events do not add up": (
        swap(("events = 44", "events = 43")),
        ("totals[1].events: 43 reported for 'TAC', but its arms add up to 44",),
    ),
    "unknown treatment": (
        with_total("not AZA", 180),
        ("totals[2].patients: 'not AZA' names AZA; the treatments are CYC, MMF, TAC",),
    ),
    "regimen for a set": (
        with_total("TAC+CYC", 80),
        (f"totals[2].patients: 'TAC+CYC' {NOT_A_SET}",),
    ),
    "set too long": (
        with_total(LONG_SET, 120),
        (f"totals[2].patients: {LONG_SET!r} {NOT_A_SET}",),
    ),
    "n above a thousand millions": (
        swap(("n = 120", "n = 1_000_000_001")),
        (f"totals[1].n: is 1000000001; it must be {COUNT_FROM_1}",),
    ),
    "totals are a table": (
        TOY.replace("[[totals]]", "[totals]"),
        ("totals: must be a list of tables, each begun by [[totals]]",),
    ),
}

CLAIMS = {
    "interval without its estimate": (
        ci_of_claim("[2.50, 5.00]"),
        ("reported[1].ci: (2.50, 5.00) does not contain the estimate 2.40",),
    ),
    "interval reversed": (
        ci_of_claim("[5.00, 1.15]"),
        bad_ci("[5.00, 1.15]"),
    ),
    "interval from nan": (ci_of_claim("[nan, 5.00]"), bad_ci("[nan, 5.00]")),
    "interval up to nan": (ci_of_claim("[1.15, nan]"), bad_ci("[1.15, nan]")),
    "interval up to inf": (ci_of_claim("[1.15, inf]"), bad_ci("[1.15, infinity]")),
    "interval up to more than a float": (ci_of_claim("[1.15, 1e400]"), bad_ci("[1.15, 1e+400]")),
    "interval with a long number": (
        ci_of_claim(f"[1.15, {10**309}]"),
        bad_ci("[1.15, a number of many digits]"),
    ),
    "no contrast": (
        with_sides(""),
        (f"reported[1].contrast: missing; it must be {CONTRAST}",),
    ),
    "contrast and a key of version 0.1": (
        with_sides('contrast = "TAC+CYC vs CYC"\nsets = ["TAC", "not TAC"]\n'),
        ('reported[1].sets: is now contrast = "TAC vs not TAC"',),
    ),
    "contrast is no text": (
        with_sides('contrast = ["TAC", "not TAC"]\n'),
        (f"reported[1].contrast: is ['TAC', 'not TAC']; it must be {CONTRAST}",),
    ),
    "contrast of one regimen": (
        with_sides('contrast = "TAC+CYC"\n'),
        (f"reported[1].contrast: is 'TAC+CYC'; it must be {CONTRAST}",),
    ),
    "contrast of three sets": (
        with_sides('contrast = "TAC vs CYC vs MMF"\n'),
        (f"reported[1].contrast: is 'TAC vs CYC vs MMF'; it must be {CONTRAST}",),
    ),
    "set too long": (
        with_sides(f'contrast = "{LONG_SET} vs not TAC"\n'),
        (f"reported[1].contrast: {LONG_SET!r} {NOT_A_SET}",),
    ),
    "sides overlap": (
        with_sides('contrast = "all with TAC vs all with CYC"\n'),
        ("reported[1].contrast: the sides share patients; they must be disjoint",),
    ),
    "arm against itself": (
        with_sides('contrast = "TAC+CYC vs CYC+TAC"\n'),
        ("reported[1].contrast: the sides share patients; they must be disjoint",),
    ),
    "uncounted arm": (
        with_sides('contrast = "TAC+MMF vs CYC"\n'),
        ("reported[1].contrast: no counted arm belongs to 'TAC+MMF'",),
    ),
    "set without an arm": (
        with_sides('contrast = "MMF vs not MMF"\n'),
        ("reported[1].contrast: no counted arm belongs to 'MMF'",),
    ),
    "side with an unknown treatment": (
        with_sides('contrast = "TAC+CYC vs CYX"\n'),
        ("reported[1].contrast: unknown treatment CYX; did you mean CYC?",),
    ),
    "no source": (
        drop('source = "Toy 2024, table 2"'),
        (f"reported[1].source: missing; it must be {TEXT}",),
    ),
    "unknown kind": (
        swap(('"odds_ratio"', '"hazard_ratio"')),
        (f"reported[1].kind: is 'hazard_ratio', {NO_HAZARDS}",),
    ),
    "level in per cent": (level("95"), bad_level("95")),
    "level 0": (level("0.0"), bad_level("0.0")),
    "level 1": (level("1"), bad_level("1")),
    "level nan": (level("nan"), bad_level("nan")),
    "level inf": (level("inf"), bad_level("infinity")),
    "adjusted is text": (
        swap(("value = 2.40", 'value = 2.40\nadjusted = "yes"')),
        ("reported[1].adjusted: is 'yes'; it must be true or false",),
    ),
    "value 0": (value_of_claim("0"), bad_value("0")),
    "value on the log scale": (value_of_claim("-0.87"), bad_value("-0.87")),
    "value nan": (value_of_claim("nan"), bad_value("nan")),
    "value inf": (value_of_claim("inf"), bad_value("infinity")),
    "value -inf": (value_of_claim("-inf"), bad_value("-infinity")),
    "value of more than a float": (value_of_claim("1e400"), bad_value("1e+400")),
    "value of less than a float": (value_of_claim("1e-400"), bad_value("1e-400")),
    "value of hundreds of digits": (
        value_of_claim(str(10**309)),
        bad_value("a number of many digits"),
    ),
    "id twice": (TOY + CLAIM, ("reported[2].id: joint is the id of an estimate above",)),
    "id twice, the first broken": (
        value_of_claim("0") + CLAIM,
        (*bad_value("0"), "reported[2].id: joint is the id of an estimate above"),
    ),
    "id three times, each broken": (
        ci_of_claim("[2.50, 5.00]") + CLAIM.replace("1.15", "2.50") * 2,
        (
            "reported[1].ci: (2.50, 5.00) does not contain the estimate 2.40",
            "reported[2].id: joint is the id of an estimate above",
            "reported[2].ci: (2.50, 5.00) does not contain the estimate 2.40",
            "reported[3].id: joint is the id of an estimate above",
            "reported[3].ci: (2.50, 5.00) does not contain the estimate 2.40",
        ),
    ),
    "no ids": (
        drop('id = "joint"') + CLAIM.replace('id = "joint"\n', ""),
        (
            f"reported[1].id: missing; it must be {TEXT}",
            f"reported[2].id: missing; it must be {TEXT}",
        ),
    ),
}

BROKEN = {
    f"{group}: {what}": case
    for group, cases in {
        "file": FILES,
        "study": STUDY,
        "treatments": TREATMENTS,
        "arms": ARM_CASES,
        "totals": TOTALS,
        "claims": CLAIMS,
    }.items()
    for what, case in cases.items()
}


@pytest.mark.parametrize(("text", "problems"), BROKEN.values(), ids=BROKEN)
def test_broken_file_says_what_is_wrong(text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    assert caught.value.problems == problems


def test_what_the_broken_files_are_made_from_is_whole() -> None:
    assert parse_study(TOY).id == "toy"


def test_problems_of_all_sections_come_in_one_error() -> None:
    text = swap(
        ('title = "Toy study"\n', ""),
        ('"benefit"', '"good"'),
        ("[0.05, 0.40]", "[0.40, 0.05]"),
        ('name = "mycophenolate"', 'nmae = "mycophenolate"'),
        ("events = 15", "events = 61"),
        ("n = 120", "n = 0"),
        ("[1.15, 5.00]", "[2.50, 5.00]"),
    )
    with pytest.raises(StudyError) as caught:
        parse_study(text, "toy.toml")
    problems = (
        f"study.title: missing; it must be {TEXT}",
        'outcome.direction: is \'good\'; it must be "benefit" or "harm"; did you mean benefit?',
        *bad_risk("[0.40, 0.05]"),
        "treatments.MMF.nmae: unknown key; did you mean name?",
        f"treatments.MMF.name: missing; it must be {TEXT}",
        "arms[2].events: 61 events in 60 patients; at most 60 can be",
        f"totals[1].n: is 0; it must be {COUNT_FROM_1}",
        "reported[1].ci: (2.50, 5.00) does not contain the estimate 2.40",
    )
    assert caught.value.problems == problems
    assert str(caught.value) == "\n  ".join(["toy.toml has 8 problems:", *problems])


def test_totals_and_claims_are_checked_against_arms_when_other_sections_are_wrong() -> None:
    text = swap(
        ('title = "Toy study"\n', ""),
        ('name = "mycophenolate"', 'nmae = "mycophenolate"'),
        ("n = 120", "n = 121"),
        # Sets would also be read on regimens that were not counted, and allow for a larger total.
        ('contrast = "TAC+CYC vs CYC"', 'contrast = "TAC+CYC vs CYC+TAC"'),
    )
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    assert caught.value.problems == (
        f"study.title: missing; it must be {TEXT}",
        "treatments.MMF.nmae: unknown key; did you mean name?",
        f"treatments.MMF.name: missing; it must be {TEXT}",
        "totals[1].n: 121 reported for 'TAC', but its arms add up to 120",
        "reported[1].contrast: the sides share patients; they must be disjoint",
    )


def test_one_problem_is_counted_in_the_singular() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(n_of_cyc("0"), "toy.toml")
    assert str(caught.value).splitlines()[0] == "toy.toml has 1 problem:"


def test_error_survives_pickling() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(n_of_cyc("0"), "toy.toml")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own pickle
    assert type(again) is StudyError
    assert (again.name, again.problems) == ("toy.toml", bad_n("0"))
    assert str(again) == str(caught.value) == f"toy.toml has 1 problem:\n  {bad_n('0')[0]}"


# --- Files ---------------------------------------------------------------------------------------


def problems_of_file(study: str | Path) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        load_study(study)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("isis-2", " (did you mean isis2?)"),
        ("isis2.toml", " (did you mean isis2?)"),
        ("my-studies/oral_cancer.toml", " (did you mean oral-cancer?)"),
        ("isi.toml", " (did you mean isis2?)"),
        ("lupus", ""),
        # Only the stem counts: the folder's name is near a study's, the file's is not.
        ("isis2/lupus.toml", ""),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_missing_file(name: str, hint: str, kind: type) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(kind(name))
    assert str(caught.value) == (
        f"'{name}' has 1 problem:\n"
        f"  no such file and no packaged study{hint}; "
        "packaged are factor-v-leiden, isis2, oral-cancer, sun2024, sun2024-synthetic"
    )


@pytest.mark.parametrize(
    "text",
    [
        "x = 1e99999999999999999999",
        "study.id = 0x" + "f" * 5000,
        "x = " + "[" * 3000,
        "x = " + "{a = " * 3000,
    ],
    ids=["exponent", "hexadecimal", "brackets", "braces"],
)
def test_text_that_exhausts_parsers_is_refused(text: str) -> None:
    with pytest.raises(StudyError):
        parse_study(text)


@pytest.mark.parametrize("rule", ["TAC or CYC # and MMF", "any(ＴＡＣ, CYC)", "1or TAC"])
def test_a_rule_that_python_reads_otherwise_is_refused(rule: str) -> None:
    text = TOY.replace('inclusion = "any(TAC, CYC)"', f'inclusion = "{rule}"')
    assert text != TOY
    with pytest.raises(StudyError, match="is not a set of patients"):
        parse_study(text)


def test_a_baseline_narrower_than_floats_can_tell_is_refused() -> None:
    text = re.sub(r"risk = .*", "risk = [0.1, 0.1000000000000000000001]", TOY)
    with pytest.raises(StudyError, match="0 < lower < upper < 1"):
        parse_study(text)


def test_path_with_nul() -> None:
    with pytest.raises(StudyError):
        load_study("toy\0.toml")


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_bytes(TOY.replace("Toy study", "Étude").encode("latin-1"))
    assert problems_of_file(path) == ("the file is not UTF-8 text",)


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert problems_of_file(tmp_path) == ("the file cannot be read: Is a directory",)


@pytest.mark.parametrize("kind", [str, Path])
def test_file_is_read_like_its_text(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(TOY, encoding="utf-8")
    assert load_study(kind(path)) == parse_study(TOY)


def test_byte_order_mark_is_no_part_of_the_study(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(TOY, encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert load_study(path) == parse_study(TOY)


def test_broken_file_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(n_of_cyc("0"), encoding="utf-8")
    with pytest.raises(StudyError, match=r"^toy\.toml has 1 problem:\n"):
        load_study(path)


# --- Packaged studies ----------------------------------------------------------------------------

# facts.md §2, events and patients: neither, first only, second only, both.
CELLS = {
    "factor-v-leiden": (
        ("none", "FVL", "OC", "FVL+OC"),
        (36, 10, 84, 25),
        (36 + 100, 10 + 4, 84 + 63, 25 + 2),
    ),
    "isis2": (("none", "SK", "ASA", "SK+ASA"), (568, 448, 461, 343), (4300, 4300, 4295, 4292)),
    "oral-cancer": (("none", "ALC", "SMK", "ALC+SMK"), (3, 6, 8, 225), (23, 18, 26, 391)),
}


def test_packaged_names() -> None:
    assert packaged() == (*CELLS, "sun2024", "sun2024-synthetic")


@pytest.mark.parametrize("name", CELLS)
def test_packaged_cells(name: str) -> None:
    study = load_study(name)
    counted, events, n = CELLS[name]
    assert study.id == name
    assert study.counted == counted
    assert tuple(study.events) == events
    assert tuple(study.n) == n


@pytest.mark.parametrize("name", packaged())
def test_packaged_numbers_have_sources(name: str) -> None:
    study = load_study(name)
    numbers = [*study.arms, *study.totals, *study.reported_estimates]
    assert len(numbers) >= 4
    assert all(number.source.strip() for number in numbers)


@pytest.mark.parametrize(
    ("name", "design", "scale"),
    [
        ("factor-v-leiden", "case-control", "event"),
        ("isis2", "randomised", "non-event"),
        ("oral-cancer", "case-control", "event"),
        ("sun2024", "cohort", "event"),
    ],
)
def test_packaged_designs_and_scales(name: str, design: str, scale: str) -> None:
    study = load_study(name)
    assert (study.design, study.outcome.synergy_on) == (design, scale)
    assert study.is_case_control == (design == "case-control")


def test_isis2_margins() -> None:
    totals = {t.patients: (t.events, t.n) for t in load_study("isis2").totals}
    assert totals == {
        "SK": (791, 8592),
        "not SK": (1029, 8595),
        "ASA": (804, 8587),
        "not ASA": (1016, 8600),
    }


def test_factor_v_leiden_claims_follow_from_its_cells() -> None:
    study = load_study("factor-v-leiden")
    as_reported = {
        c.id: (c.value.value, *(end.value for end in c.ci)) for c in study.reported_estimates
    }
    assert as_reported == {"OC": (3.8, 2.4, 6.0), "FVL": (7.9, 3.2, 19.4), "both": (34.7, 7.8, 154)}
    for reported_estimate in study.reported_estimates:
        first, second = (odds(study, side) for side in sides_of(study, reported_estimate))
        assert abs(first / second - reported_estimate.value.value) <= reported_estimate.value.half


def sides_of(study: Study, reported_estimate: ReportedEstimate) -> tuple[set[str], ...]:
    """Counted regimens on either side of a claim of regimens or sets."""
    assert reported_estimate.meaning is not None
    if reported_estimate.meaning.kind == "regimens":
        return tuple({word} for word in reported_estimate.meaning.words)
    counted = np.array(study.counted)
    return tuple(
        set(counted[study.members(w, study.counted)]) for w in reported_estimate.meaning.words
    )


def odds(study: Study, side: set[str]) -> float:
    arms = [arm for arm in study.arms if study.label(arm.regimen) in side]
    events = sum(arm.events for arm in arms)
    return events / (sum(arm.n for arm in arms) - events)


# --- What a good file turns into -----------------------------------------------------------------


def test_digest_is_of_the_content() -> None:
    digest = parse_study(TOY).digest
    assert digest == parse_study(TOY, "another name").digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    for same in (
        "#:schema ./cotreat-study.schema.json\n" + TOY + "# seen again",
        TOY.replace("\n[[", "\n\n\n[["),
        TOY.replace("ci = [1.15, 5.00]", "ci = [\n  1.15, # lower\n  5.00,\n]"),
        swap(
            (
                'name = "remission"\ndirection = "benefit"',
                'direction = "benefit"\nname = "remission"',
            )
        ),
        swap(("value = 2.40", "value = 2.40\nadjusted = false")),
    ):
        assert parse_study(same).digest == digest
    for other in (
        swap(("2.40", "2.4")),
        swap(("events = 15", "events = 16"), ("events = 44", "events = 44")),
        swap(("Toy 2024, table 2", "Toy 2024, table 3")),
        swap(
            ('[treatments.TAC]\nname = "tacrolimus"\n\n', ""),
            ("[treatments.MMF]", '[treatments.TAC]\nname = "tacrolimus"\n\n[treatments.MMF]'),
        ),
    ):
        assert parse_study(other).digest != digest


@pytest.mark.parametrize(
    ("digits", "value", "half"),
    [
        ("2.40", 2.4, 0.005),
        ("2.4", 2.4, 0.05),
        ("3", 3.0, 0.5),
        ("4.000", 4.0, 0.0005),
    ],
)
def test_printed_value_keeps_its_digits(digits: str, value: float, half: float) -> None:
    (reported_estimate,) = parse_study(
        swap(("value = 2.40", f"value = {digits}"))
    ).reported_estimates
    assert reported_estimate.value == RoundedNumber(value, pytest.approx(half, rel=1e-12))


def test_printed_interval_keeps_its_digits() -> None:
    (reported_estimate,) = parse_study(swap(("[1.15, 5.00]", "[1.2, 154]"))).reported_estimates
    lower, upper = reported_estimate.ci
    assert lower == RoundedNumber(1.2, pytest.approx(0.05, rel=1e-12))
    assert upper == RoundedNumber(154.0, 0.5)


@pytest.mark.parametrize(
    ("direction", "written", "scale"),
    [
        ("benefit", "", "event"),
        ("harm", "", "non-event"),
        ("benefit", 'synergy_on = "non-event"', "non-event"),
        ("harm", 'synergy_on = "event"', "event"),
    ],
)
def test_scale_of_synergy(direction: str, written: str, scale: str) -> None:
    text = swap(('direction = "benefit"', f'direction = "{direction}"\n{written}'))
    assert parse_study(text).outcome.synergy_on == scale


def test_case_control_may_name_either_scale() -> None:
    text = swap(
        ('"cohort"', '"case-control"'),
        ('direction = "benefit"', 'direction = "harm"\nsynergy_on = "non-event"'),
        (BASELINE, ""),
    )
    assert parse_study(text).outcome.synergy_on == "non-event"


def test_source_of_the_study_stands_in_where_none_is_written() -> None:
    study = parse_study(TOY)
    assert [arm.source for arm in study.arms] == ["Toy 2024, figure 1", "Toy 2024", "Toy 2024"]
    assert [total.source for total in study.totals] == ["Toy 2024"]


def test_what_may_be_left_out() -> None:
    study = parse_study(drop('inclusion = "any(TAC, CYC)"', "events = 44"))
    assert (study.inclusion, study.doi, study.outcome.time) == ("all", "", "")
    assert study.totals[0].events is None
    (reported_estimate,) = study.reported_estimates
    assert (reported_estimate.level, reported_estimate.adjusted) == (0.95, False)
    assert (
        reported_estimate.interval,
        reported_estimate.model,
        reported_estimate.sign,
        reported_estimate.is_below,
    ) == ("wald", "", "", False)
    assert [
        (interpretation.id, interpretation.reported_estimates)
        for interpretation in study.interpretations
    ] == [("default", study.reported_estimates)]
    assert (study.interpretation, study.is_default, study.warnings) == ("default", True, ())


def test_study_without_baseline() -> None:
    text = drop("[baseline]", "risk = [0.05, 0.40]", 'source = "registry"')
    assert parse_study(text).baseline is None


def test_what_may_be_written() -> None:
    study = parse_study(swap(("value = 2.40", "value = 2.40\nlevel = 0.90\nadjusted = true")))
    (reported_estimate,) = study.reported_estimates
    assert (reported_estimate.level, reported_estimate.adjusted) == (0.9, True)
    assert study.baseline is not None
    assert (study.baseline.lower, study.baseline.upper) == (0.05, 0.4)


@pytest.mark.parametrize(
    "text",
    [
        events_of_cyc("0"),
        events_of_cyc("60"),
        ci_of_claim("[2.40, 5.00]"),
        ci_of_claim("[1.15, 2.40]"),
        with_treatments("D", "E", "F"),
        n_of_cyc("1_000_000_000"),
        swap(('"any(TAC, CYC)"', f'"any(TAC, CYC){" " * 487}"')),
    ],
    ids=[
        "no events",
        "all events",
        "value is lower",
        "value is upper",
        "six treatments",
        "a thousand millions",
        "500 characters",
    ],
)
def test_limits_are_allowed(text: str) -> None:
    assert parse_study(text).id == "toy"


@pytest.mark.parametrize(
    ("written", "meaning", "sides"),
    [
        (
            'contrast = "CYC+TAC vs CYC"',
            Meaning("regimens", ("TAC+CYC", "CYC")),
            ({"TAC+CYC"}, {"CYC"}),
        ),
        (
            'contrast = "TAC vs not TAC"',
            Meaning("sets", ("TAC", "not TAC")),
            ({"TAC", "TAC+CYC"}, {"CYC"}),
        ),
        (
            'contrast = "TAC and not CYC vs CYC"',
            Meaning("sets", ("TAC and not CYC", "CYC")),
            ({"TAC"}, {"CYC", "TAC+CYC"}),
        ),
    ],
)
def test_meaning_of_a_claim(written: str, meaning: Meaning, sides: tuple[set[str], ...]) -> None:
    study = parse_study(with_sides(written + "\n"))
    (reported_estimate,) = study.reported_estimates
    assert (reported_estimate.meaning, reported_estimate.about) == (meaning, "")
    assert sides_of(study, reported_estimate) == sides


def test_a_claim_that_is_only_shown_means_nothing() -> None:
    (reported_estimate,) = parse_study(
        with_sides('contrast = "unspecified: dose"\n')
    ).reported_estimates
    assert (reported_estimate.meaning, reported_estimate.about) == (None, "dose")


def test_none_is_a_set() -> None:
    none = '\n[[arms]]\nregimen = "none"\nn = 10\nevents = 5\n'
    total = '\n[[totals]]\npatients = "none"\nn = 10\nevents = 5\n'
    sides = ('contrast = "TAC+CYC vs CYC"', 'contrast = "not none vs none"')
    study = parse_study(swap(('"any(TAC, CYC)"', '"none or TAC or CYC"'), sides) + none + total)
    assert [t.patients for t in study.totals] == ["TAC", "none"]
    (reported_estimate,) = study.reported_estimates
    assert sides_of(study, reported_estimate) == ({"TAC", "CYC", "TAC+CYC"}, {"none"})
    assert study.is_admitted("none")
    assert not study.is_admitted("MMF")


# --- Study ---------------------------------------------------------------------------------------

THREE = ("none", "TAC", "CYC", "MMF", "TAC+CYC", "TAC+MMF", "CYC+MMF", "TAC+CYC+MMF")


def test_order_of_regimens() -> None:
    study = parse_study(TOY)
    assert study.treatment_ids == ("TAC", "CYC", "MMF")
    assert study.regimens == THREE
    assert study.pairs == (("TAC", "CYC"), ("TAC", "MMF"), ("CYC", "MMF"))
    assert study.pair_labels == ("TAC:CYC", "TAC:MMF", "CYC:MMF")


def test_counted_follow_the_lattice_not_the_file() -> None:
    study = parse_study(TOY)
    assert [study.label(arm.regimen) for arm in study.arms] == ["TAC+CYC", "CYC", "TAC"]
    assert study.counted == ("TAC", "CYC", "TAC+CYC")
    assert study.n.tolist() == [40, 60, 80]
    assert study.events.tolist() == [12, 15, 32]


def test_none_is_the_label_of_no_treatment() -> None:
    study = parse_study(drop('inclusion = "any(TAC, CYC)"') + with_arm("none")[len(TOY) :])
    assert study.label(frozenset()) == "none"
    assert study.counted == ("none", "TAC", "CYC", "TAC+CYC")
    assert study.n.tolist() == [10, 40, 60, 80]


def test_content_by_hand() -> None:
    by_hand = [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 0],
        [1, 0, 1],
        [0, 1, 1],
        [1, 1, 1],
    ]
    np.testing.assert_array_equal(parse_study(TOY).content(THREE), by_hand)


def test_products_by_hand() -> None:
    by_hand = [
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 1],
    ]
    np.testing.assert_array_equal(parse_study(TOY).products(THREE), by_hand)


def test_rows_follow_the_labels_asked_for() -> None:
    study = parse_study(TOY)
    labels = ("CYC+MMF", "TAC")
    np.testing.assert_array_equal(study.content(labels), [[0, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(study.products(labels), [[0, 0, 1], [0, 0, 0]])


def test_backgrounds() -> None:
    assert parse_study(TOY).co_treatments(("TAC", "MMF")) == (frozenset(), frozenset({"CYC"}))
    assert load_study("isis2").co_treatments(("SK", "ASA")) == (frozenset(),)


def test_admitted_by_the_inclusion_rule() -> None:
    study = parse_study(TOY)
    refused = {regimen for regimen in study.regimens if not study.is_admitted(regimen)}
    assert refused == {"none", "MMF"}


def test_all_are_admitted_without_a_rule() -> None:
    study = load_study("isis2")
    assert all(study.is_admitted(regimen) for regimen in study.regimens)


SEQUENTIAL = """
[[sequential]]
treatments = ["TAC", "CYC"]
source = "Toy 2024, methods"
"""


def test_treatments_given_one_after_the_other():
    study = parse_study(TOY + SEQUENTIAL)
    assert study.sequential == (Sequential(("TAC", "CYC"), "Toy 2024, methods"),)
    assert parse_study(TOY).sequential == ()
    known = load_study("sun2024").sequential
    assert [one.treatments for one in known] == [("CYC", "MMF")]
    assert "sequentially or simultaneously" in known[0].source


def test_bad_sequences_are_told_with_their_place():
    bad = SEQUENTIAL.replace('"CYC"]', '"CYK", "TAC"]').replace("source", "sauce")
    with pytest.raises(StudyError) as error:
        parse_study(TOY + bad + '[[sequential]]\ntreatments = ["TAC"]\nsource = "x"\n')
    assert error.value.problems == (
        "sequential[1].sauce: unknown key; did you mean source?",
        "sequential[1].source: missing; it must be a text that is not empty",
        "sequential[1].treatments: unknown treatment CYK; did you mean CYC?",
        "sequential[1].treatments: names a treatment twice",
        "sequential[2].treatments: is ['TAC']; it must be two treatments or more that were given one after the "
        'other, such as ["A", "B"]',
    )
