"""Sample patients.csv by bambi under cotreat's `interaction` with `weak` priors.

    python tests/reference/patients_bambi.py DRAWS    that many a chain: prints the least bulk ESS

Needs an environment with bambi; validation/scripts/bench_patients.py makes one.
"""

import sys

import arviz_stats as azs
import bambi as bmb
import pandas as pd

DRUGS, COVARIATES = ("a", "b", "c"), [f"x{at}" for at in range(1, 7)]


def main() -> None:
    """Print the least bulk ESS of a coefficient."""
    data = pd.read_csv("tests/reference/patients.csv")
    for name in COVARIATES:
        data[name] = (data[name] - data[name].mean()) / data[name].std(ddof=0)
    for drug in DRUGS:
        data[f"drug_{drug}"] = data[drug]
    data["ab"], data["ac"] = data.a * data.b, data.a * data.c
    normal = {f"drug_{drug}": (0.0, 1.0) for drug in DRUGS}
    normal |= {"ab": (0.0, 0.5), "ac": (0.0, 0.5), **dict.fromkeys(COVARIATES, (0.0, 1.0))}
    predictors = list(normal)
    drugs = predictors[:5]
    # The intercept is the log-odds at the mean of the regimens, with equal weights.
    data[drugs] = data[drugs] - data[drugs].drop_duplicates().mean()
    normal["Intercept"] = (0.0, 2.5)
    priors = {name: bmb.Prior("Normal", mu=mu, sigma=sd) for name, (mu, sd) in normal.items()}
    between = bmb.Prior("HalfNormal", sigma=0.5)
    priors["1|hospital"] = bmb.Prior("Normal", mu=0, sigma=between)
    model = bmb.Model(
        f"response ~ {' + '.join(predictors)} + (1|hospital)",
        data,
        family="bernoulli",
        priors=priors,
        center_predictors=False,  # else the prior of the intercept is that of centred predictors
    )
    tree = model.fit(
        draws=int(sys.argv[1]), tune=1000, chains=4, cores=2, random_seed=1, progressbar=False
    )
    found = azs.ess(tree["posterior"].to_dataset()[list(normal)], method="bulk")
    name = min(found.data_vars, key=lambda one: float(found[one].min()))
    print("ess", int(found[name].min()), "of", name)


if __name__ == "__main__":
    main()
