"""Each public function documents its parameters, its result and its errors, in the sections of numpydoc."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "cotreat"
HEADING = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)


def functions():
    """Yield public functions and methods, without commands, whose docstring is their help."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for owner in [tree, *(one for one in classes if not one.name.startswith("_"))]:
            for node in owner.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    is_command = "options.Study" in ast.unparse(node.args) or any(
                        "typer." in ast.unparse(one.annotation or ast.Constant(""))
                        for one in node.args.args
                        if one.arg != "ctx"
                    )
                    if not is_command:
                        where = str(path.relative_to(SOURCE))
                        yield pytest.param(node, id=f"{where}:{node.name}:{node.lineno}")


def raised(node):
    """Return whether a function raises an error itself, functions within it left out."""
    inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node]
    skipped = {id(n) for one in inner for n in ast.walk(one)}
    return any(
        isinstance(n, ast.Raise) and n.exc is not None and id(n) not in skipped
        for n in ast.walk(node)
    )


@pytest.mark.parametrize("node", list(functions()))
def test_sections(node):
    doc = ast.get_docstring(node) or ""
    parts = HEADING.split(doc)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entries = re.findall(r"^(\*{0,2}\w[^:\n]*)", sections.get("Parameters", ""), re.MULTILINE)
    named = {name.strip().lstrip("*") for entry in entries for name in entry.split(",")}
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    expected = {one.arg for one in every} - {"self", "cls"}
    assert doc
    assert named == {name for name in expected if not name.startswith("_")}
    is_property = any("property" in ast.unparse(one) for one in node.decorator_list)
    if node.returns is not None and ast.unparse(node.returns) != "None" and not is_property:
        assert sections.keys() & {"Returns", "Yields"}
    if raised(node):
        assert "Raises" in sections
