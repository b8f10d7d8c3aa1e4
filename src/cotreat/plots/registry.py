"""Registry of figures: what each is of, its caption, its alternative text, and how to draw it.

A figure is a function of one record, decorated with `figure_of`, in a module of this package. Importing
the registry loads neither Matplotlib nor ArviZ; `figures` imports the modules of the package.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.core.figures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cotreat.plots.records import Record

FIT, COMPARISON, STUDY = "fit", "comparison", "study"
SENSITIVITY, BIAS, CALIBRATION = "sensitivity", "bias", "calibration"
KINDS = (FIT, COMPARISON, STUDY, SENSITIVITY, BIAS, CALIBRATION)
"""What a figure can be of; each kind has a record in `cotreat.plots.records`."""

DIAGNOSTICS = "diagnostics"
"""Section of the report for figures that name none."""

LAST = 100
"""Place of figures that state none, behind those that do."""

Drawing = Callable[[Any], "Figure | None"]
"""Draws the figure of a record; None where the record has nothing to show."""


@dataclass(frozen=True)
class RegisteredFigure(Picture):
    """A figure of the registry.

    Attributes
    ----------
    of : str
        One of `KINDS`.
    section : str
        Section of the report in which a figure of a fit is shown.
    order : int
        Place among the figures of its kind.
    drawing : callable
        The decorated function.
    """

    of: str
    section: str
    order: int
    drawing: Drawing


_REGISTERED: dict[tuple[str, str], RegisteredFigure] = {}


def figure_of[D: Drawing](
    of: str, *, caption: str, alt: str, section: str = DIAGNOSTICS, order: int = LAST
) -> Callable[[D], D]:
    """Register a function as the figure that has its name.

    Parameters
    ----------
    of : str
        What the figure is of, one of `KINDS`. The function takes the record of that kind and returns a
        Matplotlib figure, or None where the record has nothing to show.
    caption : str
        The message of the figure in the first sentence, then its legend.
    alt : str
        Alternative text: what the figure looks like.
    section : str
        Section of the report for a figure of a fit: ``estimates``, ``risks``, ``synergy`` or
        ``diagnostics``.
    order : int
        Place among the figures of its kind; those with the same place are sorted by name.

    Returns
    -------
    callable
        Decorator that returns the function as it is.

    Raises
    ------
    ValueError
        If there is no such kind, or another function is registered under the name.
    """
    if of not in KINDS:
        raise ValueError(f"no figures of {of!r}; figures are of {', '.join(KINDS)}")

    def register(drawing: D) -> D:
        name = drawing.__name__
        known = _REGISTERED.get((of, name))
        if known is not None and known.drawing.__module__ != drawing.__module__:
            raise ValueError(f"{known.drawing.__module__} has a figure of a {of} named {name!r}")
        _REGISTERED[of, name] = RegisteredFigure(name, caption, alt, of, section, order, drawing)
        return drawing

    return register


def figures(of: str) -> dict[str, RegisteredFigure]:
    """Return the figures of a kind by name, in their order.

    Parameters
    ----------
    of : str
        One of `KINDS`.

    Returns
    -------
    dict of RegisteredFigure
    """
    package = import_module("cotreat.plots")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"cotreat.plots.{module.name}")
    of_kind = [figure for figure in _REGISTERED.values() if figure.of == of]
    return {figure.name: figure for figure in sorted(of_kind, key=lambda f: (f.order, f.name))}


def picture(of: str, name: str) -> Picture:
    """Return name, caption and alternative text of a figure.

    Parameters
    ----------
    of, name : str
        Kind and name of the figure.

    Returns
    -------
    Picture

    Raises
    ------
    KeyError
        If no such figure is registered.
    """
    registered = figures(of)[name]
    return Picture(name, registered.caption, registered.alt)


def draw(of: str, record: Record, folder: Path, failed: Sequence[str] = ()) -> list[Picture]:
    """Draw every figure of a kind that a record has, and write them as PNG.

    Parameters
    ----------
    of : str
        One of `KINDS`.
    record : Record
        The record of that kind.
    folder : Path
        Folder of the files; made if it does not exist.
    failed : sequence of str
        Failed diagnostics behind the numbers; if there are any, each figure states it in red.

    Returns
    -------
    list of Picture
        The figures written, in their order.
    """
    from cotreat.plots.style import off_screen, save, write_below

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Picture] = []
    for registered in figures(of).values():
        with off_screen():
            figure = registered.drawing(record)
            if figure is not None:
                if record.footer:
                    write_below(figure, record.footer)
                save(figure, folder / registered.file, failed)
                written.append(picture(of, registered.name))
    return written
