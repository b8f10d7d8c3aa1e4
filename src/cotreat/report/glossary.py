"""The glossary of the page: terms that a clinician may not know, each marked at its first use."""

import re
from dataclasses import dataclass

from cotreat.report.tables import TAG, texts_within
from cotreat.report.templates import texts


@dataclass(frozen=True)
class Term:
    """A term with its explanation.

    Attributes
    ----------
    forms : tuple of str
        Spellings, in any case, without a final s; the first heads its entry.
    """

    forms: tuple[str, ...]
    words: str

    @property
    def name(self) -> str:
        """The spelling that heads its entry."""
        return self.forms[0]

    @property
    def id(self) -> str:
        """Its anchor within a page."""
        return "term-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")


TERMS = tuple(
    Term(tuple(forms.split("|")), words) for forms, words in texts("glossary.toml").items()
)
"""Every term of ``glossary.toml``, explained in the page's glossary."""

SKIPPED = (
    *("script", "style", "code", "pre", "a", "button", "summary", "h1", "h2", "h3", "h4"),
    *("td", "nav", "dl"),
)
"""Elements in which no term is marked."""

_PLACES = {form.lower(): at for at, term in enumerate(TERMS) for form in term.forms}
# Longer terms first: "ratio of odds ratios" is not an odds ratio.
_ANY = "|".join(f"{re.escape(form)}s?" for form in sorted(_PLACES, key=len, reverse=True))
# What touches the word stays with it: a button is a box that lines may break before and after.
_WORD = re.compile(
    rf"(?<![\w-])(?P<before>\(*)(?P<word>{_ANY})(?![\w-]|\.\w)(?P<after>[.,;:)]*)", re.IGNORECASE
)


def mark(page: str) -> tuple[str, tuple[Term, ...]]:
    """Mark each term where it first stands, and return the terms found.

    What is folded away is looked at last: a term in it is marked there only if it stands nowhere else.

    Parameters
    ----------
    page
        HTML in which ``<`` and ``>`` stand for tags alone.

    Returns
    -------
    page : str
        With each term as a button that opens its explanation.
    terms : tuple of Term
        Those found, in the order of the glossary.
    """
    pieces, left = TAG.split(page), dict(enumerate(TERMS))
    for where in (set(), {"details"}):
        for at, text, inside in texts_within(pieces, (*SKIPPED, "details")):
            if inside == where:
                pieces[at] = _marked(text, left)
    found = tuple(term for at, term in enumerate(TERMS) if at not in left)
    return "".join(pieces), found


def _marked(text: str, left: dict[int, Term]) -> str:
    """Mark in one piece of text the terms that are left, each once, and take them from what is left."""

    def replace(match: re.Match[str]) -> str:
        word = match["word"].lower()
        term = left.pop(_PLACES[word if word in _PLACES else word[:-1]], None)
        if term is None:
            return match[0]
        button = f'<button type="button" popovertarget="{term.id}">{match["word"]}</button>'
        return f"<dfn>{match['before']}{button}{match['after']}</dfn>"

    return _WORD.sub(replace, text)
