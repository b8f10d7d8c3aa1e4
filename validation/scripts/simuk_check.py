"""Compare posteriors with simuk, which draws true values and evidence by PyMC and samples by NUTS.

`fit_many`, the approximation used in calibration, is applied to the same evidence. The ranks of each true value in
the two posteriors must agree within their Monte Carlo error. The table is results/calibration/simuk.csv. A run
takes minutes, because NUTS is compiled for each data set.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simuk

from cotreat.calibration.kept import template
from cotreat.calibration.replicates import Job
from cotreat.inference.batch import Specification, fit_many
from cotreat.inference.sampling import prepare_jax
from cotreat.models.build import build
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.study.study import Study

OUT = Path(__file__).parents[2] / "results" / "calibration" / "simuk.csv"
WANTED = (("counts", "interaction"), ("counts-three", "exchangeable"))
SIMULATIONS = 25
"""Number of simulations per model; 50 in total."""
PRIORS, CHAINS, DRAWS = "weak", 2, 500


class Recording(simuk.SBC):  # type: ignore[misc]
    """Simulation-based calibration by simuk that also stores the simulated evidence."""

    def __init__(self, built: Any) -> None:
        super().__init__(
            built,
            num_simulations=SIMULATIONS,
            seed=1,
            sample_kwargs={
                "nuts_sampler": "numpyro",
                "chains": CHAINS,
                "draws": DRAWS,
                "tune": DRAWS,
            },
        )
        self.seen: list[dict[str, Any]] = []

    def _get_posterior_samples(self, replicated_data: dict[str, Any]) -> Any:
        """Sample the posterior of one data set, and store the data set."""
        self.seen.append(replicated_data)
        posterior = super()._get_posterior_samples(replicated_data)
        return posterior.map(np.asarray, keep_attrs=True)  # ranks of JAX arrays take minutes


def compared(study: Study, model: str) -> Iterator[dict[str, object]]:
    """Yield the shares of both posteriors below the true risk, for each simulation and regimen.

    Parameters
    ----------
    study
        A calibration template with counts.
    model
        Name of the model.

    Yields
    ------
    dict
        A row of the table.
    """
    job = Job.of(study, model, prior_set(PRIORS, study))
    check = Recording(build(job.study, job.model, job.priors))
    check.run_simulations()
    events = [dict(zip(study.counted, map(int, row["events"]), strict=True)) for row in check.seen]
    specifications = [
        Specification(with_events(study, counts, str(at)), model, PRIORS)
        for at, counts in enumerate(events)
    ]
    for at, answer in enumerate(fit_many(specifications)):
        truth = check.ref_params["risk"].isel(sample=at)
        for regimen in study.counted:
            true = float(truth.sel(arm=regimen))
            by_simuk = check.posteriors[at]["risk"].sel(arm=regimen).values
            by_laplace = answer.risk_draws["risk"].sel(arm=regimen).values
            yield {
                "study": study.id,
                "model": model,
                "simulation": at,
                "regimen": regimen,
                "events": events[at][regimen],
                "truth": true,
                "verdict": answer.verdict,
                "below_simuk": float(np.mean(by_simuk < true)),
                "below": float(np.mean(by_laplace < true)),
            }


def with_events(study: Study, events: Mapping[str, int], name: str) -> Study:
    """Return a study with other numbers of events.

    Parameters
    ----------
    study
        The study.
    events
        Number of events by regimen.
    name
        Distinguishes the digest of the result.
    """
    arms = tuple(replace(arm, events=events[study.label(arm.regimen)]) for arm in study.arms)
    return replace(
        study, stratified=replace(study.stratified, arms=arms), digest=f"simulation {name}"
    )


def path_of(arguments: list[str]) -> Path:
    """Return the path of the table: in the folder given as first argument, otherwise `OUT`.

    Parameters
    ----------
    arguments
        Arguments of the command line, with the program first.
    """
    return Path(arguments[1]) / OUT.name if len(arguments) > 1 else OUT


def main() -> None:
    """Compare the posteriors, write the table and print a summary."""
    prepare_jax(CHAINS)
    rows = [row for name, model in WANTED for row in compared(template(name), model)]
    table = pd.DataFrame(rows)
    store.write_table(table, path_of(sys.argv), [])
    difference = table.below - table.below_simuk
    print(
        f"mean difference {difference.mean():.4f}, SD {difference.std():.4f}, largest {difference.abs().max():.3f}"
    )


if __name__ == "__main__":
    main()
