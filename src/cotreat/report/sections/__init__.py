"""Sections of the report on the supplementary analyses, with their paragraphs in ``analyses.toml``."""

import tomllib
from importlib import resources

_WORDS = tomllib.loads(
    resources.files("cotreat.report").joinpath("analyses.toml").read_text(encoding="utf-8")
)

TEXTS = {
    section: {name: " ".join(text.split()) for name, text in texts.items()}
    for section, texts in _WORDS.items()
}
"""Paragraphs by section and name, on one line each."""
