"""Figures as files: name, caption and alternative text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """Describe a figure that is kept as a file.

    Attributes
    ----------
    name : str
        Name of its file, without the ending.
    caption : str
        The message of the figure, then its legend.
    alt : str
        Alternative text, for people who cannot see the figure.
    """

    name: str
    caption: str
    alt: str

    @property
    def file(self) -> str:
        """Name of its file in a folder."""
        return f"{self.name}.png"

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")
