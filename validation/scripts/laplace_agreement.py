"""Compare Laplace's approximation with long runs of NUTS, for every packaged study and model.

Both methods draw until every quantity has 40,000 effective draws, or until their maximal number of draws.
table.csv contains the largest differences of means, SDs and probabilities of synergy by study and model; README.md
summarises them. An interrupted run resumes.
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat import load_study
from cotreat.core.constants import CHAINS, SEED
from cotreat.core.errors import ModelError
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.estimand import is_beyond_null, risk_draws_of
from cotreat.evidence.protocol import share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, nuts, vectorise
from cotreat.inference.sampling import prepare_jax, target_accept_of
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build
from cotreat.models.registry import find_model
from cotreat.models.select import models_for, priors_for
from cotreat.priors.sets import prior_set
from cotreat.study_file.reader import packaged

OUT = Path(__file__).parents[2] / "results" / "laplace"
WANTED = 40_000
MOST_DRAWS = 600_000
DRAWS, MOST_A_CHAIN, TUNE = 12_500, 80_000, 1500
"""NUTS draws per chain: initial, maximal and warm-up."""
MEANS, SDS, CHANCES = 0.05, 0.05, 0.01
"""Tolerances of means (posterior SDs), SDs (relative) and probabilities (absolute)."""


@dataclass(frozen=True)
class Side:
    """Posterior summary by one engine.

    Attributes
    ----------
    means, sds : dict
        Posterior mean and SD by quantity.
    chances : dict
        P(measure beyond its null) by measure.
    effective : float
        Smallest number of effective draws of any quantity.
    """

    means: dict[str, float]
    sds: dict[str, float]
    chances: dict[str, float]
    effective: float


class Case:
    """A study and a model under weak priors.

    Parameters
    ----------
    study_id, model, interpretation
        Names of a packaged study, of a model and of an interpretation.

    Raises
    ------
    ModelError
        If the model does not apply to the study.
    """

    def __init__(self, study_id: str, model: str, interpretation: str) -> None:
        study = load_study(study_id).resolve(interpretation)
        self.model = find_model(model, study)
        self.study = study.resolve(strata=self.model.strata)
        self.priors = priors_for(prior_set("weak", self.study), self.model, self.study)
        self.built = build(self.study, self.model, self.priors)

    def by_laplace(self) -> tuple[Side, laplace.Approximation]:
        """Approximate the posterior by Laplace's method with importance weights, up to `WANTED` effective draws."""
        density = Density(self.built, share_orders_of(resolve(self.study)))
        approximation = laplace.approximate(
            density.surface(density.given),
            density.start,
            density.spreads,
            effective=WANTED,
            seed=SEED,
            enough=laplace.ENOUGH,
            most=MOST_DRAWS,
        )
        flat = density.draws(approximation.points, density.given)
        return self._side(flat, 1, approximation.weights, approximation.effective), approximation

    def by_nuts(self) -> Side:
        """Sample by NUTS until every quantity has `WANTED` effective draws or chains have their maximal length."""
        draws = DRAWS
        while True:
            run = nuts.run(
                self.built,
                draws=draws,
                tune=TUNE,
                chains=CHAINS,
                target_accept=target_accept_of(resolve(self.study)),
                seed=SEED,
            )
            flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in run.draws.items()}
            side = self._side(flat, CHAINS, None, np.inf)
            if side.effective >= WANTED or draws == MOST_A_CHAIN:
                return side
            draws = min(MOST_A_CHAIN, int(1.15 * draws * WANTED / side.effective))

    def _side(
        self,
        flat: dict[str, NDArray[Any]],
        chains: int,
        weights: NDArray[np.float64] | None,
        effective: float,
    ) -> Side:
        """Summarise draws, weighted by `weights` unless None, with the smallest number of effective draws."""
        values = {**flat, **vectorise.deterministics(self.built, flat)}
        posterior = vectorise.labelled(self.built, values, chains)
        risk_draws = risk_draws_of(posterior)
        count = posterior.sizes["chain"] * posterior.sizes["draw"]
        share = np.full(count, 1 / count) if weights is None else weights
        named = {
            f"{name}{list(at) if at else ''}": array.reshape(count, *array.shape[2:])[:, *at]
            for name, array in ((n, posterior[n].values) for n in [*flat, "risk"])
            for at in np.ndindex(array.shape[2:])
        }
        named = {name: array for name, array in named.items() if np.ptp(array) > 0}
        means = {name: float(share @ array) for name, array in named.items()}
        sds = {
            name: float(np.sqrt(share @ (array - means[name]) ** 2))
            for name, array in named.items()
        }
        chances = {
            e.code: float(share @ is_beyond_null(e, risk_draws).values.ravel())
            for e in judged_measures(self.study, self.model, risk_draws, resolve(self.study))
        }
        if weights is None:
            table = az.ess(posterior[[*flat, "risk"]])
            effective = min(float(np.nanmin(table[name].values)) for name in table)
        return Side(means, sds, chances, effective)


def compare(study_id: str, model: str, interpretation: str) -> dict[str, Any]:
    """Compare both engines and return one row of the table.

    Parameters
    ----------
    study_id, model, interpretation
        Names of a packaged study, of a model and of an interpretation.

    Returns
    -------
    dict
        Pareto k, verdict and effective draws; largest differences of means (posterior SDs), SDs (relative) and
        probabilities (absolute), and the quantities that have them. Without differences if Laplace's
        approximation is unreliable.

    Raises
    ------
    ModelError
        If the model does not apply to the study.
    """
    case = Case(study_id, model, interpretation)
    approximated, approximation = case.by_laplace()
    row: dict[str, Any] = {
        "study": study_id,
        "model": model,
        "interpretation": interpretation,
        "pareto_k": approximation.pareto_k,
        "verdict": approximation.verdict,
        "effective_laplace": approximated.effective,
    }
    if approximation.verdict == laplace.UNRELIABLE:
        return row
    sampled = case.by_nuts()
    of_means = {
        n: abs(approximated.means[n] - sampled.means[n]) / sampled.sds[n] for n in sampled.means
    }
    of_sds = {n: abs(approximated.sds[n] / sampled.sds[n] - 1) for n in sampled.sds}
    of_chances = {n: abs(approximated.chances[n] - sampled.chances[n]) for n in sampled.chances}
    return {
        **row,
        "effective_nuts": sampled.effective,
        "quantities": len(of_means),
        "mean": max(of_means.values()),
        "mean_of": max(of_means, key=of_means.__getitem__),
        "sd": max(of_sds.values()),
        "sd_of": max(of_sds, key=of_sds.__getitem__),
        "measures": len(of_chances),
        "probability": max(of_chances.values(), default=np.nan),
        "probability_of": max(of_chances, key=of_chances.__getitem__, default=""),
    }


def cases() -> list[tuple[str, str, str]]:
    """List every packaged study with its applicable models, under the default interpretation.

    Returns
    -------
    list of tuple
        Study, model and interpretation.
    """
    combinations = []
    for name in packaged():
        study = load_study(name)
        possible, _ = models_for(study, prior_set("weak", study), ())
        combinations += [(name, model, study.interpretation) for model in possible]
    return combinations


def summed_up(table: pd.DataFrame) -> str:
    """Return the text of README.md: number of cases that agree, and the table.

    Parameters
    ----------
    table
        Rows returned by `compare`.
    """
    reliable = table[table.verdict != laplace.UNRELIABLE]
    met = (
        (reliable["mean"] < MEANS)
        & (reliable.sd < SDS)
        & (reliable.probability.fillna(0) < CHANCES)
    )
    whole = met & (reliable[["effective_laplace", "effective_nuts"]].min(axis=1) >= WANTED)
    rows = [
        f"| {r.study} | {r.model} | {r.pareto_k:.2f} | {r.effective_laplace:,.0f} | {r.effective_nuts:,.0f} | "
        f"{r.mean:.3f} ({r.mean_of}) | {r.sd:.1%} ({r.sd_of}) | {_chance(r)} |"
        for r in reliable.itertuples()
    ]
    unreliable = table[table.verdict == laplace.UNRELIABLE]
    left = ", ".join(f"{r.study} {r.model} (k {r.pareto_k:.2f})" for r in unreliable.itertuples())
    done = set(zip(table.study, table.model, strict=True))
    open_ = ", ".join(f"{s} {m}" for s, m, _ in cases() if (s, m) not in done)
    versions = ", ".join(f"{p} {version(p)}" for p in ("cotreat", "pymc", "jax", "numpyro"))
    return (
        "# Laplace's approximation against long runs of NUTS\n\n"
        "Packaged studies are fitted under their default interpretation with weak priors; both methods need "
        f"{WANTED:,} effective draws. The table shows the largest difference of means (in posterior SDs) and of SDs "
        "(relative) over all parameters and risks, and the largest difference of P(beyond the null) over all "
        f"measures. The tolerances are {MEANS}, {SDS:.0%} and {CHANCES}.\n\n"
        f"Of {len(reliable)} with k < 0.7, {int(met.sum())} are within all tolerances, {int(whole.sum())} of them "
        f"with {WANTED:,} effective draws of every quantity by both methods. "
        f"{f'Not compared, because the approximation is unreliable (Pareto k): {left}. ' if left else ''}"
        f"{f'Not compared yet: {open_}.' if open_ else ''}\n\n"
        "| study | model | Pareto k | effective, Laplace | effective, NUTS | means | SDs | P |\n"
        "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Made by `validation/scripts/laplace_agreement.py`, {datetime.now(UTC):%Y-%m-%d}; {versions}.\n"
    )


def _chance(row: Any) -> str:
    """Format the largest difference of a probability and its measure."""
    if not row.measures:
        return "no probability"
    measure = row.probability_of.replace("with none", "with no other study drug")
    return f"{row.probability:.4f} ({measure})"


def main() -> None:
    """Compare the cases that are not in the table, and write the table after each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--study", action="append", help="compare only these studies")
    parser.add_argument("--model", help="compare only this model, also if it is in the table")
    arguments = parser.parse_args()
    prepare_jax()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "table.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    if arguments.model:
        rows = [
            r for r in rows if (r["study"], r["model"]) != (arguments.study[0], arguments.model)
        ]
    done = {(r["study"], r["model"], r["interpretation"]) for r in rows}
    for case in cases():
        if case in done or (arguments.study and case[0] not in arguments.study):
            continue
        if arguments.model not in (None, case[1]):
            continue
        print(*case, file=sys.stderr, flush=True)
        try:
            rows.append(compare(*case))
        except ModelError as error:
            print(error, file=sys.stderr)
            continue
        table = pd.DataFrame(rows)
        table.to_csv(path, index=False, float_format="%.6g")
        (arguments.out / "README.md").write_text(summed_up(table), encoding="utf-8")


if __name__ == "__main__":
    main()
