"""Shell completion of names; nothing here loads a sampler."""

from collections.abc import Iterator

import typer

from cotreat.engines import ENGINES


def studies() -> list[str]:
    """Return the names of the packaged studies."""
    from cotreat.study_file import packaged

    return list(packaged())


def models() -> Iterator[tuple[str, str]]:
    """Yield the name and the description of each model."""
    from cotreat.catalogue import MODELS

    return ((model.name, model.sentence) for model in MODELS.values())


def models_and_studies() -> list[str]:
    """Return the names of the models, then those of the packaged studies."""
    return [*(name for name, _ in models()), *studies()]


def priors() -> tuple[str, ...]:
    """Return the names of the prior sets."""
    from cotreat.priors import NAMES

    return NAMES


def engines() -> list[tuple[str, str]]:
    """Return the name and the description of each engine."""
    return list(ENGINES.items())


def interpretations(ctx: typer.Context) -> list[str]:
    """Return the interpretations of the study on the command line; none if it cannot be read."""
    from cotreat.study_file import StudyError, load_study

    try:
        study = load_study(ctx.params["study"])
    except (StudyError, KeyError, TypeError):
        return []
    return [interpretation.id for interpretation in study.readings]
