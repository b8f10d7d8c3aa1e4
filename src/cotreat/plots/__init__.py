"""Figures, one file per figure, with its caption and alternative text.

Importing this package loads neither Matplotlib nor ArviZ.
"""

from cotreat.plots.records import View
from cotreat.plots.registry import (
    BIAS,
    CALIBRATION,
    COMPARISON,
    FIT,
    KINDS,
    SENSITIVITY,
    STUDY,
    RegisteredFigure,
    draw,
    figure_of,
    figures,
    picture,
)

__all__ = [
    "BIAS",
    "CALIBRATION",
    "COMPARISON",
    "FIT",
    "KINDS",
    "SENSITIVITY",
    "STUDY",
    "RegisteredFigure",
    "View",
    "draw",
    "figure_of",
    "figures",
    "picture",
]
