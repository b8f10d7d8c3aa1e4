"""Regimens (sets of treatments) and set expressions (sets of patients).

A regimen is a set of parts. A part is a treatment, ``TAC``; a treatment at one of its levels,
``TAC.high``; or the subgroup of the patients, ``kidney=severe``.
"""

import ast
import keyword
import operator
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations, product

NONE = "none"
"""Label of the empty regimen."""

RESERVED = frozenset({"all", "any", "vs", NONE})
LEVEL, GROUP, WITHIN = ".", "=", " | "
"""Separators before a level, before the id of a subgroup, and between a regimen and its subgroup."""

EXPRESSION = re.compile(r"[A-Za-z0-9_ (),.]{1,500}")
"""Characters and length of a set expression; a longer one could exhaust the parser."""

Regimen = frozenset[str]
Rule = Callable[[Regimen], bool]


def label(regimen: Regimen, treatments: Sequence[str]) -> str:
    """Write a regimen in the order of `treatments`: ``A+B``, ``A.high+B | age=old``, or ``none``.

    Parameters
    ----------
    regimen : frozenset of str
    treatments : sequence of str
        Ids of the treatments, in order.

    Returns
    -------
    str
    """
    by_treatment = {treatment_of(part): part for part in regimen if GROUP not in part}
    taken = "+".join(by_treatment[t] for t in treatments if t in by_treatment) or NONE
    return WITHIN.join([taken, *sorted(part for part in regimen if GROUP in part)])


def parse(text: str) -> Regimen:
    """Read ``A+B``, ``A.high+B | age=old`` or ``none``.

    Parameters
    ----------
    text : str

    Returns
    -------
    frozenset of str

    Raises
    ------
    ValueError
        If a part is empty, or a treatment or kind of subgroup is named twice.
    """
    taken, *groups = (part.strip() for part in text.split(WITHIN))
    if len({group.partition(GROUP)[0] for group in groups}) < len(groups):
        raise ValueError(f"{text!r} names subgroups of one kind twice")
    if taken == NONE:
        return frozenset(groups)
    parts = [part.strip() for part in taken.split("+")]
    if not all(parts):
        raise ValueError(f'{text!r} has an empty part; write treatments joined by "+", or "none"')
    if NONE in parts:
        raise ValueError(f'{text!r} joins "none" with treatments; it stands alone')
    if len(set(map(treatment_of, parts))) < len(parts):
        raise ValueError(f"{text!r} names a treatment twice")
    return frozenset(parts) | frozenset(groups)


def treatment_of(part: str) -> str:
    """Return the treatment of a part, without its level.

    Parameters
    ----------
    part : str
        A treatment, or a treatment at a level.

    Returns
    -------
    str
    """
    return part.partition(LEVEL)[0]


def taken(regimen: Regimen) -> Regimen:
    """Return the treatments of a regimen, without levels and subgroup.

    Parameters
    ----------
    regimen : frozenset of str

    Returns
    -------
    frozenset of str
    """
    return frozenset(treatment_of(part) for part in regimen if GROUP not in part)


def adds_one(arm: str, against: str, *, against_none: bool = True) -> bool:
    """Return whether a regimen is another one with one part added.

    Parameters
    ----------
    arm, against
        Labels of the regimens.
    against_none
        Whether the other may be `NONE`; one treatment against none is no combination.

    Returns
    -------
    bool
    """
    more, fewer = parse(arm), parse(against)
    return fewer < more and len(more - fewer) == 1 and (against_none or against != NONE)


def group_of(label: str) -> str:
    """Return the subgroup in the label of a regimen; empty for none.

    Parameters
    ----------
    label : str
        Label of a regimen.

    Returns
    -------
    str
    """
    return label.partition(WITHIN)[2]


def contrast(arm: str, against: str) -> str:
    """Name the contrast of two regimens or sets of patients: ``A+B vs B``.

    Parameters
    ----------
    arm, against : str
        Labels of regimens, or set expressions.

    Returns
    -------
    str
    """
    return f"{arm} vs {against}"


def without_group(label: str) -> str:
    """Return the label of a regimen without its subgroup.

    Parameters
    ----------
    label : str

    Returns
    -------
    str
    """
    return label.partition(WITHIN)[0]


def fits(regimen: Regimen, word: Regimen) -> bool:
    """Return whether a regimen matches a word, which need not state levels and subgroup.

    Parameters
    ----------
    regimen : frozenset of str
    word : frozenset of str
        A regimen that need not state levels and subgroup.

    Returns
    -------
    bool
    """
    named = {part for part in word if LEVEL in part or GROUP in part}
    return taken(regimen) == taken(word) and named <= regimen


def lattice(
    treatments: Sequence[str],
    levels: Mapping[str, Sequence[str]] | None = None,
    groups: Sequence[str] = (),
) -> tuple[Regimen, ...]:
    """Return all regimens of k treatments: by subgroup, by size, then in the order of `treatments`.

    Parameters
    ----------
    treatments
        Ids of the treatments.
    levels
        Levels of each treatment, lowest first; a treatment without levels is its own part.
    groups
        Subgroups; none for pooled patients.

    Returns
    -------
    tuple of frozenset of str
    """
    parts = {t: (levels or {}).get(t, (t,)) for t in treatments}
    plain = [
        frozenset(chosen)
        for size in range(len(treatments) + 1)
        for some in combinations(treatments, size)
        for chosen in product(*(parts[t] for t in some))
    ]
    return tuple(regimen | {group} for group in groups for regimen in plain) or tuple(plain)


def is_treatment_id(text: str) -> bool:
    """Return whether `text` may name a treatment: a plain word, valid in set expressions.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool
    """
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None
    return plain and not keyword.iskeyword(text) and text not in RESERVED


def everyone(_: Regimen) -> bool:
    """Admit every regimen.

    Returns
    -------
    bool
        Always true.
    """
    return True


def rule(expression: str, treatments: Sequence[str], parts: Collection[str] = ()) -> Rule:
    """Compile a set expression into a predicate of one regimen.

    Parameters
    ----------
    expression
        ``all``; ``none``; ``TAC``; ``TAC.high``; ``kidney.severe``; ``not TAC``; ``any(TAC, CYC)``;
        ``all(TAC, CYC)``; joined by ``and``, ``or`` and parentheses.
    treatments
        The treatments an expression may name.
    parts
        Treatments at a level, and subgroups, that it may also name.

    Returns
    -------
    callable
        Predicate of a regimen.

    Raises
    ------
    ValueError
        If the expression has another form or names an unknown treatment, level or subgroup.
    """
    tree = _tree(expression)
    return _compile(tree, expression, frozenset(treatments), frozenset(parts))


def _tree(expression: str) -> ast.expr | None:
    try:
        plain = EXPRESSION.fullmatch(expression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `_compile` refuses odd forms
            return ast.parse(expression.strip(), mode="eval").body if plain else None
    except SyntaxError:
        return None


def named_parts(expression: str) -> frozenset[str]:
    """Return the levels and subgroups that a set expression, or a regimen, names: ``TAC.high``.

    Subgroups are in the notation of expressions, ``kidney.severe``.

    Parameters
    ----------
    expression : str
        A set expression, or the label of a regimen.

    Returns
    -------
    frozenset of str
    """
    plain = expression.replace(WITHIN, " and ").replace(GROUP, LEVEL).replace("+", " and ")
    tree = _tree(plain)
    return frozenset(
        f"{node.value.id}{LEVEL}{node.attr}"
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    )


def _compile(node: ast.AST | None, text: str, known: Regimen, parts: frozenset[str]) -> Rule:
    match node:
        case ast.Name(id="all" | "none" as word):
            return everyone if word == "all" else operator.not_
        case ast.Name(id=name):
            _require_known([name], text, known)
            return lambda regimen: name in taken(regimen)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            named = {f"{owner}{LEVEL}{name}", f"{owner}{GROUP}{name}"} & parts
            if not named:
                _refuse_part(owner, name, text, known, parts)
            return lambda regimen: named <= regimen
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand, text, known, parts)
            return lambda regimen: not inner(regimen)
        case ast.BoolOp(op=op, values=values):
            rules = [_compile(value, text, known, parts) for value in values]
            join = all if isinstance(op, ast.And) else any
            return lambda regimen: join(rule(regimen) for rule in rules)
        case ast.Call(func=ast.Name(id="any" | "all" as quantifier), args=args, keywords=[]) if (
            args
        ):
            names = [arg.id for arg in args if isinstance(arg, ast.Name)]
            if len(names) == len(args):
                _require_known(names, text, known)
                join = any if quantifier == "any" else all
                return lambda regimen: join(name in taken(regimen) for name in names)
    raise ValueError(
        f"{text!r} is not a set of patients; write for example all, none, A, not A, any(A, B), A and not B"
    )


def _require_known(named: list[str], text: str, known: Regimen) -> None:
    unknown = sorted(set(named) - known)
    if unknown:
        raise ValueError(
            f"{text!r} names {', '.join(unknown)}; the treatments are {', '.join(sorted(known))}"
        )


def _refuse_part(owner: str, name: str, text: str, known: Regimen, parts: Collection[str]) -> None:
    pairs = [re.split(r"[.=]", part) for part in parts]
    if own := sorted(part for whole, part in pairs if whole == owner):
        raise ValueError(f"{text!r} names {owner}.{name}; of {owner} there are {', '.join(own)}")
    what = "levels" if owner in known else "treatment or subgroups"
    raise ValueError(f"{text!r} names {owner}.{name}, but there are no {what} of the name {owner}")
