"""Shell completion of names; nothing here loads a sampler."""

from collections.abc import Iterator

import typer


def studies() -> list[str]:
    """Return the names of the packaged studies.

    Returns
    -------
    list of str
        Names, in alphabetical order.
    """
    from cotreat.study_file.reader import packaged

    return list(packaged())


def models() -> Iterator[tuple[str, str]]:
    """Yield the name and the description of each model.

    Yields
    ------
    tuple of str
        Name and sentence.
    """
    from cotreat.models.registry import MODELS

    return ((model.name, model.sentence) for model in MODELS.values())


def priors() -> tuple[str, ...]:
    """Return the names of the prior sets.

    Returns
    -------
    tuple of str
        Names that need no study.
    """
    from cotreat.priors.belief_grid import NAMES

    return NAMES


def interpretations(ctx: typer.Context) -> list[str]:
    """Return the interpretations of the study on the command line; none if it cannot be read.

    Parameters
    ----------
    ctx
        Context of the command line, with the study.

    Returns
    -------
    list of str
        Ids.
    """
    from cotreat.study_file.reader import StudyError, load_study

    # An option that still lacks its value ends the parsing before the study is assigned.
    words = [ctx.params.get("study"), *ctx.args]
    try:
        study = load_study(next(word for word in words if word))
    except (StudyError, StopIteration):
        return []
    return [interpretation.id for interpretation in study.interpretations]
