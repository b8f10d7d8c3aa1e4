"""Register the models: their assumptions, linear predictors, parameters and requirements.

The registry does not import PyMC. A new model is one module with one function ``log_odds``, and one call of
`register`, which also adds the default priors of its parameters.
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
    name : str
        Name of the model, its key in `MODELS`.
    sentence : str
        Assumption of the model, in one sentence.
    predictor : str
        Linear predictor, as a formula.
    parameters : tuple of str
        Variables that need a prior.
    priors : tuple of Prior
        Default priors of the parameters that `cotreat.priors.defaults.PARAMETERS` does not contain.
    has_structure : bool
        Whether the log-odds are a function of treatment effects. If so, regimens without patients have a risk,
        and the ratio of odds ratios of a pair is the same with every co-treatment.
    has_products : bool
        Whether the model has interactions.
    min_pairs : int
        Smallest number of pairs of treatments.
    module : str
        Module with the function ``log_odds``: a module of `cotreat.models`, or a full dotted path. Empty for the
        module with the name of the model.
    strata : str
        Strata by which the model stratifies the patients of a regimen: ``dose``, ``duration`` or the id of
        subgroups. Such a model runs only on request by name.
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
    def module_path(self) -> str:
        """Dotted path of the module with the function ``log_odds``."""
        module = self.module or self.name
        return module if "." in module else f"cotreat.models.{module}"

    def arms(self, study: Study) -> tuple[str, ...]:
        """Return the regimens whose risk the model estimates.

        Parameters
        ----------
        study
            Study, stratified by `strata`.

        Returns
        -------
        tuple of str
            All regimens; without structure those of the cohort.
        """
        return study.regimens if self.has_structure else study.present


MODELS: dict[str, Model] = {}
"""Models by name, the more general ones first. The primary model is the first one that was run."""


def register(model: Model) -> None:
    """Add a model to `MODELS`, and the priors of its parameters to the default prior set.

    Parameters
    ----------
    model
        The model; it replaces a model with the same name.

    Examples
    --------
    >>> register(Model("mine", "…", "η = …", ("alpha", "mine"), priors=(row,), module="my_module"))
    """
    MODELS[model.name] = model
    PARAMETERS.update({row.variable: row for row in model.priors})


_DOSE_PREDICTOR = "η = α + Σ β_d x_d + Σ γ_de x_d x_e, x_d in [0, 1] increasing with the level"

for packaged in (
    Model(
        "exchangeable",
        "Interactions are exchangeable across pairs (partial pooling).",
        "η = α + Σ β_d x_d + Σ (μ + τ z_de) x_d x_e",
        ("alpha", "beta", "mu", "tau", "z"),
        min_pairs=2,
    ),
    Model(
        "interaction",
        "Each pair of treatments has an interaction of its own.",
        "η = α + Σ β_d x_d + Σ γ_de x_d x_e",
        ("alpha", "beta", "gamma"),
    ),
    Model(
        "saturated",
        "The log-odds of the regimens are exchangeable, without a structure by treatment.",
        "η_a ~ Normal(m, τ_arm)",
        ("m", "tau_arm", "eta"),
        has_structure=False,
    ),
    Model(
        "additive",
        "No interaction on the log-odds scale: odds ratios multiply.",
        "η = α + Σ β_d x_d",
        ("alpha", "beta"),
        has_products=False,
    ),
    Model(
        "dose",
        "The effect of a treatment is monotone in its dose level.",
        _DOSE_PREDICTOR,
        ("alpha", "beta", "gamma", "simplex"),
        strata=DOSE,
    ),
    Model(
        "duration",
        "The effect of a treatment is monotone in its duration; long durations are subject to "
        "immortal-time bias.",
        _DOSE_PREDICTOR,
        ("alpha", "beta", "gamma", "simplex"),
        module="dose",
        strata=DURATION,
    ),
    Model(
        "subgroups",
        "Treatment effects differ between subgroups and shrink towards a common effect.",
        "η = α + α_g + Σ β_dg x_d + Σ γ_de x_d x_e, β_dg ~ Normal(β_d, τ_d)",
        ("alpha", "alpha_group", "beta", "spread", "effect_z", "gamma"),
    ),
):
    register(packaged)

SUBGROUPS = "subgroups"
"""Name of the model that accepts the id of subgroups after a colon: ``subgroups:age``."""


def described(name: str) -> Model:
    """Return the model with a valid name.

    Parameters
    ----------
    name
        Name of a model, such as ``interaction`` or ``subgroups:age``.

    Returns
    -------
    Model
        The entry of `MODELS`; with subgroups, it has their id as `strata`.

    Raises
    ------
    KeyError
        If no model has this name; `find_model` checks a name.
    """
    stem, _, strata = name.partition(":")
    model = MODELS[stem]
    return replace(model, name=name, module=model.module_path, strata=strata or model.strata)


def rank(name: str) -> int:
    """Return the position of a model in `MODELS`; the primary model has the lowest position.

    Parameters
    ----------
    name
        Name of a model, such as ``interaction`` or ``subgroups:age``.

    Returns
    -------
    int
        Position from 0.

    Raises
    ------
    ValueError
        If no model has this name.
    """
    return list(MODELS).index(name.partition(":")[0])


def is_on_request(name: str) -> bool:
    """Return whether a model runs only on request by name, because it addresses a separate question.

    Parameters
    ----------
    name
        Key of `MODELS`.

    Returns
    -------
    bool
        True for models of strata and subgroups.

    Raises
    ------
    KeyError
        If no model has this name.
    """
    return bool(MODELS[name].strata) or name == SUBGROUPS


def find_model(name: str, study: Study) -> Model:
    """Return the model with a given name after checking that it can be fitted to the study.

    Parameters
    ----------
    name
        Key of `MODELS`; a colon and the id of subgroups may follow ``subgroups``.
    study
        The study.

    Returns
    -------
    Model
        With the resolved id of the subgroups, if any.

    Raises
    ------
    ModelError
        If no model has this name, or the study has too few pairs of treatments or not the strata of the model.
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
    """Return the id of the subgroups: the requested one, or the only one of the study."""
    available = [item.id for item in study.stratifications if item.groups]
    if strata or len(available) == 1:
        return strata or available[0]
    if not available:
        raise ModelError(f"{study.id} has no subgroups; write [subgroups.…] in its study file")
    raise ModelError(
        f"{study.id} has several subgroups; choose one: "
        + " or ".join(f"{SUBGROUPS}:{strata_id}" for strata_id in available)
    )
