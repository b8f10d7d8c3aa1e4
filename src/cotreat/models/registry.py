"""The models: what each assumes of treatments and their combinations, and what it needs.

The registry describes them without loading PyMC. A new model is one module with one function
``log_odds``, and one call of `register`, which also takes the priors of its own parameters.
"""

from dataclasses import dataclass, replace

from cotreat.core.errors import ModelError
from cotreat.core.toml_tables import nearest
from cotreat.priors.defaults import PARAMETERS
from cotreat.priors.prior import Prior
from cotreat.study.study import DOSE, DURATION, StratificationError, Study


@dataclass(frozen=True)
class Model:
    """A model of the log-odds of each regimen.

    Attributes
    ----------
    sentence : str
        What it assumes, in one sentence.
    predictor : str
        Its linear predictor.
    parameters : tuple of str
        Variables that need a prior.
    priors : tuple of Prior
        Priors of those of them that `cotreat.priors.defaults.PARAMETERS` does not have.
    has_structure : bool
        Whether regimens inform each other through treatments, so that regimens without patients get a
        risk and the ratio of odds ratios is the same with every co-treatment.
    has_products : bool
        Whether it has interactions.
    min_pairs : int
        Pairs of treatments that it needs at least.
    module : str
        Module with its function ``log_odds``: one of `cotreat.models`, or a full dotted path. Empty for the
        module of the model's name.
    strata : str
        Strata by which it divides the patients of one regimen. Such a model runs only when it is asked for
        by name.
    """

    name: str
    sentence: str
    predictor: str
    parameters: tuple[str, ...]
    priors: tuple[Prior, ...] = ()
    has_structure: bool = True
    has_products: bool = True
    min_pairs: int = 1
    module: str = ""
    strata: str = ""

    @property
    def states(self) -> str:
        """Dotted path of the module with its function ``log_odds``."""
        module = self.module or self.name
        return module if "." in module else f"cotreat.models.{module}"

    def arms(self, study: Study) -> tuple[str, ...]:
        """Return the regimens whose risk the model estimates."""
        return study.regimens if self.has_structure else study.present


MODELS: dict[str, Model] = {}
"""Every model by name. The primary model is the first of them that was run: models that contain others come
before those."""


def register(model: Model) -> None:
    """Add a model to `MODELS`, and the priors of its own parameters to the default prior set.

    Examples
    --------
    >>> register(Model("mine", "…", "η = …", ("alpha", "mine"), priors=(row,), module="my_module"))
    """
    MODELS[model.name] = model
    PARAMETERS.update({row.variable: row for row in model.priors})


_DOSE_PREDICTOR = "η = α + Σ β_d x_d + Σ γ_de x_d x_e, x_d in [0, 1] increasing with the level"

register(
    Model(
        "exchangeable",
        "Interactions are exchangeable across pairs (partial pooling).",
        "η = α + Σ β_d x_d + Σ (μ + τ z_de) x_d x_e",
        ("alpha", "beta", "mu", "tau", "z"),
        min_pairs=2,
    )
)
register(
    Model(
        "interaction",
        "Each pair of treatments has an interaction of its own.",
        "η = α + Σ β_d x_d + Σ γ_de x_d x_e",
        ("alpha", "beta", "gamma"),
    )
)
register(
    Model(
        "saturated",
        "The log-odds of the regimens are exchangeable, without a structure by treatment.",
        "η_a ~ Normal(m, τ_arm)",
        ("m", "tau_arm", "eta"),
        has_structure=False,
    )
)
register(
    Model(
        "additive",
        "No interaction on the log-odds scale: odds ratios multiply.",
        "η = α + Σ β_d x_d",
        ("alpha", "beta"),
        has_products=False,
    )
)
register(
    Model(
        "dose",
        "The effect of a treatment is monotone in its dose level.",
        _DOSE_PREDICTOR,
        ("alpha", "beta", "gamma", "simplex"),
        strata=DOSE,
    )
)
register(
    Model(
        "duration",
        "The effect of a treatment is monotone in its duration; long durations are subject to "
        "immortal-time bias.",
        _DOSE_PREDICTOR,
        ("alpha", "beta", "gamma", "simplex"),
        module="dose",
        strata=DURATION,
    )
)
register(
    Model(
        "subgroups",
        "Treatment effects differ between subgroups and shrink towards a common effect.",
        "η = α + α_g + Σ β_dg x_d + Σ γ_de x_d x_e, β_dg ~ Normal(β_d, τ_d)",
        ("alpha", "alpha_group", "beta", "spread", "effect_z", "gamma"),
    )
)

SUBGROUPS = "subgroups"
"""The model that takes the id of the subgroups after a colon: ``subgroups:age``."""


def described(name: str) -> Model:
    """Return the model of a name that is known to be one, such as ``subgroups:age``."""
    stem, _, strata = name.partition(":")
    own = MODELS[stem]
    return replace(own, name=name, module=own.states, strata=strata or own.strata)


def rank(name: str) -> int:
    """Return the place of a model among all, those that speak first before others."""
    return list(MODELS).index(name.partition(":")[0])


def is_asked_for(name: str) -> bool:
    """Tell whether a model asks a question of its own, and is run only where that is asked for."""
    return bool(MODELS[name].strata) or name == SUBGROUPS


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
    stem, colon, strata = name.partition(":")
    if stem not in MODELS or (colon and not (strata and stem == SUBGROUPS)):
        hint = nearest(name, MODELS) or f"the models are {', '.join(MODELS)}"
        raise ModelError(f"no model {name!r}; {hint}")
    if stem == SUBGROUPS:
        name = f"{stem}:{_subgroups(study, strata)}"
    model = described(name)
    if model.strata:
        try:
            study.resolve(strata=model.strata)
        except StratificationError as error:
            raise ModelError(f"{name} cannot be fitted: {error}") from None
    if len(study.pairs) < model.min_pairs:
        raise ModelError(
            f"{name} needs at least {model.min_pairs} pairs of treatments that can inform each "
            f"other; {study.id} has {len(study.pairs)}, so use interaction"
        )
    return model


def _subgroups(study: Study, strata: str) -> str:
    """Return which subgroups are meant, if the study leaves no choice."""
    known = [own.id for own in study.stratifications if own.groups]
    if strata or len(known) == 1:
        return strata or known[0]
    if not known:
        raise ModelError(f"{study.id} has no subgroups; write [subgroups.…] in its study file")
    raise ModelError(
        f"{study.id} has several subgroups; say which: "
        + " or ".join(f"{SUBGROUPS}:{one}" for one in known)
    )
