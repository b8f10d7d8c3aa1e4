"""Figures as part of the page: reduced to a palette, a fifth of the size, and written into it."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from cotreat.core.figures import Picture

COLOURS = 32
"""Enough for line drawings with smooth edges; a figure with photographs would need more."""

PER_INCH = 96 / 150
"""Pixels of a page for one of a figure, which is drawn at 150 to the inch."""


@dataclass(frozen=True)
class Embedded:
    """A figure for the page.

    Attributes
    ----------
    source : str
        The whole picture, as a ``data:`` address.
    width, height : int
        In pixels of the page, at the size for which it was drawn.
    """

    picture: Picture
    source: str
    width: int
    height: int


def embed(folder: Path, picture: Picture) -> Embedded:
    """Read a figure of a folder.

    Parameters
    ----------
    folder
        Where the figure was written.
    picture
        Name, caption and alternative text.

    Returns
    -------
    Embedded
    """
    with Image.open(folder / picture.file) as image:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    small = white.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    written = BytesIO()
    # Without loss a third smaller than PNG; at a higher method ten times slower, and no smaller.
    small.convert("RGB").save(written, "webp", lossless=True, quality=50, method=2)
    width, height = (round(side * PER_INCH) for side in white.size)
    text = b64encode(written.getvalue()).decode("ascii")
    return Embedded(picture, f"data:image/webp;base64,{text}", width, height)
