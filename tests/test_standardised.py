"""A model's density in standardised coordinates: against quadrature, closed forms and PyMC's own."""

from importlib import resources

import numpy as np
import pymc as pm
import pytest
from scipy import integrate, stats

from cotreat import load_study, parse_study
from cotreat.evidence.protocol import share_orders_of
from cotreat.evidence.reported import estimates_of
from cotreat.evidence.reported_evidence import ReportedEvidence
from cotreat.evidence.resolve import resolve
from cotreat.inference.standard_coordinates import BLOCK, BLOCKS, Density
from cotreat.models.build import build, given_of, shape_of
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors import model_data
from cotreat.priors.sets import prior_set
from cotreat.study_file.reader import packaged
from tests.conftest import THREE, THREE_CELLS

ARMS = "".join(
    f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {events}\n'
    for arm, (n, events) in THREE_CELLS.items()
)


def points(density, count=5, seed=1):
    return density.start + 0.4 * np.random.default_rng(seed).normal(size=(count, density.size))


def test_what_no_data_speak_of_is_standard_normal():
    with pm.Model() as built:
        pm.HalfNormal("spread", 0.3, shape=2)
        pm.Dirichlet("share", np.ones(4))
        pm.Uniform("tail")
    density = Density(built)
    assert density.size == 6
    assert list(density.spreads) == [0, 1]
    at = points(density, 7)
    expected = stats.norm.logpdf(at).sum(1)
    np.testing.assert_allclose(density.surface({})(at), expected, rtol=1e-12)


@pytest.mark.parametrize("orders", [{}, {"share": [2, 0, 3, 1]}])
def test_standard_normal_points_become_draws_of_the_prior(orders):
    with pm.Model() as built:
        pm.HalfNormal("spread", 0.3)
        pm.Dirichlet("share", np.ones(4))
        pm.Uniform("tail")
    drawn = Density(built, orders).draws(np.random.default_rng(1).normal(size=(20_000, 5)), {})
    laws = [("spread", stats.halfnorm(scale=0.3)), ("tail", stats.uniform())]
    for name, law in laws:
        assert stats.kstest(drawn[name], law.cdf).pvalue > 0.001
    assert np.allclose(drawn["share"].sum(1), 1)
    for at in range(4):  # each share of a uniform point of the simplex is Beta(1, 3)
        assert stats.kstest(drawn["share"][:, at], stats.beta(1, 3).cdf).pvalue > 0.001


def test_shares_are_broken_off_in_the_order_asked_for():
    with pm.Model() as built:
        pm.Dirichlet("share", np.ones(3))
    at = np.array([[5.0, 0.0]])  # nearly all of the stick is broken off first
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        share = Density(built, {"share": order}).draws(at, {})["share"][0]
        assert share[order[0]] == pytest.approx(1, abs=0.01)
        assert share[order[1]] == pytest.approx(share[order[2]])


def test_the_flagships_shares_begin_with_what_is_printed():
    numbers = estimates_of(load_study("sun2024"))
    arms = [numbers.study.present[i] for i in numbers.sizes.blocks[0][0]]
    orders = ReportedEvidence(numbers).share_orders()
    assert [arms[i] for i in orders["share_1"]] == ["TAC+CYC", "TAC+MMF", "TAC", "TAC+CYC+MMF"]
    assert share_orders_of(resolve(load_study("isis2"))) == {}


def test_evidence_by_quadrature_is_that_on_the_variables_own_scale():
    with pm.Model() as built:
        spread = pm.HalfNormal("spread", 2.0)
        pm.Normal("seen", 0, spread, observed=np.array([0.4, -1.2, 0.7]))
    surface = Density(built).surface({})
    found, _ = integrate.quad(lambda z: np.exp(surface(np.array([[z]]))[0]), -8, 8)

    def own(s):
        return stats.halfnorm.pdf(s, scale=2) * stats.norm.pdf([0.4, -1.2, 0.7], 0, s).prod()

    expected, _ = integrate.quad(own, 0, 20)
    assert found == pytest.approx(expected, rel=1e-6)


def test_any_number_of_points_is_worked_out():
    with pm.Model() as built:
        pm.Normal("x", 1.0, 2.0, shape=2)
    surface = Density(built).surface({})
    for count in (1, BLOCK, BLOCK + 1, BLOCK * BLOCKS + 3):
        at = np.random.default_rng(count).normal(size=(count, 2))
        expected = stats.norm(1.0, 2.0).logpdf(at).sum(1)
        np.testing.assert_allclose(surface(at), expected, rtol=1e-8)


def test_a_prior_that_is_not_uniform_is_refused():
    with pm.Model() as built:
        pm.Dirichlet("share", np.array([1.0, 2.0]))
    with pytest.raises(NotImplementedError, match="share is not uniform on the simplex"):
        Density(built)


# --- Numbers that are given ------------------------------------------------------------------------


def specification(study, model, priors):
    found = find_model(model, study)
    told = study.resolve(strata=found.strata)
    chosen = prior_set(priors, told) if isinstance(priors, str) else priors
    return told, found, priors_for(chosen, found, told)


def otherwise(text):
    """Print other numbers in the flagship's file."""
    for old, new in (
        ("value = 2.82\nci = [1.89, 4.22]", "value = 2.60\nci = [1.75, 3.86]"),
        ("value = 2.15\nci = [1.15, 4.02]", "value = 2.17\nci = [1.17, 4.02]"),
        ("value = 5.65\nci = [2.35, 13.55]", "value = 4.80\nci = [2.10, 10.97]"),
        ("events = 221", "events = 240"),
        ("n = 244", "n = 260"),
        ("n = 549", "n = 533"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


def sun2024():
    return (resources.files("cotreat.studies") / "sun2024.toml").read_text(encoding="utf-8")


def pairs():
    three, other = (parse_study(THREE + arms) for arms in (ARMS, ARMS.replace("12", "17")))
    flagship, changed = load_study("sun2024"), parse_study(otherwise(sun2024()))
    cohort = load_study("sun2024-synthetic")
    for model in ("interaction", "exchangeable", "saturated", "additive"):
        yield f"three-{model}", (three, model, "weak"), (other, model, "weak")
    yield "beliefs", (three, "interaction", "weak"), (three, "interaction", "sceptical")
    narrow = prior_set("weak", flagship).change("sigma", sigma=0.5, name="narrow", reason="a test")
    yield "score", (flagship, "exchangeable", "weak"), (changed, "exchangeable", narrow)
    yield "print", (flagship, "interaction", "weak"), (changed, "interaction", "weak")
    yield "dose", (flagship, "dose", "weak"), (changed, "dose", "grid:optimistic-strong")
    yield "subgroups", (cohort, "subgroups", "weak"), (cohort, "subgroups", "sceptical")


@pytest.mark.slow
@pytest.mark.parametrize("case", list(pairs()), ids=lambda case: case[0])
def test_what_is_compiled_for_one_serves_for_all_of_its_shape(case):
    _, one, other = case
    (first, model, priors), (study, same, chosen) = specification(*one), specification(*other)
    assert shape_of(first, model, priors) == shape_of(study, same, chosen)
    compiled, own = Density(build(first, model, priors)), Density(build(study, same, chosen))
    numbers, at = given_of(study, same, chosen), points(own)
    expected = own.surface(own.given)(at)
    np.testing.assert_allclose(compiled.surface(numbers)(at), expected, rtol=1e-10)
    assert not np.allclose(compiled.surface(compiled.given)(at), expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("isis2", "interaction"), ("isis2", "additive")),
        (("isis2", "interaction"), ("oral-cancer", "interaction")),
        (("sun2024", "interaction"), ("sun2024", "interaction", "four-set-products")),
        (("sun2024", "interaction"), ("sun2024", "interaction", "abstract-wording")),
        (("sun2024", "dose"), ("sun2024", "duration")),
    ],
)
def test_other_structures_have_other_shapes(one, other):
    found = []
    for name, model, *interpretation in (one, other):
        study = load_study(name)
        study = study.resolve(interpretation[0]) if interpretation else study
        found.append(shape_of(*specification(study, model, "weak")))
    assert found[0] != found[1]


def test_density_is_pymcs_with_the_jacobian():
    # α, β and γ are normal: their coordinates are what PyMC walks on.
    study, model, priors = specification(load_study("isis2"), "interaction", "weak")
    built = build(study, model, priors)
    density = Density(built)
    start = built.initial_point()
    names = [built.rvs_to_values[rv].name for rv in built.free_RVs]
    logp = built.compile_logp(mode="FAST_COMPILE")
    for at in points(density, 3):
        parts = np.split(at, np.cumsum([start[name].size for name in names])[:-1])
        point = {n: p.reshape(start[n].shape) for n, p in zip(names, parts, strict=True)}
        found = density.surface(density.given)(at[None])[0]
        assert found == pytest.approx(float(logp(point)), rel=1e-10)


def test_given_names_are_those_of_the_model():
    for name in packaged():
        study, model, priors = specification(load_study(name), "interaction", "weak")
        built = build(study, model, priors)
        known = given_of(study, model, priors)
        for variable in built.data_vars:
            np.testing.assert_array_equal(known[variable.name], variable.get_value())


def test_data_stated_twice_are_one():
    with pm.Model() as built:
        (one,) = model_data.state({"a": 1.0}).values()
        (two,) = model_data.state({"a": 1.0}).values()
    assert one is two
    assert [v.name for v in built.data_vars] == ["a"]
