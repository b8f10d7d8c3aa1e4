"""Caveats of a fit: what a reader of its table must not overlook, one record each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat import regimens
from cotreat.catalogue import described
from cotreat.evidence.claims import can_tell, printed
from cotreat.evidence.contrasts import label
from cotreat.headline import share
from cotreat.measures import APART, MEASURES, ODDS_ADDITIVE, REPRESENTATIVE
from cotreat.names import CALIBRATION, CONDITIONAL_ONLY, DECIDED, IMPLIED, STANDARDISED
from cotreat.overlap import overlap_of
from cotreat.report.columns import ANY, tidy
from cotreat.report.wording import capital, interval, listed
from cotreat.study import DURATION, Study
from cotreat.summary import LIKELIHOOD, PENALISED, POSTERIOR, PRINTED

SERIOUS, CAUTION, NOTE = "serious", "caution", "note"
"""Severities: may overturn a conclusion; weakens one; explains what is shown."""

LITTLE_CONTRACTION = 0.5
MANY = 6
"""So many caveats of one kind are listed; more are counted in one."""
COMMON = 0.1
FEW = 5
"""Events, or non-events, below which a regimen is called sparse."""


@dataclass(frozen=True)
class Caveat:
    """One caveat.

    Attributes
    ----------
    subject : str
        What it is about, in a word or two.
    severity : str
        `SERIOUS`, `CAUTION` or `NOTE`.
    text : str
        Whole sentences.
    """

    subject: str
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{capital(self.subject)}: {self.text}"


OF_DURATION = (
    "Only patients who stay on a treatment reach a long duration of it, and those who respond, or die, may "
    "stop early: duration and response may be subject to immortal-time bias, and this model cannot "
    "separate them."
)


def caveats(summary: pd.DataFrame, study: Study, cautions: Sequence[str] = ()) -> list[Caveat]:
    """List the caveats of a fit, the most serious first.

    Parameters
    ----------
    summary
        As `cotreat.summary.summarise` returns it.
    cautions
        As `cotreat.checks.cautions` returns them.
    """
    table = tidy(summary)
    rows = table[table.estimator == POSTERIOR]
    found = [
        *_reported_only(rows, study),
        *_patients(study),
        *_separated(summary, study),
        *_sparse(summary, study),
        *_calibration(cautions),
        *_levels(table, study),
        *of_sequences(study),
        *_subgroups(study),
        *_implied(rows),
        *_better_than_either(rows),
        *_odds_for_risks(rows, study),
        *_against_intervals(table),
        *_little_contraction(rows, has_reported=bool((summary.estimator == PRINTED).any())),
        *_not_identified(rows, study),
        *_other_likelihood(summary),
    ]
    return sorted(found, key=lambda one: (SERIOUS, CAUTION, NOTE).index(one.severity))


# --- The evidence ----------------------------------------------------------------------------------


def _reported_only(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    """Name what the reported estimates identify, and those that are not used."""
    if not study.has_uncounted:
        return
    own = rows[rows.identified]
    if not (own.scale != "").any():
        yield Caveat(
            "identification",
            SERIOUS,
            f"The reported estimates identify {len(own)} ratios, of regimens that were compared, and no risk "
            "and no measure of synergy: synergy is prior-dependent, and P(synergy) is shown with its value "
            "before the data.",
        )
    for claim in study.claims:
        number = f"{claim.id}, {interval(str(claim.printed))}"
        if claim.meaning is None:
            yield Caveat("reported, not used", NOTE, f"{number}: {claim.about}.")
        elif not can_tell(study, claim.meaning):
            yield Caveat(
                "reported, not used",
                NOTE,
                f"{number}: {label(claim.meaning)}; it is evidence in models with its levels or subgroups "
                "(dose, duration and subgroups).",
            )


def _patients(study: Study) -> Iterator[Caveat]:
    cells = study.cells
    if study.is_adjusted and study.is_case_control:
        yield Caveat("adjustment", NOTE, capital(CONDITIONAL_ONLY))
    elif cells is not None and study.is_adjusted:
        yield Caveat("adjustment", NOTE, capital(STANDARDISED))
        yield Caveat("overlap", CAUTION, capital(str(overlap_of(cells)).removeprefix("Overlap: ")))
    if cells is not None and cells.dropped:
        yield Caveat("missing values", CAUTION, f"{cells}.")


def _separated(summary: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    """Say where the data alone have no finite estimate."""
    if not _has_penalised(summary):
        return
    none = _counted(study, lambda events, _: events == 0)
    every = _counted(study, lambda events, n: events == n)
    said = [f"no patient in {none}"] * bool(none) + [f"every patient in {every}"] * bool(every)
    what = f"{' and '.join(said)} had the event" if said else ""
    what = what or "covariates or clusters separate patients with the event from those without"
    yield Caveat(
        "separation",
        CAUTION,
        f"{capital(what)}. What maximum likelihood cannot estimate for that reason is finite by the prior, and "
        "in the rows of penalised likelihood by Firth's penalty, not by the data.",
    )


def _sparse(summary: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    least = 0 if _has_penalised(summary) else -1
    few = _counted(study, lambda events, n: least < min(events, n - events) < FEW)
    if few:
        yield Caveat(
            "sparse data",
            CAUTION,
            f"Fewer than {FEW} events or non-events: {few}. Large-sample intervals are rough there, and the "
            "prior weighs more.",
        )


def _has_penalised(summary: pd.DataFrame) -> bool:
    return bool((summary.estimator == PENALISED).any())


def _counted(study: Study, is_wanted: Callable[[int, int], bool]) -> str:
    """Name the counted regimens whose events and patients are as wanted, with these."""
    counts = zip(study.counted, study.events, study.n, strict=True)
    return ", ".join(
        f"{arm} ({events} of {n})" for arm, events, n in counts if is_wanted(events, n)
    )


def _calibration(cautions: Sequence[str]) -> Iterator[Caveat]:
    if any(line.startswith(CALIBRATION) for line in cautions):
        yield Caveat(
            "calibration",
            CAUTION,
            "Predicted risks do not agree with the events, even in the patients they were fitted to: "
            "standardised risks, which are their means, may be wrong as well.",
        )


# --- Levels, sequences, subgroups ------------------------------------------------------------------


def _levels(table: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    """Say what is assumed of levels, which of them are not reported, and what a duration hides."""
    if not study.levels:
        return
    if study.division == DURATION:
        yield Caveat("immortal-time bias", SERIOUS, OF_DURATION)
    yield Caveat(
        "monotone effect",
        NOTE,
        "An effect that is monotone in the level has one direction at all levels by assumption, and with it "
        "the product terms: that one level has an effect and that a higher one has more are one probability, "
        "not two, and no evidence that the response follows the level.",
    )
    yield from _inferred(table[table.estimator == POSTERIOR], study)
    if (table.estimator == LIKELIHOOD).any():
        yield Caveat(
            "maximum likelihood",
            NOTE,
            "The maximum likelihood shown with this model takes levels as categories without order, each with "
            "its own product terms.",
        )


def _inferred(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    """Name the odds ratios of levels that the paper does not report."""
    numbers = printed(study)
    if numbers is None:
        return
    own = rows.set_index("estimand")
    for (treatment, _), meaning in numbers.of_parts.items():
        if meaning not in numbers.inferred:
            continue
        row = own.loc[label(meaning)]
        why = (
            "because the overall odds ratio is a mixture of the levels'"
            if numbers.is_mixed(treatment) and not study.counted
            else "by model and prior, and by what else is known of the levels"
        )
        yield Caveat(
            "not reported",
            CAUTION,
            f"{row.name} is inferred, not reported: {row.estimate:.3g} ({row.lower:.3g} to {row.upper:.3g}, "
            f"{row.interval}), {why}.",
        )


def of_sequences(study: Study) -> Iterator[Caveat]:
    """Say what giving treatments one after the other does to each combination of them."""
    names = {treatment.id: treatment.name for treatment in study.treatments}
    for one in study.sequential:
        taken = dict.fromkeys(regimens.taken(regimens.parse(arm)) for arm in study.present)
        own = [study.label(regimen) for regimen in taken if set(one.treatments) <= regimen]
        if own:
            yield Caveat(
                "immortal-time bias",
                SERIOUS,
                f"{capital(listed(map(names.__getitem__, one.treatments)))} were given one after the other to "
                f"some or all who received both ({one.source}). Patients who came to the next drug had been "
                "followed until then, and those who responded to the one before, or died, never came to it: "
                "the waiting time is credited to the combination (immortal time). Estimates of "
                f"{', '.join(own)}, and every measure that uses them, may be subject to immortal-time bias, "
                "and no model here can remove it.",
            )


def _subgroups(study: Study) -> Iterator[Caveat]:
    if not study.groups:
        return
    is_standardised = study.is_adjusted and not study.is_case_control
    risks = ", and risks are standardised over the patients of their subgroup"
    yield Caveat(
        "subgroups",
        NOTE,
        "The posterior effects in subgroups are partially pooled: they shrink towards a common effect of each "
        "treatment. They are shown with the effects of each subgroup alone (maximum likelihood, or as "
        "reported). Product terms of treatments are assumed the same in all subgroups"
        f"{risks if is_standardised else ''}.",
    )


# --- The measures ----------------------------------------------------------------------------------


def _implied(rows: pd.DataFrame) -> Iterator[Caveat]:
    if (rows.availability == IMPLIED).any():
        yield Caveat(
            "model",
            SERIOUS,
            f"The model {rows.model.iloc[0]} has no interaction. Without a product term, the signs of the "
            "measures of synergy follow by algebra from the single effects and the reference risk, and no data "
            "could show otherwise: they get no probability.",
        )


def _better_than_either(rows: pd.DataFrame) -> Iterator[Caveat]:
    own = rows[(rows.scale == APART) & (rows.probability >= DECIDED)]
    for row in own.itertuples():
        yield Caveat(
            "better than either",
            CAUTION,
            f"{_full(row)} is conclusive (P {share(row.probability)}): the combination is better than the "
            "better single treatment. That is not evidence of synergy.",
        )


def _odds_for_risks(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    if not described(rows.model.iloc[0]).has_products:
        return
    names = (
        f"The {ODDS_ADDITIVE} measures (reri_or, ap_or, s_or) approximate the risk-additive ones"
    )
    if study.is_case_control:
        yield Caveat(
            "rare outcome",
            CAUTION,
            f"{names} only if the outcome is rare in every group, which these data cannot show.",
        )
        return
    risks = study.events / study.n
    if not study.counted:
        risks = rows[rows.measure == "risk"].estimate.dropna().to_numpy()
    highest = max(risks if study.outcome.synergy_on == "event" else 1 - risks)
    if highest > COMMON:
        yield Caveat(
            "rare outcome",
            CAUTION,
            f"{names} only where the outcome is rare; on the side on which synergy is judged "
            f"({study.outcome.synergy_on}) it reaches {highest:.0%} here, and they mislead.",
        )


def _against_intervals(table: pd.DataFrame) -> Iterator[Caveat]:
    """Name each conclusive question on which a confidence interval is inconclusive."""
    rows = table[(table.estimator == POSTERIOR) & table.measure.isin(_ASKED)]
    conclusive = rows[(rows.probability - 0.5).abs() >= DECIDED - 0.5]
    likelihood = table[(table.estimator == LIKELIHOOD) & table.lower.notna()]
    keys = ["estimand", "background", "judged_on"]
    found = conclusive.merge(likelihood, on=keys, suffixes=("", "_ml"))
    nulls = [_null(measure) for measure in found.measure]
    found = found[(found.lower_ml <= nulls) & (found.upper_ml >= nulls)]
    why = "the prior, or the method of the interval, makes the difference."
    if len(found) > MANY:
        names = ", ".join(_full(row) for row in found.head(MANY).itertuples())
        yield Caveat(
            "prior and interval",
            CAUTION,
            f"{len(found)} questions are conclusive by the posterior, yet the interval of maximum likelihood "
            f"includes the null ({names}, …): {why}",
        )
        return
    for row in found.itertuples():
        yield Caveat(
            "prior and interval",
            CAUTION,
            f"{_full(row)} is conclusive (P {share(row.probability)}), yet the {row.interval_ml} interval "
            f"({row.lower_ml:.4g} to {row.upper_ml:.4g}) includes {_null(row.measure):g}: {why}",
        )


_ASKED = ("odds_ratio", *REPRESENTATIVE.values())


def _null(measure: str) -> float:
    """Return the null of a measure of synergy, or of a ratio."""
    return float(MEASURES[measure].null) if measure in MEASURES else 1.0


def _little_contraction(rows: pd.DataFrame, *, has_reported: bool) -> Iterator[Caveat]:
    own = rows[rows.measure.isin(REPRESENTATIVE.values()) & rows.probability.notna()]
    own = own[own.contraction < LITTLE_CONTRACTION]
    if len(own) and (has_reported or len(own) > MANY):
        yield Caveat(
            "posterior contraction",
            CAUTION,
            f"Posterior contraction is below {LITTLE_CONTRACTION} for {len(own)} measures of synergy: their "
            "posteriors largely reflect their priors.",
        )
        return
    for row in own.itertuples():
        words = (
            f"{_full(row)}: the posterior is wider than the prior (contraction {row.contraction:.3g}), as can "
            "happen to a measure whose spread grows with its value."
            if row.contraction < 0
            else f"{_full(row)}: posterior contraction is {row.contraction:.2f}; the posterior largely reflects "
            "the prior."
        )
        yield Caveat("posterior contraction", CAUTION, words)


def _not_identified(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    own = rows[~rows.identified & (rows.measure == REPRESENTATIVE[ODDS_ADDITIVE])]
    own = own[own.probability.notna()]
    without = [regimen for regimen in study.regimens if regimen not in study.present]
    if len(own) and not study.has_uncounted:
        where = "; ".join(f"{row.pair} {_given(row)}" for row in own.itertuples())
        yield Caveat(
            "identification",
            SERIOUS,
            f"Synergy is not identified (prior-dependent) for {where}: it needs the risk of regimens without "
            f"patients ({', '.join(without)}), which model and prior supply.",
        )


def _other_likelihood(summary: pd.DataFrame) -> Iterator[Caveat]:
    is_fitted = (summary.estimator == LIKELIHOOD).any()
    if summary.model.iloc[0] == "exchangeable" and is_fitted:
        yield Caveat(
            "maximum likelihood",
            NOTE,
            "The maximum likelihood shown with this model is that of the model interaction: partial pooling "
            "of pairs has no counterpart without a prior.",
        )


def _full(row: Any) -> str:
    """Name an estimand with its co-treatment and subgroup, if it has any."""
    given = "" if row.co_treatment in ("", ANY, regimens.NONE) and not row.stratum else _given(row)
    return f"{row.estimand} {given}".strip()


def _given(row: Any) -> str:
    """Name the co-treatment and subgroup of a measure of synergy."""
    is_none = row.co_treatment == regimens.NONE
    given = "with no other study drug" if is_none else f"with {row.co_treatment}"
    return f"{given} in {row.stratum}" if row.stratum else given
