"""Measures of synergy as formulas: closed forms, symmetries, nulls."""

from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from cotreat.estimands.measures import APART, MEASURES, odds, representatives

CELLS = ("r00", "r10", "r01", "r11")
INDEX_OF = {"s": lambda risk: risk, "s_or": odds}  # a synergy index is a ratio of these excesses

risk = st.floats(0.01, 0.99)
# Arrays, as the package itself asks.
tables = st.fixed_dictionaries({cell: risk.map(lambda r: np.array([r])) for cell in CELLS})


def ask(name, cells):
    return MEASURES[name].formula(**cells)


def single_excess(name, cells):
    of = INDEX_OF[name]
    return (of(cells["r10"]) + of(cells["r01"]) - 2 * of(cells["r00"])) / of(cells["r00"])


def assume_clear(name, cells, margin=1e-6):
    # Within rounding of no excess at all, either answer is right.
    if name in INDEX_OF:
        assume(abs(single_excess(name, cells)) > margin)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("ic", "1/4"),
        ("reri_rr", "5/2"),
        ("ap", "5/12"),
        ("s", "2"),
        ("reri_or", "37/4"),
        ("ap_or", "37/54"),
        ("s_or", "50/13"),
        ("ror", "2"),
        ("rrr", "6/5"),
        ("bliss", "4/15"),
        ("hsa", "7/20"),
    ],
)
def test_worked_table(name, exact):
    # Odds 1/9, 1/4, 1/3, 3/2; risk ratios 2, 5/2, 6; odds ratios 9/4, 3, 27/2.
    cells = {"r00": 1 / 10, "r10": 1 / 5, "r01": 1 / 4, "r11": 3 / 5}
    assert ask(name, cells) == pytest.approx(float(Fraction(exact)), rel=1e-14)


@pytest.mark.parametrize("name", MEASURES)
@given(cells=tables)
def test_neither_drug_is_the_first(name, cells):
    assume_clear(name, cells)
    swapped = {**cells, "r10": cells["r01"], "r01": cells["r10"]}
    np.testing.assert_allclose(ask(name, swapped), ask(name, cells), rtol=1e-10, atol=1e-13)


def of_odds(o):
    return o / (1 + o)


INDEPENDENT = {
    "risks add": (
        lambda r, x, y: (r, r + x, r + y, r + x + y),
        ("ic", "reri_rr", "ap", "s"),
    ),
    "odds ratios add": (
        lambda r, x, y: [of_odds(odds(r) * k) for k in (1, 1 + x, 1 + y, 1 + x + y)],
        ("reri_or", "ap_or", "s_or"),
    ),
    "odds multiply": (
        lambda r, x, y: [of_odds(odds(r) * k) for k in (1, 1 + x, 1 + y, (1 + x) * (1 + y))],
        ("ror",),
    ),
    "risks multiply": (
        lambda r, x, y: [r * k for k in (1, 1 + x, 1 + y, (1 + x) * (1 + y))],
        ("rrr",),
    ),
    # Each drug spares its own share of those whom the background spares.
    "drugs act independently": (
        lambda r, x, y: [1 - (1 - r) * k for k in (1, 1 - x, 1 - y, (1 - x) * (1 - y))],
        ("bliss",),
    ),
}


@pytest.mark.parametrize(("make", "names"), INDEPENDENT.values(), ids=INDEPENDENT)
@given(base=st.floats(0.31, 0.41), x=st.floats(-0.15, 0.29), y=st.floats(-0.15, 0.29))
def test_null_under_its_own_independence(make, names, base, x, y):
    cells = dict(zip(CELLS, map(np.array, make(base, x, y)), strict=True))
    for name in names:
        if name in INDEX_OF and x + y < 0.02:
            continue  # no excess, no index
        assert ask(name, cells) == pytest.approx(MEASURES[name].null, abs=1e-11)


def test_every_family_of_synergy_has_an_independence():
    tested = {MEASURES[name].family.name for _, names in INDEPENDENT.values() for name in names}
    assert tested == set(representatives())


@pytest.mark.parametrize(("sign", "others"), [("ic", ("reri_rr", "ap")), ("reri_or", ("ap_or",))])
@given(cells=tables)
def test_one_family_has_one_sign(sign, others, cells):
    for other in others:
        assert np.sign(ask(other, cells)) == np.sign(ask(sign, cells))


@pytest.mark.parametrize("name", INDEX_OF)
@given(cells=tables)
def test_index_is_above_1_where_its_sign_is_positive(name, cells):
    assume_clear(name, cells)
    contrast = ask(MEASURES[name].sign_of, cells)
    assume(abs(contrast) > 1e-9)
    if single_excess(name, cells) > 0:
        assert (ask(name, cells) > 1) == (contrast > 0)


@pytest.mark.parametrize("name", INDEX_OF)
@given(cells=tables)
def test_index_is_nan_exactly_without_excess(name, cells):
    assume_clear(name, cells)
    assert np.isnan(ask(name, cells)) == (single_excess(name, cells) <= 0)


@pytest.mark.parametrize("name", INDEX_OF)
def test_index_is_nan_where_the_single_effects_cancel(name):
    # Quarters are exact in binary, so the excess is exactly 0.
    cells = {cell: xr.DataArray([0.25]) for cell in CELLS}
    assert ask(name, cells).isnull().all()


@given(cells=tables)
def test_hsa_is_the_smaller_gain_over_a_single_drug(cells):
    gains = cells["r11"] - cells["r10"], cells["r11"] - cells["r01"]
    assert ask("hsa", cells) == min(gains)


@pytest.mark.parametrize("name", MEASURES)
def test_floats_arrays_and_labelled_arrays_agree(name):
    values = {"r00": [0.1, 0.2], "r10": [0.2, 0.3], "r01": [0.3, 0.25], "r11": [0.5, 0.4]}
    labelled = {
        cell: xr.DataArray(v, dims="draw", coords={"draw": [7, 8]}) for cell, v in values.items()
    }
    single = [ask(name, {cell: v[i] for cell, v in values.items()}) for i in range(2)]
    arrays = ask(name, {cell: np.array(v) for cell, v in values.items()})
    np.testing.assert_array_equal(arrays, single)
    expected = xr.DataArray(arrays, dims="draw", coords={"draw": [7, 8]})
    xr.testing.assert_identical(ask(name, labelled), expected)


@pytest.mark.parametrize("name", MEASURES)
def test_a_known_background_broadcasts(name):
    reference = {
        "r00": 0.1,
        "r10": np.array([[0.2], [0.3]]),
        "r01": 0.3,
        "r11": np.array([0.4, 0.6]),
    }
    full = dict(zip(CELLS, np.broadcast_arrays(*reference.values()), strict=True))
    np.testing.assert_array_equal(ask(name, reference), ask(name, full))


@given(cells=tables)
def test_measures_of_the_non_event(cells):
    other = {cell: 1 - r for cell, r in cells.items()}
    assert ask("ror", other) == pytest.approx(1 / ask("ror", cells), rel=1e-10)
    assert ask("ic", other) == pytest.approx(-ask("ic", cells), abs=1e-14)


@pytest.mark.parametrize("name", [m.name for m in MEASURES.values() if not m.needs_risks])
@given(cells=tables, factor=st.floats(0.2, 5))
def test_sampling_cases_apart_leaves_odds_measures_alone(name, cells, factor):
    # What a case-control design does: it multiplies all odds by one unknown number.
    assume_clear(name, cells, margin=1e-3)
    sampled = {cell: of_odds(factor * odds(r)) for cell, r in cells.items()}
    np.testing.assert_allclose(ask(name, sampled), ask(name, cells), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [m.name for m in MEASURES.values() if m.needs_risks])
def test_sampling_cases_apart_changes_risk_measures(name):
    cells = {"r00": 0.1, "r10": 0.2, "r01": 0.3, "r11": 0.5}
    sampled = {cell: of_odds(4 * odds(r)) for cell, r in cells.items()}
    assert ask(name, sampled) != pytest.approx(ask(name, cells), rel=0.05)


def test_nulls_disagree_with_each_other():
    # The example of the design: no product term, and yet three different verdicts.
    r = [of_odds(odds(0.15) * k) for k in (1, 2, 1.5, 3)]
    cells = dict(zip(CELLS, r, strict=True))
    uncorrected = cells["r11"] - (1 - (1 - cells["r10"]) * (1 - cells["r01"]))
    assert ask("ror", cells) == pytest.approx(1)
    assert round(ask("ic", cells), 3) == 0.026
    assert round(ask("reri_or", cells), 2) == 0.50
    assert round(uncorrected, 2) == -0.07


def test_five_families_speak_by_a_measure_of_their_own():
    assert len(representatives()) == 5
    assert {
        MEASURES[name].family.name: name for name in representatives().values()
    } == representatives()


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_registry_entry_is_consistent(measure):
    assert measure.family.name in {*representatives(), APART}
    assert measure.null == (1 if measure.log else 0)  # ratios, and only they, are judged on the log
    if measure.sign_of:
        assert MEASURES[measure.sign_of].family == measure.family


@pytest.mark.parametrize(
    "as_", [float, np.float64, lambda x: np.array([x])], ids=["float", "np.float64", "array"]
)
@pytest.mark.parametrize("name", ["s", "s_or"])
@pytest.mark.parametrize("single", [0.125, 0.25])
def test_index_without_excess_is_nan_for_every_kind_of_number(name, as_, single):
    cells = {"r00": as_(0.25), "r10": as_(single), "r01": as_(single), "r11": as_(0.5)}
    assert np.isnan(MEASURES[name].formula(**cells))
