"""Prior or evidence: power scaling, and what the priors say of every estimand."""

import pandas as pd
import xarray as xr

from cotreat.core.constants import IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO, RISK, risk_draws_of
from cotreat.estimands.measures import representatives
from cotreat.plots import SENSITIVITY, picture
from cotreat.plots.records import PriorPosterior
from cotreat.results.supplementary import Section
from cotreat.sensitivity import multiverse, power_scaling, prior_predictive
from cotreat.sensitivity.fits import Piece, Work


def power_scaling_of(work: Work, tree: xr.DataTree) -> Piece:
    """Weigh prior and evidence a little more and less."""
    table = power_scaling.scaled(tree, work.study, work.model)
    words = (
        "Sensitivity is how far the posterior of an estimand moves when the priors (column prior), or the "
        "evidence (likelihood), count a little more or less; from 0.05 on it counts as one (Kallioinen et al. "
        "2024, by ArviZ). Priors that follow from others by definition, and uniform ones of sizes, are not "
        "scaled. The columns 'prior of …' scale one prior alone; the last two give P(synergy) with the priors "
        "at half and at double their weight.",
    )
    return Piece(
        (
            Section(
                "Prior or evidence",
                words,
                "power_scaling.csv",
                picture(SENSITIVITY, "power_scaling"),
            ),
        ),
        {"power_scaling.csv": table},
        {"scaling": table},
        scaling_finding(table),
    )


def scaling_finding(table: pd.DataFrame) -> str:
    """Say of how many answers about synergy, one a family, the prior says more than the evidence."""
    is_family = table.measure.isin(representatives().values())
    own = table[is_family & table.probability.notna()]
    if own.empty:
        return ""
    more = int((own.prior > own.likelihood).sum())
    seen = table[(table.measure == ODDS_RATIO) & (table.status == IDENTIFIED)]
    beside = (
        f", and for {int((seen.prior > seen.likelihood).sum())} of the {len(seen)} odds ratios that the "
        "evidence determines"
        if len(seen)
        else ""
    )
    return (
        f"For {more} of {len(own)} answers about synergy, one for each family, pair and background, the answer moves "
        f"more with the priors than with the evidence{beside}."
    )


def induced_of(work: Work, tree: xr.DataTree) -> Piece:
    """Show what the priors say of every estimand."""
    before, after = (risk_draws_of(tree[g].to_dataset()) for g in ("prior", "posterior"))
    every = prior_predictive.asked(work.study, work.model, after)
    chief = {one.code for one in multiverse.chief(work.study, work.model.name)}
    asked = [
        one
        for one in every
        if one[0].is_judged and (one[0].code in chief or one[0].measure == RISK)
    ]
    words = (
        "Priors are set on parameters; what they say of risks and of measures of synergy follows, and is "
        "drawn here with the posterior. induced.csv has prior and posterior of every estimand as median and 95% "
        "interval.",
    )
    return Piece(
        (
            Section(
                "What the priors say of every estimand",
                words,
                "",
                picture(SENSITIVITY, "prior_predictive"),
            ),
        ),
        {"induced.csv": prior_predictive.table_of(every, before, after)},
        {"estimands": [PriorPosterior.of(*one, before, after) for one in asked]},
    )
