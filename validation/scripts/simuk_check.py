"""Check posteriors against simuk: it draws truths and evidence by PyMC, and samples each posterior by NUTS.

The same evidence is then given to `fit_many`, by which calibration approximates. Where each truth lies in the
two posteriors must agree to within their Monte Carlo error. Writes results/calibration/simuk.csv; minutes, for
NUTS is compiled each time.
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
"""Of each model: 50 in all."""
PRIORS, CHAINS, DRAWS = "weak", 2, 500


class Recording(simuk.SBC):  # type: ignore[misc]
    """simuk, with the evidence it has drawn kept."""

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
        self.seen.append(replicated_data)
        found = super()._get_posterior_samples(replicated_data)
        return found.map(np.asarray, keep_attrs=True)  # ranks of JAX arrays take minutes


def compared(study: Study, model: str) -> Iterator[dict[str, object]]:
    """Yield, for each simulation and regimen, the share of either posterior that lies below the true risk."""
    job = Job.of(study, model, prior_set(PRIORS, study))
    check = Recording(build(job.study, job.model, job.priors))
    check.run_simulations()
    seen = [dict(zip(study.counted, map(int, one["events"]), strict=True)) for one in check.seen]
    asked = [
        Specification(with_events(study, own, str(at)), model, PRIORS)
        for at, own in enumerate(seen)
    ]
    for at, answer in enumerate(fit_many(asked)):
        truth = check.ref_params["risk"].isel(sample=at)
        for regimen in study.counted:
            true = float(truth.sel(arm=regimen))
            theirs = check.posteriors[at]["risk"].sel(arm=regimen).values
            own = answer.risk_draws["risk"].sel(arm=regimen).values
            yield {
                "study": study.id,
                "model": model,
                "simulation": at,
                "regimen": regimen,
                "events": seen[at][regimen],
                "truth": true,
                "verdict": answer.verdict,
                "below_simuk": float(np.mean(theirs < true)),
                "below": float(np.mean(own < true)),
            }


def with_events(study: Study, events: Mapping[str, int], name: str) -> Study:
    """Put other events, by regimen, into a study; its digest must be another, which is made of a name."""
    arms = tuple(replace(arm, events=events[study.label(arm.regimen)]) for arm in study.arms)
    return replace(
        study, stratified=replace(study.stratified, arms=arms), digest=f"simulation {name}"
    )


def path_of(arguments: list[str]) -> Path:
    """Return where to write: into the folder that is given, or to `OUT`."""
    return Path(arguments[1]) / OUT.name if len(arguments) > 1 else OUT


def main() -> None:
    """Run it."""
    prepare_jax(CHAINS)
    rows = [row for name, model in WANTED for row in compared(template(name), model)]
    table = pd.DataFrame(rows)
    store.write_table(table, path_of(sys.argv), [])
    apart = table.below - table.below_simuk
    print(
        f"mean difference {apart.mean():.4f}, SD {apart.std():.4f}, largest {apart.abs().max():.3f}"
    )


if __name__ == "__main__":
    main()
