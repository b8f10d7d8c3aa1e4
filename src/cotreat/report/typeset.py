"""Text as it stands in print: minus signs for hyphens before numbers, words for labels of estimands."""

import re

from cotreat.report.tables import NAMES, in_words

AS_IT_IS = ("script", "style", "code", "pre")
"""Elements whose text is to be copied, or is no text."""

_TAG = re.compile(r"(<[^>]*>)")
_MINUS = re.compile(r"(?<![\w.\-\]–+/=:])-(?=\d|\.\d)|(?<=\de)-(?=\d\d)")
_LABEL = re.compile(rf"(?<![\w])({'|'.join(sorted(NAMES, key=len, reverse=True))})\[[^\]<]+\]")


def typeset(page: str) -> str:
    """Return a page with its text typeset.

    Parameters
    ----------
    page
        HTML in which ``<`` and ``>`` stand for tags alone.
    """
    pieces, depth = _TAG.split(page), 0
    for at, piece in enumerate(pieces):
        if not piece.startswith("<"):
            pieces[at] = piece if depth else _text(piece)
        elif (name := re.match(r"</?(\w*)", piece)) and name[1] in AS_IT_IS:
            depth += -1 if piece.startswith("</") else 1
    return "".join(pieces)


def _text(text: str) -> str:
    return _MINUS.sub("−", _LABEL.sub(lambda match: in_words(match[0]), text))
