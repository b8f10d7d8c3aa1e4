"""Recover true values from individual patient data.

Regimens and covariates are those of the synthetic cohort; true values and responses are drawn from the model that
is fitted. patients.csv contains the coverage of 95 % intervals by effect, and patients.md summarises it. An
interrupted run resumes from the finished replicates in the scratch file (--scratch).
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cotreat.evidence.resolve import resolve
from cotreat.inference.sampling import PACKAGES, prepare_jax
from cotreat.models.select import priors_for

prepare_jax(1)  # before JAX is started; the chains of a fit are vectorised on one device

import arviz as az  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pymc as pm  # noqa: E402
import xarray as xr  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from pymc.sampling.jax import get_jaxified_graph  # noqa: E402
from pytensor.graph.replace import clone_replace  # noqa: E402
from pytensor.graph.traversal import io_toposort  # noqa: E402
from scipy.special import bdtr  # noqa: E402

from cotreat import load_study, parse_study  # noqa: E402
from cotreat.core.constants import CHAINS, INTERVAL  # noqa: E402
from cotreat.diagnostics.checks import ESS, RHAT  # noqa: E402
from cotreat.estimands.enumerate import enumerate_estimands  # noqa: E402
from cotreat.estimands.estimand import risk_draws_of  # noqa: E402
from cotreat.inference.vectorise import function_of_draws  # noqa: E402
from cotreat.models.build import build  # noqa: E402
from cotreat.models.registry import find_model  # noqa: E402
from cotreat.priors.sets import prior_set  # noqa: E402
from cotreat.study.study import Study  # noqa: E402
from validation.scripts.compiled_nuts import compiled_chains, split  # noqa: E402
from validation.simulate import simulate  # noqa: E402

OUT = Path(__file__).parents[2] / "results" / "recovery"
MODELS = ("interaction", "exchangeable")
PATIENTS, CENTRES = 793, tuple("ABCDEF")
PARAMETERS = ("beta", "gamma", "mu", "tau", "delta", "between", "cluster_effect")
REFERENCE = "CYC"
"""Reference regimen of the comparisons."""
TUNE, DRAWS, TARGET_ACCEPT = 500, 1500, 0.8
BAND = 0.999
"""Probability of the binomial band of the number of covering intervals of an effect."""
COLUMNS = ("truth", "median", "lower", "upper", "below")
Record = dict[str, Any]


def cohort(seed: int) -> Study:
    """Return the synthetic cohort of the flagship, with six centres instead of its periods.

    Parameters
    ----------
    seed
        Seed of the simulation.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = simulate(load_study("sun2024"), PATIENTS, seed, Path(folder))
        frame, text = pd.read_csv(path.with_suffix(".csv")), path.read_text(encoding="utf-8")
    frame["centre"] = np.random.default_rng(seed).choice(CENTRES, len(frame))
    return parse_study(text.replace('cluster = "period"', 'cluster = "centre"'), patients=frame)


def of_data(density: Any, data: Any, values: list[Any]) -> list[Any]:
    """Return the largest terms of a density that depend on the data but on no parameter.

    Binomial coefficients are such a term; their evaluation at every step would take most of the run time.

    Parameters
    ----------
    density
        PyTensor variable of the log density.
    data
        PyTensor variable of the data.
    values
        PyTensor variables of the parameters.
    """
    nodes = list(io_toposort([], [density]))
    of_parameters, of_responses = set(values), {data}
    for node in nodes:
        for grown in (of_parameters, of_responses):
            if grown.intersection(node.inputs):
                grown.update(node.outputs)
    inputs = (i for node in nodes if of_parameters.intersection(node.outputs) for i in node.inputs)
    return list(dict.fromkeys(i for i in inputs if i in of_responses and i not in of_parameters))


class Experiment:
    """A model of a cohort, compiled for any responses of the patients.

    Parameters
    ----------
    model
        Name of the model.
    seed
        Seed of the cohort, of the true values and of the sampler.
    scenarios
        Number of draws of true values.
    """

    def __init__(self, model: str, seed: int, scenarios: int) -> None:
        self.study, self._named = cohort(seed), {"model": model, "seed": seed}
        self.model = find_model(model, self.study)
        priors = priors_for(prior_set("weak", self.study), self.model, self.study)
        self.built, self._scenarios = build(self.study, self.model, priors), scenarios
        self._start = self.built.initial_point()
        self.shapes = [np.shape(self._start[v.name]) for v in self.built.value_vars]

    @cached_property
    def scenarios(self) -> xr.Dataset:
        """True values and responses drawn from the prior predictive distribution, dims (chain, draw, …)."""
        with self.built:
            drawn = pm.sample_prior_predictive(
                self._scenarios,
                random_seed=self._named["seed"],
                compile_kwargs={"mode": "FAST_COMPILE"},  # compilation by numba takes many seconds
            )
        return drawn["prior"].to_dataset().assign(drawn["prior_predictive"].to_dataset())

    @cached_property
    def truths(self) -> xr.DataArray:
        """True values of the effects, dims (chain, draw, effect)."""
        return self.effects(self.scenarios)

    @cached_property
    def _density(self) -> tuple[Any, Any]:
        """Functions of the terms that depend on responses alone, and of the density given these terms."""
        (events,) = self.built.observed_RVs
        seen, values = self.built.rvs_to_values[events], self.built.value_vars
        responses = seen.type("responses")
        (density,) = clone_replace([self.built.logp()], replace={seen: responses})
        parts = of_data(density, responses, values)
        terms = {part: part.type() for part in parts}
        (density,) = clone_replace([density], replace=terms)
        return (
            get_jaxified_graph(inputs=[responses], outputs=parts),
            get_jaxified_graph(inputs=[*values, *terms.values()], outputs=[density]),
        )

    def data(self, responses: NDArray[np.int64]) -> list[Any]:
        """Return the terms of the density that depend on responses, given by covariate pattern, shape (cell,).

        Parameters
        ----------
        responses
            Number of events by covariate pattern, shape (cell,).
        """
        return list(self._density[0](responses))

    def log_density(self, x: Any, data: list[Any]) -> Any:
        """Evaluate the log density, with all constants, at unconstrained parameters, shape (coordinate,).

        Parameters
        ----------
        x
            Unconstrained parameters, shape (coordinate,).
        data
            Result of `data`.
        """
        return self._density[1](*split(x, self.shapes), *data)[0]

    @cached_property
    def _chains(self) -> Any:
        """Compiled NUTS of the density."""
        return compiled_chains(
            self.log_density, tune=TUNE, draws=DRAWS, target_accept=TARGET_ACCEPT
        )

    @cached_property
    def _constrained(self) -> tuple[list[str], Any]:
        """Names of the parameters and risks, and the function that computes them from unconstrained draws."""
        names = [n for n in (*PARAMETERS, "risk", "conditional_risk") if n in self.built.named_vars]
        outputs = self.built.replace_rvs_by_values([self.built[name] for name in names])
        function = get_jaxified_graph(inputs=self.built.value_vars, outputs=outputs)
        return names, function_of_draws(lambda x: function(*split(x, self.shapes)))

    def sample(self, responses: NDArray[np.int64], seed: int) -> tuple[xr.Dataset, int]:
        """Sample the posterior.

        Parameters
        ----------
        responses
            Number of events by covariate pattern, shape (cell,).
        seed
            Seed of the sampler.

        Returns
        -------
        tuple
            Draws, dims (chain, draw, …), and the number of divergences.
        """
        *keys, jitter = jax.random.split(jax.random.PRNGKey(seed), CHAINS + 1)
        start = np.concatenate([np.ravel(self._start[v.name]) for v in self.built.value_vars])
        starts = start + jax.random.uniform(jitter, (CHAINS, start.size), minval=-1.0)
        x, diverging = self._chains(np.array(keys), starts, self.data(responses))
        names, function = self._constrained
        values = map(np.asarray, function(x.reshape(-1, start.size)))
        dims = {name: self.built.named_vars_to_dims.get(name, ()) for name in names}
        variables = {
            name: (("chain", "draw", *dims[name]), array.reshape(CHAINS, DRAWS, *array.shape[1:]))
            for name, array in zip(names, values, strict=True)
        }
        coords = {dim: list(self.built.coords[dim]) for array in dims.values() for dim in array}
        return xr.Dataset(variables, coords), int(diverging.sum())

    def effects(self, draws: xr.Dataset) -> xr.DataArray:
        """Compute every effect for every draw, dims (chain, draw, effect).

        Parameters
        ----------
        draws
            Draws of parameters and risks, dims (chain, draw, …).
        """
        by_name: dict[str, xr.DataArray] = {}
        for name in (n for n in PARAMETERS if n in draws):
            for at in np.ndindex(draws[name].shape[2:]):
                array = draws[name][:, :, *at]
                labels = [str(array[dim].values) for dim in draws[name].dims[2:]]
                by_name[f"{name}[{', '.join(labels)}]" if labels else name] = array
        risk_draws = risk_draws_of(draws)
        for estimand in enumerate_estimands(self.study, self.model, resolve(self.study)):
            kind, arms = estimand.measure, set(estimand.arms)
            is_ratio = kind == "odds_ratio" and REFERENCE in arms <= set(self.study.counted)
            if is_ratio or kind in ("risk", "ic", "ror"):
                name = f"ror[{estimand.pair}]" if kind == "ror" else estimand.code
                by_name[name] = estimand.values(risk_draws)
        risk = draws["risk"]
        for arm in (a for a in self.study.counted if a != REFERENCE):
            difference = risk.sel(arm=arm) - risk.sel(arm=REFERENCE)
            by_name[f"risk_difference[{arm} vs {REFERENCE}]"] = difference
        values = np.stack([array.values for array in by_name.values()], axis=-1)
        return xr.DataArray(
            values, dims=("chain", "draw", "effect"), coords={"effect": list(by_name)}
        )

    def replicate(self, at: int) -> Record:
        """Fit the responses of one draw of true values and compare the posterior with them.

        Parameters
        ----------
        at
            Index of the draw.

        Returns
        -------
        dict
            Model, seed, replicate, diagnostics, and the result of `compared`.
        """
        responses = self.scenarios["events"].values[0, at]
        draws, diverging = self.sample(responses, 1000 * self._named["seed"] + at)
        posterior = self.effects(draws)
        dataset = xr.Dataset({"effects": posterior})
        least = min(float(az.ess(dataset, method=m)["effects"].min()) for m in ("bulk", "tail"))
        return {
            **self._named,
            "replicate": at,
            "rhat": float(az.rhat(dataset)["effects"].max()),
            "ess": least,
            "divergences": diverging,
            "effects": compared(self.truths.isel(chain=0, draw=at), posterior),
        }


def compared(truth: xr.DataArray, found: xr.DataArray) -> dict[str, list[float]]:
    """Compare the posterior of the effects with their true values.

    Parameters
    ----------
    truth
        True values, dims (effect,).
    found
        Draws, dims (chain, draw, effect).

    Returns
    -------
    dict
        By effect the values of `COLUMNS`: true value, median, 95 % interval, share of draws below the true value.
    """
    tail = (1 - INTERVAL) / 2
    ends = found.quantile([0.5, tail, 1 - tail], ("chain", "draw")).values
    below = (found < truth).mean(("chain", "draw")).values
    rows = np.stack([truth.values, *ends, below], axis=1)
    return dict(zip(found["effect"].values.tolist(), rows.tolist(), strict=True))


# --- Results ---------------------------------------------------------------------------------------


def band(count: int) -> tuple[int, int]:
    """Return the equal-tailed binomial band of the number of covering intervals under nominal coverage.

    Parameters
    ----------
    count
        Number of intervals.
    """
    below = bdtr(np.arange(count), count, INTERVAL)
    tail = (1 - BAND) / 2
    return int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail))


def rows_of(records: list[Record]) -> pd.DataFrame:
    """Return a table with one row per replicate and effect.

    Parameters
    ----------
    records
        Results of `Experiment.replicate`.
    """
    rows = pd.DataFrame(
        [
            (record["replicate"], has_failed(record), effect, *numbers)
            for record in records
            for effect, numbers in record["effects"].items()
        ],
        columns=["replicate", "failed", "effect", *COLUMNS],
    )
    return rows.assign(covered=rows["truth"].between(rows["lower"], rows["upper"]))


def has_failed(one: Record) -> bool:
    """Test whether a fit fails a check of R-hat, effective sample size or divergences.

    Parameters
    ----------
    one
        Result of `Experiment.replicate`.
    """
    return one["rhat"] > RHAT or one["ess"] < ESS or one["divergences"] > 0


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise rows by effect; columns with the prefix ``sound`` exclude failed fits.

    Parameters
    ----------
    rows
        Rows returned by `rows_of`.

    Returns
    -------
    pandas.DataFrame
        Coverage, its binomial band, median width and standardised mean rank by effect.
    """
    lines = []
    for effect, group in rows.groupby("effect", sort=False):
        covered, count = int(group["covered"].sum()), len(group)
        lower, upper = band(count)
        sound = group["covered"][~group["failed"]]
        lines.append(
            {
                "effect": effect,
                "covered": covered,
                "replicates": count,
                "coverage": covered / count,
                "band_lower": lower / count,
                "band_upper": upper / count,
                "inside": "yes" if lower <= covered <= upper else "no",
                "sound_covered": int(sound.sum()),
                "sound_replicates": len(sound),
                "median_width": (group["upper"] - group["lower"]).median(),
                # Shares below the true value are uniform if the posterior is correct.
                "mean_rank_z": (group["below"].mean() - 0.5) * np.sqrt(12 * count),
            }
        )
    return pd.DataFrame(lines)


def pooled(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the share of intervals that contain the true value, and its standard error over replicates.

    Parameters
    ----------
    rows
        Rows returned by `rows_of`.
    """
    by_replicate = rows.groupby("replicate")["covered"].mean()
    return float(by_replicate.mean()), float(by_replicate.std() / np.sqrt(len(by_replicate)))


def page(records: list[Record], model: str, name: str) -> str:
    """Return the text of patients.md.

    Parameters
    ----------
    records
        Results of `Experiment.replicate`.
    model
        Name of the model.
    name
        Name of the table, without suffix.
    """
    rows = rows_of(records)
    table, kinds = table_of(rows), rows["effect"].str.partition("[")[0]
    outside = [f"`{effect}`" for effect in table["effect"][table["inside"] == "no"]]
    lines = []
    for kind in kinds.unique():
        share, error = pooled(rows[kinds == kind])
        count = rows["effect"][kinds == kind].nunique()
        lines.append(f"| `{kind}` | {count} | {share:.1%} | {error:.1%} |")
    (share, error), (sound, sound_error) = pooled(rows), pooled(rows[~rows["failed"]])
    return PAGE.format(
        model=model,
        name=name,
        share=share,
        error=error,
        sound=sound,
        sound_error=sound_error,
        replicates=len(records),
        failed=sum(map(has_failed, records)),
        rhat=max(record["rhat"] for record in records),
        ess=min(record["ess"] for record in records),
        divergences=sum(record["divergences"] for record in records),
        effects=len(table),
        outside=", ".join(outside) or "none",
        z=table["mean_rank_z"].abs().max(),
        lowest=table["coverage"].min(),
        highest=table["coverage"].max(),
        band_lower=table["band_lower"][0],
        band_upper=table["band_upper"][0],
        lines="\n".join(lines),
        seed=records[0]["seed"],
        date=datetime.now(UTC).date(),
        versions=", ".join(f"{package} {version(package)}" for package in PACKAGES),
        python=sys.version.split()[0],
        chains=CHAINS,
        tune=TUNE,
        draws=DRAWS,
        accept=TARGET_ACCEPT,
        bar_rhat=RHAT,
        bar_ess=ESS,
        patients=PATIENTS,
        reference=REFERENCE,
    )


PAGE = """# True values recovered from individual patient data: `{model}`

**{share:.1%} of the 95 % intervals contain the true value (Monte Carlo error {error:.1%}), pooled over
{effects} effects and {replicates} cohorts of {patients} patients.** Effects outside their 99.9 % binomial band
({band_lower:.1%} to {band_upper:.1%} for {replicates} cohorts): {outside}; single effects lie between {lowest:.1%} and
{highest:.1%}. `{name}.csv` has a row for each effect.

1. **Design.** Regimens and covariates are those of the synthetic cohort that `validation.simulate` generates
   from sun2024 with {patients} patients and seed {seed}: three treatments in seven regimens, two continuous covariates and one
   with three levels. Six invented centres, independent of everything else, replace its three periods.
2. **True values.** The model `{model}` with the `weak` priors, built by `cotreat.models.build.build`, generates its
   parameters (reference risk, effects, product terms, covariates, SD of the centres, effect of
   each centre) and then the response of each patient. No cohort is discarded.
3. **Fit.** The same model is fitted to these responses by NUTS: {chains} chains of {tune} + {draws} draws, target
   acceptance {accept}. The density of the PyMC model is sampled directly, because `cotreat.fit`
   would compile it for each cohort; a test compares its density and its posterior with those of `cotreat.fit`.
4. **Effects.** They are log odds ratios of treatments (`beta`), pairs (`gamma`) and covariates (`delta`); the SD of the
   centres (`between`) and the effect of each (`cluster_effect`); conditional odds ratios and differences of standardised
   risks of the counted regimens against {reference}; standardised risks of all regimens, including no treatment, which no
   patient received; `ic` of each pair with each co-treatment; and `ror`, which equals `gamma`
   and is therefore counted twice.

| effects | number | coverage | error |
|---|---|---|---|
{lines}

Effects of one cohort are correlated, so errors are computed over cohorts. For every effect, the mean rank of the true value
among the draws differs from the middle by at most {z:.1f} standard errors (`mean_rank_z`).

**Checks.** {failed} of {replicates} fits fail a check (R-hat over {bar_rhat}, an effective sample size below {bar_ess:,} in bulk or
tail, a divergence) for some effect of the table. The largest R-hat is {rhat:.4f} and the smallest effective sample
size {ess:,.0f}; all fits together have {divergences} divergences. Failed fits are included in all numbers above; without them the pooled
coverage is {sound:.1%} ({sound_error:.1%}).

The true values are drawn from the prior that is fitted, so coverage is 95 % by construction if the density, the sampler and
the formulas of the effects are correct; this page tests these. It is no evidence for cohorts whose true values the prior
excludes, or for omitted covariates.

Made on {date} with seed {seed}, Python {python}, {versions}. To reproduce, about 20 minutes on two cores:

    .venv/bin/python -m validation.scripts.recovery_patients --model {model} --replicates {replicates} --seed {seed} --processes 2
"""


# --- Runs ------------------------------------------------------------------------------------------


def finished(scratch: Path, model: str, seed: int) -> dict[int, Record]:
    """Return the finished replicates of a run in a scratch file; an incomplete last line is deleted.

    Parameters
    ----------
    scratch
        Path of the scratch file, JSON lines.
    model, seed
        Model and seed of the run.
    """
    text = scratch.read_text(encoding="utf-8") if scratch.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        scratch.write_text(whole, encoding="utf-8")
    records = map(json.loads, whole.splitlines())
    return {r["replicate"]: r for r in records if (r["model"], r["seed"]) == (model, seed)}


experiment = cache(Experiment)
"""The experiment, created once per process."""


def _replicate(task: tuple[str, int, int, int]) -> Record:
    """Run one replicate in a worker process."""
    model, seed, scenarios, at = task
    return experiment(model, seed, scenarios).replicate(at)


def run(model: str, seed: int, replicates: int, processes: int, scratch: Path) -> list[Record]:
    """Run the replicates that are not in a scratch file, append them, and return all.

    Parameters
    ----------
    model, seed
        Model and seed of the run.
    replicates
        Number of replicates.
    processes
        Number of processes.
    scratch
        Path of the scratch file, JSON lines.
    """
    records = finished(scratch, model, seed)
    tasks = [(model, seed, replicates, at) for at in range(replicates) if at not in records]
    for record in _results(tasks, processes):
        records[record["replicate"]] = record
        with scratch.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(
            f"{model} {record['replicate']}: R-hat {record['rhat']:.3f}, ESS {record['ess']:.0f}, "
            f"{record['divergences']} divergences, {min(len(records), replicates)} of {replicates}",
            file=sys.stderr,
        )
    return [records[at] for at in range(replicates)]


def _results(tasks: list[tuple[str, int, int, int]], processes: int) -> Iterator[Record]:
    """Yield the results of replicates as they finish."""
    if processes == 1:
        yield from map(_replicate, tasks)
        return
    # JAX does not support fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_replicate, task) for task in tasks]):
            yield future.result()


def main() -> None:
    """Recover true values from individual patient data and write patients.csv and patients.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--scratch", type=Path, help="file of finished replicates")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scratch = arguments.scratch or arguments.out / "patients.jsonl"
    records = run(
        arguments.model, arguments.seed, arguments.replicates, arguments.processes, scratch
    )
    name = "patients" if arguments.model == MODELS[0] else f"patients-{arguments.model}"
    table_of(rows_of(records)).to_csv(
        arguments.out / f"{name}.csv", index=False, float_format="%.6g"
    )
    (arguments.out / f"{name}.md").write_text(
        page(records, arguments.model, name), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
