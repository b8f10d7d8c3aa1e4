"""Compare Laplace's approximation with long runs of NUTS, for every packaged study and model.

Both sides are drawn from until every quantity has 40,000 effective draws, or as many as can be had.
table.csv says for each study and model how far means, SDs and probabilities of synergy lie apart at most;
README.md sums it up. A run that was stopped goes on where it was.
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
from cotreat.evidence.reported import estimates_of
from cotreat.evidence.reported_data import share_orders
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
"""Of NUTS, by chain: at first, and at most."""
MEANS, SDS, CHANCES = 0.05, 0.05, 0.01
"""Bars: in posterior SDs, as a share, and as a probability."""


@dataclass(frozen=True)
class Side:
    """What one engine makes of a posterior.

    Attributes
    ----------
    means, sds : dict
        By quantity.
    chances : dict
        P(measure beyond its null) by measure.
    effective : float
        Of the quantity that has the fewest.
    """

    means: dict[str, float]
    sds: dict[str, float]
    chances: dict[str, float]
    effective: float


class Case:
    """A study, a model and its weak priors."""

    def __init__(self, study_id: str, model: str, interpretation: str) -> None:
        study = load_study(study_id).resolve(interpretation)
        self.model = find_model(model, study)
        self.study = study.resolve(strata=self.model.strata)
        self.priors = priors_for(prior_set("weak", self.study), self.model, self.study)
        self.built = build(self.study, self.model, self.priors)

    def by_laplace(self) -> tuple[Side, laplace.Approximation]:
        """Approximate with so many draws that enough are effective."""
        density = Density(self.built, share_orders(estimates_of(self.study)))
        found = laplace.approximate(
            density.surface(density.given),
            density.start,
            density.spreads,
            effective=WANTED,
            seed=SEED,
            enough=laplace.ENOUGH,
            most=MOST_DRAWS,
        )
        flat = density.draws(found.points, density.given)
        return self._side(flat, 1, found.weights, found.effective), found

    def by_nuts(self) -> Side:
        """Sample until every quantity has enough effective draws, or chains are as long as may be."""
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
        values = {**flat, **vectorise.deterministics(self.built, flat)}
        posterior = vectorise.labelled(self.built, values, chains)
        risk_draws = risk_draws_of(posterior)
        count = posterior.sizes["chain"] * posterior.sizes["draw"]
        share = np.full(count, 1 / count) if weights is None else weights
        named = {
            f"{name}{list(at) if at else ''}": own.reshape(count, *own.shape[2:])[:, *at]
            for name, own in ((n, posterior[n].values) for n in [*flat, "risk"])
            for at in np.ndindex(own.shape[2:])
        }
        named = {name: own for name, own in named.items() if np.ptp(own) > 0}
        means = {name: float(share @ own) for name, own in named.items()}
        sds = {
            name: float(np.sqrt(share @ (own - means[name]) ** 2)) for name, own in named.items()
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
    """Return a row of the table."""
    case = Case(study_id, model, interpretation)
    one, found = case.by_laplace()
    row: dict[str, Any] = {
        "study": study_id,
        "model": model,
        "interpretation": interpretation,
        "pareto_k": found.pareto_k,
        "verdict": found.verdict,
        "effective_laplace": one.effective,
    }
    if found.verdict == laplace.UNRELIABLE:
        return row
    other = case.by_nuts()
    apart = {n: abs(one.means[n] - other.means[n]) / other.sds[n] for n in other.means}
    wider = {n: abs(one.sds[n] / other.sds[n] - 1) for n in other.sds}
    moved = {n: abs(one.chances[n] - other.chances[n]) for n in other.chances}
    return {
        **row,
        "effective_nuts": other.effective,
        "quantities": len(apart),
        "mean": max(apart.values()),
        "mean_of": max(apart, key=apart.__getitem__),
        "sd": max(wider.values()),
        "sd_of": max(wider, key=wider.__getitem__),
        "measures": len(moved),
        "probability": max(moved.values(), default=np.nan),
        "probability_of": max(moved, key=moved.__getitem__, default=""),
    }


def cases() -> list[tuple[str, str, str]]:
    """List every packaged study with the models that it can carry, under its default reading."""
    found = []
    for name in packaged():
        study = load_study(name)
        possible, _ = models_for(study, prior_set("weak", study), ())
        found += [(name, model, study.interpretation) for model in possible]
    return found


def summed_up(table: pd.DataFrame) -> str:
    """Say how many agree, and list them."""
    good = table[table.verdict != laplace.UNRELIABLE]
    met = (good["mean"] < MEANS) & (good.sd < SDS) & (good.probability.fillna(0) < CHANCES)
    whole = met & (good[["effective_laplace", "effective_nuts"]].min(axis=1) >= WANTED)
    rows = [
        f"| {r.study} | {r.model} | {r.pareto_k:.2f} | {r.effective_laplace:,.0f} | {r.effective_nuts:,.0f} | "
        f"{r.mean:.3f} ({r.mean_of}) | {r.sd:.1%} ({r.sd_of}) | {_chance(r)} |"
        for r in good.itertuples()
    ]
    bad = table[table.verdict == laplace.UNRELIABLE]
    left = ", ".join(f"{r.study} {r.model} (k {r.pareto_k:.2f})" for r in bad.itertuples())
    done = set(zip(table.study, table.model, strict=True))
    open_ = ", ".join(f"{s} {m}" for s, m, _ in cases() if (s, m) not in done)
    versions = ", ".join(f"{p} {version(p)}" for p in ("cotreat", "pymc", "jax", "numpyro"))
    return (
        "# Laplace's approximation against long runs of NUTS\n\n"
        f"Packaged studies under their default interpretation, weak priors, {WANTED:,} effective draws wanted on both sides. Of all "
        "parameters and risks the largest difference of means in posterior SDs and of SDs as a share, and of "
        f"all measures the largest difference of P(beyond the null). Bars: {MEANS}, {SDS:.0%}, {CHANCES}.\n\n"
        f"Of {len(good)} with k < 0.7, {int(met.sum())} are within all bars, {int(whole.sum())} of them with "
        f"{WANTED:,} effective draws of every quantity on both sides. "
        f"{f'Not compared, for Pareto k says that they must not be used: {left}. ' if left else ''}"
        f"{f'Not compared yet: {open_}.' if open_ else ''}\n\n"
        "| study | model | Pareto k | effective, Laplace | effective, NUTS | means | SDs | P |\n"
        "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Made by `validation/scripts/laplace_agreement.py`, {datetime.now(UTC):%Y-%m-%d}; {versions}.\n"
    )


def _chance(row: Any) -> str:
    return f"{row.probability:.4f} ({row.probability_of})" if row.measures else "no probability"


def main() -> None:
    """Compare what the table does not have yet, and write it after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--study", action="append", help="only these")
    parser.add_argument("--model", help="only this one, again if the table has it")
    asked = parser.parse_args()
    prepare_jax()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "table.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    if asked.model:
        rows = [r for r in rows if (r["study"], r["model"]) != (asked.study[0], asked.model)]
    done = {(r["study"], r["model"], r["interpretation"]) for r in rows}
    for case in cases():
        if case in done or (asked.study and case[0] not in asked.study):
            continue
        if asked.model not in (None, case[1]):
            continue
        print(*case, file=sys.stderr, flush=True)
        try:
            rows.append(compare(*case))
        except ModelError as error:
            print(error, file=sys.stderr)
            continue
        table = pd.DataFrame(rows)
        table.to_csv(path, index=False, float_format="%.6g")
        (asked.out / "README.md").write_text(summed_up(table), encoding="utf-8")


if __name__ == "__main__":
    main()
