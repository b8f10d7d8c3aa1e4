"""Prepare the independent search for modes of posteriors from reported estimates with unknown arm sizes."""

from collections.abc import Sequence

import numpy as np

from cotreat.evidence.protocol import Evidences, Given
from cotreat.inference.modes import Search
from cotreat.inference.standard_coordinates import Density


def search_of(
    density: Density, evidence: Evidences, numbers: Given, rng: np.random.Generator
) -> Search | None:
    """Return the starting points of a search, from every solution of the equations of the arm sizes.

    Parameters
    ----------
    density
        Log density of the model.
    evidence
        Evidence of the study.
    numbers
        Numbers of data and priors, by name.
    rng
        Random number generator.

    Returns
    -------
    Search or None
        None where every arm size is known. The posterior is then log-concave up to group standard deviations
        and the curvature of the reported estimates, and the search of every posterior suffices.
    """
    found = [starts for item in evidence if (starts := item.size_starts(numbers, rng)) is not None]
    if not found:
        return None
    variables: dict[str, np.ndarray] = {}
    for starts in found:
        variables |= starts.variables
    points = density.starts(variables)
    held = np.concatenate([_range(density.places[name]) for name in variables])
    return Search(points, held, all(starts.is_complete for starts in found), density.widths)


def _range(place: slice) -> Sequence[int]:
    """Return the indices of a slice."""
    return range(place.start, place.stop)
