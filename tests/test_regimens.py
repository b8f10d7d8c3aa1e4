"""Regimens and set expressions."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotreat.study import regimens
from cotreat.study.regimens import Regimen, Rule, adds_one

KNOWN = ("A", "B", "C")
LATTICE = ("none", "A", "B", "C", "A+B", "A+C", "B+C", "A+B+C")

treatments = st.lists(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).filter(regimens.is_treatment_id),
    min_size=1,
    max_size=6,
    unique=True,
)


def chosen_by(rule: Rule) -> str:
    return " ".join(text for text in LATTICE if rule(regimens.parse(text)))


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("all", "none A B C A+B A+C B+C A+B+C"),
        ("not all", ""),
        ("none", "none"),
        ("not none", "A B C A+B A+C B+C A+B+C"),
        ("none or A and B", "none A+B A+B+C"),
        ("none and A", ""),
        ("  A  ", "A A+B A+C A+B+C"),
        ("A", "A A+B A+C A+B+C"),
        ("not A", "none B C B+C"),
        ("not not A", "A A+B A+C A+B+C"),
        ("any(A)", "A A+B A+C A+B+C"),
        ("any(A, B)", "A B A+B A+C B+C A+B+C"),
        ("any(A, B, C)", "A B C A+B A+C B+C A+B+C"),
        ("not any(A, B)", "none C"),
        ("all(A, B)", "A+B A+B+C"),
        ("not all(A, B)", "none A B C A+C B+C"),
        ("A and B", "A+B A+B+C"),
        ("A and not B", "A A+C"),
        ("A or B", "A B A+B A+C B+C A+B+C"),
        # Of `and` and `or` the first binds more tightly, as everywhere in Python.
        ("A or B and C", "A A+B A+C B+C A+B+C"),
        ("(A or B) and C", "A+C B+C A+B+C"),
        ("not (A or B)", "none C"),
        ("A and B and not C", "A+B"),
        ("any(A, B) and not all(A, B)", "A B A+C B+C"),
        ("all and A", "A A+B A+C A+B+C"),
    ],
)
def test_rule_chooses(expression: str, chosen: str) -> None:
    assert chosen_by(regimens.rule(expression, KNOWN)) == chosen


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "A and",
        "A B",
        "A, B",
        "A+B",
        "A & B",
        "~A",
        "-A",
        "A == B",
        "A in B",
        "A[0]",
        "A()",
        "any()",
        "all()",
        "none()",
        "none(A, B)",
        "any(not A, B)",
        "any(A.b)",
        "any(*A)",
        "any(A, key=B)",
        "max(A, B)",
        "A if B else C",
        "lambda: A",
        "[A for A in B]",
        "any(A for A in B)",
        "{A}",
        "(A := B)",
        "f'{A}'",
        "'A'",
        "1",
        "True",
        "A; B",
        "A\nB",
        "A\0",
        "\ud800",
        "import os",
        '__import__("os").system("x")',
        "().__class__.__base__.__subclasses__()",
        "any(A, __import__('os'))",
    ],
)
def test_rule_refuses(expression: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regimens.rule(expression, KNOWN)
    assert str(caught.value) == (
        f"{expression!r} is not a set of patients; "
        "write for example all, none, A, not A, any(A, B), A and not B"
    )


@pytest.mark.parametrize(
    ("expression", "strangers"),
    [
        ("D", "D"),
        ("not a", "a"),
        ("any(A, D, E)", "D, E"),
        ("all(E, D)", "D, E"),
        ("A and D", "D"),
        ("__builtins__", "__builtins__"),
    ],
)
def test_rule_refuses_strangers(expression: str, strangers: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regimens.rule(expression, ("C", "A", "B"))
    assert str(caught.value) == f"{expression!r} names {strangers}; the treatments are A, B, C"


# Some of these exhaust Python's parser, the others are refused for their length alone.
LONG = {
    "one too many": "A or " * 100 + "A",
    "blanks": "A" + " " * 500,
    "parentheses": "(" * 50_000 + "A" + ")" * 50_000,
    "nots": "not " * 50_000 + "A",
    "minuses": "-" * 50_000 + "A",
    "attributes": "A" + ".A" * 50_000,
    "digits": "9" * 5000,
}


@pytest.mark.parametrize("expression", LONG.values(), ids=LONG)
def test_rule_refuses_long_expressions(expression: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regimens.rule(expression, KNOWN)
    assert str(caught.value) == (
        f"{expression!r} is not a set of patients; "
        "write for example all, none, A, not A, any(A, B), A and not B"
    )


@pytest.mark.parametrize("expression", ["A or " * 99 + "(A)", "not " * 124 + "(A)"])
def test_rule_of_as_many_characters_as_allowed(expression: str) -> None:
    expression = expression.ljust(500)
    assert len(expression) == 500
    assert chosen_by(regimens.rule(expression, KNOWN)) == "A A+B A+C A+B+C"


@pytest.mark.parametrize("expression", ["open({!r}, 'w')", "A or open({!r}, 'w')"])
def test_refused_rule_has_not_run(expression: str, tmp_path: Path) -> None:
    path = tmp_path / "written"
    with pytest.raises(ValueError, match="is not a set of patients"):
        regimens.rule(expression.format(str(path)), KNOWN)
    assert not path.exists()


# Each text with its meaning, built together from Python's own operators as the independent answer.
Meant = tuple[str, Rule]


def _joined(parts: list[Meant], word: str) -> Meant:
    join = all if word == "and" else any
    text = f" {word} ".join(f"({part})" for part, _ in parts)
    return text, lambda regimen: join(rule(regimen) for _, rule in parts)


def _called(names: list[str], quantifier: str) -> Meant:
    holds = all if quantifier == "all" else any
    text = f"{quantifier}({', '.join(names)})"
    return text, lambda regimen: holds(name in regimen for name in names)


def _negated(part: Meant) -> Meant:
    text, rule = part
    return f"not ({text})", lambda regimen: not rule(regimen)


names = st.sampled_from(KNOWN)
leaves = st.one_of(
    st.just(("all", lambda _: True)),
    st.just(("none", lambda regimen: len(regimen) == 0)),
    names.map(lambda name: (name, lambda regimen: name in regimen)),
    st.builds(_called, st.lists(names, min_size=1, max_size=3), st.sampled_from(["any", "all"])),
)
expressions = st.recursive(
    leaves,
    lambda inner: (
        inner.map(_negated)
        | st.builds(
            _joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])
        )
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(expressions)
def test_rule_means_what_it_says(meant: Meant) -> None:
    text, rule = meant
    assert chosen_by(regimens.rule(text, KNOWN)) == chosen_by(rule)


@settings(max_examples=60, deadline=None)
@given(treatments, st.data())
def test_label_and_parse_are_inverse(known: list[str], data: st.DataObject) -> None:
    regimen = frozenset(data.draw(st.sets(st.sampled_from(known))))
    text = regimens.label(regimen, known)
    assert regimens.parse(text) == regimen
    assert regimens.label(regimens.parse(text), known) == text


@settings(max_examples=60, deadline=None)
@given(treatments, st.data())
def test_order_and_spaces_do_not_matter(known: list[str], data: st.DataObject) -> None:
    text = " + ".join(data.draw(st.permutations(known)))
    assert regimens.parse(f" {text} ") == frozenset(known)
    assert regimens.label(regimens.parse(text), known) == "+".join(known)


@settings(max_examples=30, deadline=None)
@given(treatments)
def test_lattice_holds_every_regimen_once_by_size(known: list[str]) -> None:
    lattice = regimens.lattice(known)
    sizes = [len(regimen) for regimen in lattice]
    assert len(set(lattice)) == len(lattice) == 2 ** len(known)
    assert sizes == sorted(sizes)


def test_lattice_by_hand() -> None:
    assert tuple(regimens.label(r, KNOWN) for r in regimens.lattice(KNOWN)) == LATTICE


@pytest.mark.parametrize(
    ("text", "regimen"),
    [
        ("none", frozenset()),
        (" none ", frozenset()),
        ("A", frozenset({"A"})),
        ("B+A", frozenset({"A", "B"})),
    ],
)
def test_parse(text: str, regimen: Regimen) -> None:
    assert regimens.parse(text) == regimen


@pytest.mark.parametrize("text", ["", " ", "+", "A+", "+A", "A++B", "A + "])
def test_parse_refuses_empty_parts(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regimens.parse(text)
    assert str(caught.value) == (
        f'{text!r} has an empty part; write treatments joined by "+", or "none"'
    )


@pytest.mark.parametrize("text", ["A+A", "A+B+ A"])
def test_parse_refuses_a_treatment_twice(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        regimens.parse(text)
    assert str(caught.value) == f"{text!r} names a treatment twice"


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("TAC", True),
        ("anti_CD20", True),
        ("x2", True),
        ("2x", False),
        ("anti-CD20", False),
        ("A+B", False),
        ("A B", False),
        ("", False),
        ("all", False),
        ("any", False),
        ("none", False),
        # Python's own words would make a set expression mean something else.
        ("not", False),
        ("True", False),
        ("and", False),
        ("is", False),
        # These are words of Python in some places only, and no words of set expressions.
        ("match", True),
        ("type", True),
        ("x_", True),
        ("_x", False),
        ("TAC\n", False),
        # Letters and digits, but not of ASCII; Python reads the wide A as A.
        ("ÄZA", False),
        ("β", False),
        ("Ａ", False),
        ("x²", False),
        ("x٣", False),
    ],
)
def test_treatment_ids(text: str, may: bool) -> None:
    assert regimens.is_treatment_id(text) is may


@pytest.mark.parametrize(
    ("arm", "against", "is_one", "is_combination"),
    [
        ("A+B", "B", True, True),
        ("A", "none", True, False),
        ("A+B+C", "B", False, False),
        ("B", "A+B", False, False),
        ("A+B", "C", False, False),
        ("A+B | age=old", "A | age=old", True, True),
    ],
)
def test_a_regimen_with_one_part_more(arm, against, is_one, is_combination):
    assert adds_one(arm, against) == is_one
    assert adds_one(arm, against, against_none=False) == is_combination
