"""Templates of the report: pages, and the texts of its TOML files."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import jinja2

from cotreat.report.wording import between, capital, listed, plural, some
from cotreat.results.monte_carlo import digits, share

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("cotreat.report", "."),
    autoescape=jinja2.select_autoescape(["html.jinja"], default_for_string=False),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    one.__name__: one for one in (between, capital, digits, listed, plural, share, some)
} | {
    "pair": lambda pair: pair.replace(":", " with "),
    "sentence": lambda text: text if text.endswith(".") else f"{text}.",
}

_TEXTS = _ENVIRONMENT.overlay(trim_blocks=False, lstrip_blocks=False)


def render(name: str, /, **facts: Any) -> str:
    """Fill a template of the report; HTML is escaped in those named ``.html.jinja``.

    Parameters
    ----------
    name
        File of the template.
    **facts
        Its variables.

    Returns
    -------
    str
    """
    return _ENVIRONMENT.get_template(name).render(facts)


def paragraphs(text: str, /, **facts: Any) -> tuple[str, ...]:
    """Fill a template text, and return its paragraphs, which empty lines separate.

    Parameters
    ----------
    text
        The template itself.
    **facts
        Its variables.

    Returns
    -------
    tuple of str
        Each on one line.
    """
    blocks = _TEXTS.from_string(text).render(facts).split("\n\n")
    return tuple(filter(None, (" ".join(block.split()) for block in blocks)))


def read(name: str) -> str:
    """Read a file of the report.

    Parameters
    ----------
    name
        Name of the file.

    Returns
    -------
    str
    """
    return resources.files("cotreat.report").joinpath(name).read_text(encoding="utf-8")


def texts(name: str) -> dict[str, Any]:
    """Read a TOML file of the report.

    Parameters
    ----------
    name
        Name of the file.

    Returns
    -------
    dict
    """
    return tomllib.loads(read(name))
