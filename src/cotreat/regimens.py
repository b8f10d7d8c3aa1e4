"""Regimens (sets of treatments) and the expressions that name sets of patients."""

import ast
import keyword
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations

NONE = "none"
"""Label of the empty regimen."""

RESERVED = frozenset({"all", "any", NONE})

EXPRESSION = re.compile(r"[A-Za-z0-9_ (),]{1,500}")
"""Characters of a set expression; no study needs more of them, and many would exhaust a parser."""

Regimen = frozenset[str]
Rule = Callable[[Regimen], bool]


def label(regimen: Regimen, treatments: Sequence[str]) -> str:
    """Write a regimen in the order of `treatments`: ``A+B``, or ``none``."""
    return "+".join(t for t in treatments if t in regimen) or NONE


def parse(text: str) -> Regimen:
    """Read ``A+B`` or ``none``.

    Raises
    ------
    ValueError
        If a part is missing or stands twice.
    """
    if text.strip() == NONE:
        return frozenset()
    parts = [part.strip() for part in text.split("+")]
    if not all(parts):
        raise ValueError(f'{text!r} has an empty part; write treatments joined by "+", or "none"')
    if NONE in parts:
        raise ValueError(f'{text!r} joins "none" with treatments; it stands alone')
    if len(set(parts)) < len(parts):
        raise ValueError(f"{text!r} names a treatment twice")
    return frozenset(parts)


def lattice(treatments: Sequence[str]) -> tuple[Regimen, ...]:
    """All 2^k regimens of k treatments: by size, then in the order of `treatments`."""
    return tuple(
        frozenset(chosen)
        for size in range(len(treatments) + 1)
        for chosen in combinations(treatments, size)
    )


def is_treatment_id(text: str) -> bool:
    """Tell whether `text` may name a treatment: a plain word that set expressions can use."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None
    return plain and not keyword.iskeyword(text) and text not in RESERVED


def everyone(_: Regimen) -> bool:
    """Admit every regimen."""
    return True


def rule(expression: str, treatments: Sequence[str]) -> Rule:
    """Compile a set expression into a test of one regimen.

    Parameters
    ----------
    expression
        ``all``; ``none``; ``TAC``; ``not TAC``; ``any(TAC, CYC)``; ``all(TAC, CYC)``; joined by ``and``,
        ``or`` and parentheses.
    treatments
        The treatments an expression may name.

    Raises
    ------
    ValueError
        If the expression has another form or names an unknown treatment.
    """
    try:
        plain = EXPRESSION.fullmatch(expression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # what is odd is refused below
            tree = ast.parse(expression.strip(), mode="eval").body if plain else None
    except SyntaxError:
        tree = None
    return _compile(tree, expression, frozenset(treatments))


def _compile(node: ast.AST | None, text: str, known: Regimen) -> Rule:
    match node:
        case ast.Name(id="all"):
            return everyone
        case ast.Name(id="none"):
            return lambda regimen: not regimen
        case ast.Name(id=name):
            _require_known([name], text, known)
            return lambda regimen: name in regimen
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand, text, known)
            return lambda regimen: not inner(regimen)
        case ast.BoolOp(op=op, values=values):
            parts = [_compile(value, text, known) for value in values]
            join = all if isinstance(op, ast.And) else any
            return lambda regimen: join(part(regimen) for part in parts)
        case ast.Call(func=ast.Name(id="any" | "all" as quantifier), args=args, keywords=[]) if (
            args
        ):
            named = [arg.id for arg in args if isinstance(arg, ast.Name)]
            if len(named) == len(args):
                _require_known(named, text, known)
                return lambda regimen: (any if quantifier == "any" else all)(
                    name in regimen for name in named
                )
    raise ValueError(
        f"{text!r} is not a set of patients; write for example all, none, A, not A, any(A, B), A and not B"
    )


def _require_known(named: list[str], text: str, known: Regimen) -> None:
    unknown = sorted(set(named) - known)
    if unknown:
        raise ValueError(
            f"{text!r} names {', '.join(unknown)}; the treatments are {', '.join(sorted(known))}"
        )
