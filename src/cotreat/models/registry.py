"""The models: what each says of treatments and their combinations, and what it needs.

This catalogue describes them without loading PyMC. A new model is one module of `cotreat.priors.declare`
with one function ``log_odds``, and one entry here.
"""

from dataclasses import dataclass, replace

from cotreat.core.toml_tables import nearest
from cotreat.study.study import DOSE, DURATION, DivisionError, Study


class ModelError(ValueError):
    """A model that a study, or a prior set, cannot go with."""


@dataclass(frozen=True)
class Model:
    """What a reader must know of a model.

    Attributes
    ----------
    parameters : tuple of str
        Variables that need a prior.
    has_structure : bool
        Whether arms inform each other through treatments, so that empty cells get a risk and the
        ratio of odds ratios is the same on every background.
    has_products : bool
        Whether combinations may differ from what the single effects make of them.
    min_pairs : int
        Pairs of treatments without which the model cannot be told from a simpler one.
    module : str
        Module of `cotreat.priors.declare`, where it has another name.
    division : str
        What it tells patients of one regimen apart by, and whose question it therefore asks: such a
        model is run where it is asked for by name.
    """

    name: str
    sentence: str
    predictor: str
    parameters: tuple[str, ...]
    has_structure: bool = True
    has_products: bool = True
    min_pairs: int = 1
    module: str = ""
    division: str = ""

    @property
    def states(self) -> str:
        """The module of `cotreat.priors.declare` that states it."""
        return self.module or self.name

    def arms(self, study: Study) -> tuple[str, ...]:
        """Regimens whose risk the model can speak of."""
        return study.regimens if self.has_structure else study.present


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "exchangeable",
            "The pairs' factors are relatives: each informs the others through a common distribution.",
            "η = α + Σ β_d x_d + Σ (μ + τ z_de) x_d x_e",
            ("alpha", "beta", "mu", "tau", "z"),
            min_pairs=2,
        ),
        Model(
            "interaction",
            "Each pair of treatments has a factor of its own besides the two single ones.",
            "η = α + Σ β_d x_d + Σ γ_de x_d x_e",
            ("alpha", "beta", "gamma"),
        ),
        Model(
            "saturated",
            "Each regimen has a log-odds of its own, drawn from one common distribution.",
            "η_a ~ Normal(m, τ_arm)",
            ("m", "tau_arm", "eta"),
            has_structure=False,
        ),
        Model(
            "additive",
            "Each treatment multiplies the odds by its own factor, whatever else is given.",
            "η = α + Σ β_d x_d",
            ("alpha", "beta"),
            has_products=False,
        ),
        Model(
            "dose",
            "Levels of a treatment are steps of one effect that never turns back.",
            "η = α + Σ β_d x_d + Σ γ_de x_d x_e, x_d in [0, 1] rising with the level",
            ("alpha", "beta", "gamma", "simplex"),
            division=DOSE,
        ),
        Model(
            "duration",
            "As dose, with levels of duration; only who stays on a drug gets to a long one.",
            "η = α + Σ β_d x_d + Σ γ_de x_d x_e, x_d in [0, 1] rising with the level",
            ("alpha", "beta", "gamma", "simplex"),
            module="dose",
            division=DURATION,
        ),
        Model(
            "subgroups",
            "Effects of each treatment differ between subgroups, and are shrunk towards a common one.",
            "η = α + α_g + Σ β_dg x_d + Σ γ_de x_d x_e, β_dg ~ Normal(β_d, τ_d)",
            ("alpha", "alpha_group", "beta", "spread", "effect_z", "gamma"),
        ),
    )
}
"""Every model by name. The first of them that was run speaks in the headline: those that contain
others come before them."""

SUBGROUPS = "subgroups"
"""The model that takes the id of the subgroups after a colon: ``subgroups:age``."""


def described(name: str) -> Model:
    """Return the model of a name that is known to be one, such as ``subgroups:age``."""
    stem, _, division = name.partition(":")
    own = MODELS[stem]
    return replace(own, name=name, module=own.states, division=division or own.division)


def rank(name: str) -> int:
    """Return the place of a model among all, those that speak first before others."""
    return list(MODELS).index(name.partition(":")[0])


def is_asked_for(name: str) -> bool:
    """Tell whether a model asks a question of its own, and is run only where that is asked for."""
    return bool(MODELS[name].division) or name == SUBGROUPS


def find_model(name: str, study: Study) -> Model:
    """Return the model of that name if the study can carry it.

    Parameters
    ----------
    name
        An entry of `MODELS`; ``subgroups`` may be followed by a colon and the id of the subgroups.

    Raises
    ------
    ModelError
        If there is no such model, or the study has too few pairs of treatments for it.
    """
    stem, colon, division = name.partition(":")
    if stem not in MODELS or (colon and not (division and stem == SUBGROUPS)):
        hint = nearest(name, MODELS) or f"the models are {', '.join(MODELS)}"
        raise ModelError(f"no model {name!r}; {hint}")
    if stem == SUBGROUPS:
        name = f"{stem}:{_subgroups(study, division)}"
    model = described(name)
    if model.division:
        try:
            study.divided(model.division)
        except DivisionError as error:
            raise ModelError(f"{name} cannot be fitted: {error}") from None
    if len(study.pairs) < model.min_pairs:
        raise ModelError(
            f"{name} needs at least {model.min_pairs} pairs of treatments that can inform each "
            f"other; {study.id} has {len(study.pairs)}, so use interaction"
        )
    return model


def _subgroups(study: Study, division: str) -> str:
    """Return which subgroups are meant, if the study leaves no choice."""
    known = [own.id for own in study.divisions if own.groups]
    if division or len(known) == 1:
        return division or known[0]
    if not known:
        raise ModelError(f"{study.id} has no subgroups; write [subgroups.…] in its study file")
    raise ModelError(
        f"{study.id} has several subgroups; say which: "
        + " or ".join(f"{SUBGROUPS}:{one}" for one in known)
    )
