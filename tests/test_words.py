"""No banned phrase stands in strings, help, templates, documentation or pages of results."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from cotreat.cli import app

ROOT = Path(__file__).parent.parent
LINES = (Path(__file__).parent / "banned.txt").read_text(encoding="utf-8").splitlines()
PHRASES = tuple(line.strip() for line in LINES if line.strip() and not line.startswith("#"))
BANNED = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, PHRASES))})(?![\w-])", re.IGNORECASE)
ALLOWED = "allowed:"
"""Comment of a line that must name an old key or an old phrase."""

PYTHON = sorted([*ROOT.glob("src/cotreat/**/*.py"), *ROOT.glob("models/*.py")])
TEMPLATES = sorted(ROOT.glob("src/cotreat/**/*.jinja"))
WORDINGS = [
    path
    for name in ("diagnostics", "priors", "report")
    for path in sorted(ROOT.glob(f"src/cotreat/{name}/*.toml"))
]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("models/*.md")),
    *sorted(ROOT.glob("results/**/*.md")),
]


def found_in(text):
    """Return the banned phrases of a text, whose lines may break within a phrase."""
    return [match[0] for match in BANNED.finditer(" ".join(text.split()))]


def strings_of(source):
    """Yield line and text of each string literal that is read by people.

    Docstrings are for developers; a literal of one word is a key or a name; a line with an `ALLOWED` comment
    is exempt. Parts of an f-string are joined.
    """
    lines, tree = source.splitlines(), ast.parse(source)
    skipped = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            skipped |= {id(part) for part in parts}
            text = " … ".join(str(part.value) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        is_exempt = any(ALLOWED in line for line in lines[node.lineno - 1 : node.end_lineno])
        if id(node) not in skipped and len(text.split()) > 1 and not is_exempt:
            yield node.lineno, text


def helps(command, name="cotreat"):
    """Yield name and text of the help of a command, its options and its subcommands."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", "") or ""
    for below in getattr(command, "commands", {}).values():
        yield from helps(below, f"{name} {below.name}")


def test_phrases_are_found():
    source = 'x = f"The {y} stands\\n beside."\nz = "in print"  # allowed: old key\nw = "claims"'
    assert [(line, found_in(text)) for line, text in strings_of(source)] == [(1, ["stands beside"])]
    assert found_in("It is in\nprint; claims-levels are ids, undecided is not.") == [
        "in print",
        "undecided",
    ]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_strings(path):
    strings = strings_of(path.read_text(encoding="utf-8"))
    assert {line: words for line, text in strings if (words := found_in(text))} == {}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates(path):
    text = re.sub(r"\{[{%].*?[%}]\}", " … ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found_in(text) == []


@pytest.mark.parametrize("path", WORDINGS, ids=lambda path: path.name)
def test_wordings(path):
    assert found_in(str(tomllib.loads(path.read_text(encoding="utf-8")))) == []


def test_help():
    texts = dict(helps(get_command(app)))
    assert "cotreat reanalyse" in texts
    assert {name: words for name, text in texts.items() if (words := found_in(text))} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert found_in("\n".join(line for line in lines if ALLOWED not in line)) == []
