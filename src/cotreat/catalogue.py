"""The models: what each says of treatments and their combinations, and what it needs.

This catalogue describes them without loading PyMC. A new model is one module of `cotreat.effects`
with one function ``log_odds``, and one entry here.
"""

from dataclasses import dataclass

from cotreat.study import Study


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
    """

    name: str
    sentence: str
    predictor: str
    parameters: tuple[str, ...]
    has_structure: bool = True
    has_products: bool = True
    min_pairs: int = 1

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
    )
}
"""Every model by name. The first of them that was run speaks in the headline: those that contain
others come before them."""


def find_model(name: str, study: Study) -> Model:
    """Return the model of that name if the study can carry it.

    Raises
    ------
    ModelError
        If there is no such model, or the study has too few pairs of treatments for it.
    """
    if name not in MODELS:
        raise ModelError(f"no model {name!r}; the models are {', '.join(MODELS)}")
    model = MODELS[name]
    if len(study.pairs) < model.min_pairs:
        raise ModelError(
            f"{name} needs at least {model.min_pairs} pairs of treatments that can inform each "
            f"other; {study.id} has {len(study.pairs)}, so use interaction"
        )
    return model
