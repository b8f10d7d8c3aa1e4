"""Kept results hold for the code as it is, and long runs are kept whole or not at all."""

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from pymc.sampling.jax import get_jaxified_logp
from validation import densities as made_of
from validation import units, verify
from validation.densities import DENSITY, Case, agree, densities
from validation.units import UNITS, Unit

from cotreat.calibration.kept import jobs

ROOT = Path(__file__).parents[1]
PENDING = re.compile(r"Pending: `([^`]+)`")


# --- Densities -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [Case("reported-adjusted", "interaction"), Case("patients", "saturated")],
    ids=lambda case: case.study,
)
def test_densities_and_gradients_are_those_that_jax_compiles(case):
    built = made_of._built(case)
    own = jax.jit(jax.value_and_grad(get_jaxified_logp(built, negative_logp=True)))
    shapes = [built.initial_point()[value.name].shape for value in built.value_vars]
    for point, rows in densities(case).groupby("point"):
        is_density = rows.parameter == DENSITY
        at = np.split(
            rows.loc[~is_density, "at"].to_numpy(),
            np.cumsum([int(np.prod(s)) for s in shapes])[:-1],
        )
        value, gradient = own([part.reshape(shape) for part, shape in zip(at, shapes, strict=True)])
        assert float(value) == pytest.approx(rows[is_density].value.iloc[0], rel=1e-8), point
        found = np.concatenate([np.ravel(part) for part in gradient])
        expected = rows.loc[~is_density, "value"].to_numpy()
        assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()


def test_a_constant_or_a_derivative_that_changes_is_seen():
    rows = densities(Case("counts", "additive"))
    assert agree(rows, rows.sample(frac=1, random_state=1).sort_index())
    for name, share, same in ((DENSITY, 1e-9, True), (DENSITY, 1e-7, False)):
        moved = rows.copy()
        moved.loc[(moved.parameter == name) & (moved.point == 1), "value"] *= 1 + share
        assert agree(moved, rows) is same
    steep = rows[rows.parameter != DENSITY].value.abs().idxmax()
    moved = rows.copy()
    moved.loc[steep, "value"] *= 1 + 1e-7
    assert not agree(moved, rows)
    assert not agree(rows[rows.point < 2], rows)


def test_every_model_under_every_kind_of_evidence_has_a_unit():
    cases = {case for unit in UNITS for case in unit.cases}
    assert {Case(*one) for one in jobs()} <= cases
    assert len({unit.name for unit in UNITS}) == len(UNITS)


def test_every_file_with_long_tests_and_every_script_has_a_unit():
    marked = {
        path.stem
        for path in (ROOT / "tests").glob("test_*.py")
        if "mark.long" in path.read_text(encoding="utf-8") and path.stem != "test_verify"
    }
    assert marked == set(units.LONG_TESTS)
    assert {path.stem for path in (ROOT / "models").glob("*.py")} == set(units.MADE_BY)


def test_outcomes_of_long_tests_are_those_of_the_tests_that_there_are():
    for name in units.LONG_TESTS:
        kept = (ROOT / "results" / "verify" / "tests" / f"{name}.txt").read_text(encoding="utf-8")
        outcomes = {line.split(":")[0].split("[")[0] for line in kept.splitlines()}
        tree = ast.parse((ROOT / "tests" / f"{name}.py").read_text(encoding="utf-8"))
        tests = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        marked = {
            name
            for name, node in tests.items()
            if name.startswith("test_")
            and any("mark.long" in ast.unparse(one) for one in node.decorator_list)
        }
        assert marked <= outcomes <= set(tests), name


# --- What is stale ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_stale_results_are_those_that_are_listed_and_pages_mark_them():
    listed = verify.pending()
    assert set(verify.stale()) == set(listed)
    assert all(
        one["why"] and re.fullmatch(r"[0-9a-f]{7,40}", one["since"]) for one in listed.values()
    )
    pages = [ROOT / "README.md", *(ROOT / "results").glob("**/README.md")]
    marked = {name for page in pages for name in PENDING.findall(page.read_text(encoding="utf-8"))}
    assert marked == set(listed)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder of results with one unit, of the cheapest density."""
    monkeypatch.setattr(units, "RESULTS", tmp_path)
    for name in ("FOLDER", "DENSITIES", "MADE", "MINUTES", "PENDING", "WORK"):
        own = getattr(verify, name).relative_to(units.ROOT / "results")
        monkeypatch.setattr(verify, name, tmp_path / own)
    code = "import sys, pathlib; pathlib.Path(sys.argv[1], 'one.txt').write_text('made')"
    unit = Unit("one", ("-c", code, "{work}"), ("own/one.txt",), 2.0, (Case("counts", "additive"),))
    monkeypatch.setattr(verify, "UNITS", (unit,))
    return tmp_path


def test_a_unit_is_run_once_kept_whole_and_stale_when_its_density_changes(place, monkeypatch):
    (unit,) = verify.UNITS
    assert verify.to_do() == [unit]
    assert verify.status([unit]).splitlines()[0].split() == ["one", "missing", "2", "CPU-min"]
    assert verify.run(unit)
    assert (place / "own" / "one.txt").read_text() == "made"
    assert verify.to_do() == []
    assert verify.status([]) == "every unit is done"
    assert 0 <= verify.measured_minutes()["one"] < 1
    assert verify.status([unit]).splitlines()[0].split()[-2:] == ["0", "CPU-min"]
    rows = verify.read_densities()
    verify.DENSITIES.write_text(rows.assign(value=rows.value * 1.001).to_csv(index=False))
    assert verify.stale() == ["one"]
    assert verify.run(unit)
    assert verify.stale() == []
    assert set(verify.read_made().version) == {2}  # and the version that nothing needs is gone
    assert set(verify.read_densities().version) == {2}
    monkeypatch.setattr(verify, "UNITS", (replace(unit, cases=(Case("counts", "interaction"),)),))
    assert verify.stale() == ["one"]


def test_a_unit_that_fails_changes_nothing_and_goes_on_where_it_was(place):
    (unit,) = verify.UNITS
    assert verify.run(unit)
    code = "import sys, pathlib; pathlib.Path(sys.argv[1], 'half').touch(); sys.exit(1)"
    broken = replace(unit, command=("-c", code, "{work}"))
    assert not verify.run(broken)
    assert (place / "own" / "one.txt").read_text() == "made"
    assert (verify.WORK / "one" / "half").exists()


@pytest.mark.usefixtures("place")
def test_what_is_listed_has_a_name_a_reason_and_a_commit():
    assert verify.pending() == {}
    verify.FOLDER.mkdir()
    verify.PENDING.write_text('[[pending]]\nname = "one"\nwhy = "a prior"\nsince = "abcdef1"\n')
    assert verify.pending() == {"one": {"why": "a prior", "since": "abcdef1"}}


def test_an_unknown_unit_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["verify", "no-such"])
    with pytest.raises(SystemExit):
        verify.main()
    assert "no units no-such" in capsys.readouterr().err
