"""What the answers depend on: priors, readings, models, and how much of them is prior at all."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cotreat import checks, induced, laplace, multiverse, power_scaling, prior_grid, reverse_bayes
from cotreat.batch import DRAWS, EFFECTIVE, Answer, Specification, fit_many
from cotreat.catalogue import Model, described, find_model, is_asked_for
from cotreat.estimands import waist_of
from cotreat.headline import leader, share
from cotreat.multiverse import MODEL, PRIORS, READING, SENSE, Asked, Base
from cotreat.names import CONTRADICTED, DECIDED, FULL, OBSERVED, QUICK, SEED, STANDARD
from cotreat.parts import MULTIVERSE, SENSITIVITY, Fits, Part, Say, Section, versions, write_part
from cotreat.plots.canvas import off_screen
from cotreat.priors import BELIEFS, PriorSet, in_words, models_for, prior_set
from cotreat.sampling import fit, provenance
from cotreat.study import Study

MANY = 8
"""So many fits or fewer are not worth the start of another process."""


@dataclass
class _Work:
    """What is being worked out: the study, the leading answer, and what is known already.

    Attributes
    ----------
    models : list of str
        The leading one first.
    known, sampled : dict
        Answers by model, reading and priors; sampled ones stand in where a batch fails.
    sets : dict
        Prior sets by name.
    """

    study: Study
    models: list[str]
    priors: PriorSet
    fits: Fits
    seed: int
    say: Say
    asked: Asked
    sampled: dict[tuple[str, str, str], Answer] = field(default_factory=dict)
    known: dict[tuple[str, str, str], Answer] = field(default_factory=dict)
    sets: dict[str, PriorSet] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The leading model."""
        return described(self.models[0])

    @property
    def is_quick(self) -> bool:
        """Whether a fit takes a twentieth of a second, as of counts; of printed numbers ten times as long."""
        return not (self.study.has_uncounted or self.study.is_adjusted)

    @property
    def base(self) -> Base:
        """The leading answer."""
        return Base(self.study.reading, self.model.name, self.priors.name)

    def answers(self, specifications: Sequence[Specification]) -> list[Answer]:
        """Fit what is not known yet, and return all in order."""
        new = {_key(one): one for one in specifications if _key(one) not in self.known}
        if new:
            self.say(f"{len(new)} fits under other priors, models or readings …")
            processes = os.cpu_count() if not self.is_quick and len(new) > MANY else 1
            found = fit_many(
                list(new.values()), seed=self.seed, processes=processes, say=_counted(self.say)
            )
            self.known |= dict(zip(new, found, strict=True))
        self.sets |= {_key(one)[2]: _set(one) for one in specifications}
        return [self._best(_key(one)) for one in specifications]

    def _best(self, key: tuple[str, str, str]) -> Answer:
        """Let a sampled fit stand in for one of a batch that cannot be trusted."""
        own = self.known[key]
        return self.sampled.get(key, own) if own.verdict == laplace.BAD else own

    def table(self, specifications: Sequence[Specification]) -> pd.DataFrame:
        """Answer what is asked of each, with the columns of the multiverse."""
        rows: list[dict[str, Any]] = []
        for one in self.answers(specifications):
            rows += self.asked.rows(one, self.sets[one.priors])
        return multiverse.table_of(rows)


def _key(one: Specification) -> tuple[str, str, str]:
    return one.model, one.study.reading, multiverse.name_of_set(one)


def _set(one: Specification) -> PriorSet:
    return prior_set(one.priors, one.study) if isinstance(one.priors, str) else one.priors


def _counted(say: Say) -> Callable[[int, int], None]:
    """Tell of every tenth part of a batch."""
    told = 0

    def tell(done: int, all_: int) -> None:
        nonlocal told
        if done == all_ or done - told >= all_ / 10:
            told = done
            say(f"  {done} of {all_}")

    return tell


def write(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str = STANDARD,
    seed: int = SEED,
    say: Say = lambda _: None,
    thresholds: Sequence[float] = (DECIDED,),
) -> Path:
    """Work out what the answers of a study depend on, and write ``FOLDER/sensitivity/``.

    Parameters
    ----------
    fits
        By model and reading, under `priors`; what is needed and not there is fitted. May be empty.
    folder
        ``results/STUDY``.
    depth
        ``quick``: the leading model under other priors, the other models, no grid; ``standard``: also
        every reading, and the belief × strength grid on effects and on interactions by itself;
        ``full``: readings × models × priors and both grids crossed.
    say
        Called with lines of progress.
    thresholds
        Of P(synergy), for each of which the critical prior SD of every interaction is found.

    Returns
    -------
    Path
        The folder.
    """
    study = study.under(study.readings[0].id)
    work = _begun(study, fits, priors, depth, seed, say)
    tree, failed = _leading_fit(work)
    plan = _planned(work, depth)
    work.answers([one for asked in plan.values() for one in asked])  # all in one batch
    parts = [_hinges(work, plan[MULTIVERSE])]
    if plan[GRID]:
        parts += [_grid(work, plan[GRID]), _critical_sds(work, depth, thresholds)]
    say("power scaling, reverse Bayes, the prior of every estimand …")
    parts += [_power_scaling(work, tree), _reverse_bayes(work), _induced(work, tree)]
    say("figures …")
    with off_screen():
        figures = {k: draw() for part in parts for k, draw in part.figures.items()}
    part = Part(
        title="Sensitivity",
        study_digest=study.digest,
        seed=seed,
        findings=tuple(one.finding for one in parts if one.finding)[:3],
        sections=tuple(section for one in parts for section in one.sections),
        failed=tuple(line for one in parts for line in one.failed),
        settings={
            "depth": depth,
            "model": work.model.name,
            "priors": priors.name,
            "engine of the leading fit": provenance(tree)["engine"],
            "engine of the others": "laplace, in batches",
            "effective draws": EFFECTIVE,
            "draws": DRAWS,
            "thresholds": list(thresholds),
        },
        versions=versions("arviz", "jax", "numpy", "pymc", "pytensor", "scipy"),
    )
    tables = {k: _short(table) for one in parts for k, table in one.tables.items()}
    return write_part(Path(folder) / SENSITIVITY, part, tables, figures, failed)


def _begun(study: Study, fits: Fits, priors: PriorSet, depth: str, seed: int, say: Say) -> _Work:
    """Find the models, and which of the fits at hand can be used as they are."""
    possible, _ = models_for(study, priors)
    own = [model for model, _ in fits if not is_asked_for(model.partition(":")[0])]
    lead = leader(own or possible)
    models = [lead, *(model for model in possible if model != lead)]
    work = _Work(study, models, priors, fits, seed, say, Asked(seed))
    for (model, reading), tree in fits.items():
        told = study.under(reading)
        if model in models and provenance(tree)["priors"] == priors.name:
            answer = multiverse.answer_of(tree, told, find_model(model, told))
            # What needed sequential Monte Carlo a batch may not be able to fit: only it itself can tell.
            is_doubtful = depth == FULL and provenance(tree)["engine"] == "smc"
            if answer is not None:
                held = work.sampled if is_doubtful else work.known
                held[model, reading, priors.name] = answer
    return work


def _leading_fit(work: _Work) -> tuple[xr.DataTree, list[str]]:
    """Return the fit of the leading answer, and its failed checks."""
    tree = work.fits.get((work.model.name, work.study.reading))
    if tree is None:
        work.say(f"{work.study.id}: {work.model.name}, {work.priors.name} priors …")
        tree = fit(work.study, work.model.name, work.priors, engine="laplace", seed=work.seed)
        answer = multiverse.answer_of(tree, work.study, work.model)
        if answer is not None:
            work.known[work.model.name, work.study.reading, work.priors.name] = answer
    return tree, checks.failures(checks.check(tree, work.study, work.model))


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """Keep six digits: the rest is Monte Carlo error."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{n: table[n].map(lambda v: float(f"{v:.6g}")) for n in numbers})


GRID, SDS = "grid.csv", "critical_sd.csv"


def _planned(work: _Work, depth: str) -> dict[str, list[Specification]]:
    """Return what is to be fitted for each table."""
    study = work.study
    is_full = depth == FULL or work.is_quick
    base = multiverse.bases(study, work.models, work.priors, is_full=is_full)
    if depth == QUICK:
        base = [one for one in base if one.study.is_default]
    # Where a model of a reading is beyond a batch, it is so under other priors too.
    crossed = _trusted(work, base) if is_full else base[:1]
    every = base + [other for one in crossed for other in multiverse.beside(one)]
    plan: dict[str, list[Specification]] = {MULTIVERSE: every, GRID: [], SDS: []}
    if depth != QUICK and work.model.has_products and work.model.has_structure:
        plan[GRID] = multiverse.grid(study, work.model.name, is_full=is_full)
        plan[SDS] = [_with_sd(work, sd) for sd in _sds(work)]
    return plan


def _trusted(work: _Work, base: Sequence[Specification]) -> list[Specification]:
    """Return those that a batch can fit."""
    work.answers(base)
    return [one for one in base if work.known[_key(one)].verdict != laplace.BAD]


def _sds(work: _Work) -> list[float]:
    """Return the prior SDs of interactions that are tried, that of the analysis among them."""
    return sorted({*reverse_bayes.SDS, round(reverse_bayes.sd_of(work.priors, work.model), 6)})


def _with_sd(work: _Work, sd: float) -> Specification:
    """Return the leading fit with another prior SD of the interactions; or itself, if it has that one."""
    chosen = reverse_bayes.with_sd(work.priors, sd, work.model)
    is_own = all(
        np.allclose([one.mu or 0, one.sigma or 0], [own.mu or 0, own.sigma or 0], atol=1e-6)
        for one, own in zip(chosen.rows, work.priors.rows, strict=True)
    )
    return Specification(work.study, work.model.name, work.priors if is_own else chosen)


# --- The parts of it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """Sections with the tables and figures they show, and what a clinician must know of them."""

    sections: tuple[Section, ...]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[], Any]] = field(default_factory=dict)
    finding: str = ""
    failed: tuple[str, ...] = ()


def _hinges(work: _Work, wanted: list[Specification]) -> _Piece:
    """Change one thing at a time, and cross all."""
    from cotreat.plots import hinges

    table = work.table(wanted)
    changes = multiverse.hinges(table, work.study, work.base)
    fits = table.drop_duplicates([READING, MODEL, PRIORS])
    bad = fits[fits.verdict == laplace.BAD]
    star = len(work.models) + len(work.study.readings) + len(multiverse.SETS)
    is_crossed = len(wanted) > star
    words = [
        "The leading answer is the ratio of odds ratios of each pair under "
        f"{work.model.name} and {in_words(work.priors.name)} priors"
        + (f", reading {work.study.reading}. " if len(work.study.readings) > 1 else ". ")
        + "One thing at a time is changed from it. Of the priors, each set is a belief of moderate strength "
        "about the single effects, or about the interactions, with all else as in the default.",
        f"{len(fits)} combinations of reading, model and priors were fitted"
        + (
            ". "
            if len(wanted) > star
            else ", one thing changed at a time; --depth full crosses them. "
        )
        + f"All answers are in {MULTIVERSE}.",
    ]
    if len(bad):
        words.append(
            f"{len(bad)} of them cannot be trusted (Pareto k of the weights, or modes that were come to "
            "once only) and are listed there without numbers."
        )
    section = Section(
        "What the conclusion hangs on", tuple(words), "what_it_hangs_on.csv", hinges.PICTURE
    )
    return _Piece(
        (section,),
        {MULTIVERSE: table, "what_it_hangs_on.csv": changes},
        {hinges.PICTURE.name: lambda: hinges.draw(changes, table, work.study)},
        _hinge_finding(changes, _contradicted(table, work.base)),
        tuple(_not_answered(work, fits, is_crossed=is_crossed)),
    )


def _not_answered(work: _Work, fits: pd.DataFrame, *, is_crossed: bool) -> Iterator[str]:
    """Say which fits cannot be trusted, and where other priors were not tried therefore."""
    for (model, reading), own in fits.groupby([MODEL, READING], sort=False):
        base = Specification(work.study.under(str(reading)), str(model), work.priors)
        is_alone = is_crossed and len(own) == 1 and bool(multiverse.beside(base))
        bad = own[own.verdict == laplace.BAD]
        said = []
        if len(bad):
            is_k = bad.pareto_k.max() >= laplace.BAD_K
            why = f"Pareto k up to {bad.pareto_k.max():.2f}" if is_k else "modes found once only"
            said.append(f"{len(bad)} of {len(own)} fits not trusted ({why})")
        if is_alone:
            said.append("other priors not tried, for a batch cannot fit it")
        if said:
            yield f"{model}, reading {reading}: {'; '.join(said)}"


def _hinge_finding(changes: pd.DataFrame, contradicted: Sequence[str] = ()) -> str:
    """Say what moves the probability of synergy most, and whether any change decides.

    Readings that the other numbers in print contradict are left aside.
    """
    known = changes[changes.probability.notna()]
    is_aside = (known["what changes"] == READING) & known.to.isin(contradicted)
    moved = known[~known["is leading"] & ~is_aside & known.difference.notna()]
    if moved.empty:
        return ""
    most = moved.loc[moved.difference.abs().idxmax()]
    lead = most.probability - most.difference
    decided = ((moved.probability >= DECIDED) | (moved.probability <= 1 - DECIDED)).sum()
    what, how = _FACTOR_WORDS[most["what changes"]]
    return (
        f"What moves the probability of synergy most is {what}: for {_with(most.pair)} it goes from {share(lead)} to "
        f"{share(most.probability)} {how.format(in_words(most.to))}. Of {len(moved)} single changes "
        f"{decided or 'none'} give{'s' if decided < 2 else ''} a decided answer"
        + (
            f"; {', '.join(contradicted)} left aside, for the other numbers in print contradict it."
            if is_aside.any()
            else "."
        )
    )


def _contradicted(table: pd.DataFrame, base: Base) -> list[str]:
    """Name the readings that the evidence speaks against, under the leading model and priors."""
    own = table[(table[MODEL] == base.model) & (table[PRIORS] == base.priors)]
    logs = own.groupby(READING, sort=False).log_evidence.first()
    if base.reading not in logs:
        return []
    return [str(name) for name in logs[logs < logs[base.reading] - CONTRADICTED].index]


def _with(pair: str) -> str:
    return pair.replace(":", " with ")


_FACTOR_WORDS = {
    SENSE: ("the sense of the word", "if judged as {}"),
    MODEL: ("the model", "under {}"),
    READING: ("how the print is read", "under {}"),
    PRIORS: ("the prior", "with beliefs about {}"),
}


def _grid(work: _Work, wanted: list[Specification]) -> _Piece:
    """Every belief of every strength about effects and about interactions."""
    from cotreat.plots import prior_grid as plot

    table = prior_grid.table_of(work.table(wanted), work.study)
    bad = prior_grid.bad(table)
    if bad == len(wanted):
        return _Piece((), {}, failed=(f"grid of beliefs: none of {bad} fits can be trusted",))
    ranges = prior_grid.ranges(table)
    words = [
        "Pessimistic, neutral and optimistic beliefs, each weak, moderate and strong (Zampieri et al. 2021): "
        "about every treatment's effect, with an expected odds ratio of 2, and about every interaction, with "
        "an expected ratio of odds ratios of 1.41, half of it on the log scale. An optimist expects what is "
        "good, or, of exposures, what is asked about."
        + (
            " Beliefs about both are crossed."
            if len(wanted) > 2 * len(BELIEFS) + 1
            else " Each is tried with the other left at the default; --depth full crosses them."
        ),
        f"{len(wanted)} prior sets; all answers are in grid.csv, and how far each number moves below. An "
        "odds ratio is decided where its 95% interval leaves out 1, a probability of synergy at "
        f"{DECIDED} or above, or {1 - DECIDED:.3f} or below.",
    ]
    if work.model.name == "exchangeable":
        words.append(
            "Of pairs that are relatives the belief is about their mean; how far each may be from it is as "
            "in the default."
        )
    return _Piece(
        (Section("Every belief beforehand", tuple(words), "grid_ranges.csv", plot.PICTURE),),
        {"grid.csv": table, "grid_ranges.csv": ranges},
        {plot.PICTURE.name: lambda: plot.draw(table, work.study)},
        _grid_finding(ranges),
        (f"{bad} of {len(wanted)} prior sets of the grid: fit not trusted",) if bad else (),
    )


def _grid_finding(ranges: pd.DataFrame) -> str:
    own = ranges[ranges.number == "P(synergy)"]
    if own.empty:
        return ""
    told = "; ".join(
        f"{_with(row.pair)} {share(row.lowest)} to {share(row.highest)}" for row in own.itertuples()
    )
    decided = own[own["that decide"] > 0]
    end = (
        "no belief of the grid makes it decided"
        if decided.empty
        else "decided under "
        + "; ".join(
            f"{int(row[1])} of {int(row[0])} ({row[2]})"
            for row in decided[["prior sets", "that decide", "pair"]].itertuples(index=False)
        )
    )
    return f"Over all beliefs of the grid the probability of synergy runs: {told}; {end}."


def _critical_sds(work: _Work, depth: str, thresholds: Sequence[float]) -> _Piece:
    """Find the prior SD at which each interaction falls below a threshold."""
    from cotreat.plots import critical_sd as plot

    def probabilities(sds: Sequence[float]) -> list[dict[str, float]]:
        wanted = [_with_sd(work, sd) for sd in sds]
        table = work.table(wanted)
        return [_interactions(table[table.priors == _set(one).name], work.study) for one in wanted]

    own = reverse_bayes.sd_of(work.priors, work.model)
    curve, found = reverse_bayes.critical_sds(
        probabilities, thresholds, sds=_sds(work), rounds=2 if depth == FULL else 0
    )
    table = pd.DataFrame([vars(one) for one in found])
    table = table.rename(columns={"sd": "critical prior SD", "words": "in words"})
    words = (
        "How narrow must a prior about the interactions be, centred at none, for P(synergy), the ratio of "
        "odds ratios beyond 1, to fall below a threshold? All pairs' priors narrow together; those of the "
        f"analysis have an SD of {own:.3g}. Found among fits at {len(curve)} SDs; each probability has a Monte "
        f"Carlo error of up to {0.5 / np.sqrt(DRAWS):.3f}. The curve is in critical_sd_curve.csv.",
    )
    return _Piece(
        (Section("How sceptical of interactions", words, "critical_sd.csv", plot.PICTURE),),
        {"critical_sd.csv": table, "critical_sd_curve.csv": curve},
        {plot.PICTURE.name: lambda: plot.draw(curve, found, own, work.study)},
    )


def _interactions(own: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return P(synergy) of the interaction of each pair; nothing of a bad fit."""
    if (own.verdict == laplace.BAD).any():
        return {}
    found = {}
    for pair in study.pair_labels:
        estimand, background = multiverse.leading_sense(own, study, pair)
        rows = own[(own.estimand == estimand) & (own.background == background)]
        if len(rows) and rows.probability.notna().all():
            found[pair] = float(rows.probability.iloc[0])
    return found


def _power_scaling(work: _Work, tree: xr.DataTree) -> _Piece:
    """Weigh prior and evidence a little more and less."""
    from cotreat.plots import power_scaling as plot

    table = power_scaling.scaled(tree, work.study, work.model)
    words = (
        "Sensitivity is how far the posterior of an estimand moves when the priors (column prior), or the "
        "evidence (likelihood), count a little more or less; from 0.05 on it counts as one (Kallioinen et al. "
        "2024, by ArviZ). Priors that follow from others by definition, and uniform ones of sizes, are not "
        "scaled. The columns 'prior of …' scale one prior alone; the last two give P(synergy) with the priors "
        "at half and at double their weight.",
    )
    return _Piece(
        (Section("Prior or evidence", words, "power_scaling.csv", plot.PICTURE),),
        {"power_scaling.csv": table},
        {plot.PICTURE.name: lambda: plot.draw(table, work.study)},
        _scaling_finding(table),
    )


def _scaling_finding(table: pd.DataFrame) -> str:
    """Say of how many measures of synergy the prior says more than the evidence."""
    own = table[table.probability.notna()]
    if own.empty:
        return ""
    more = int((own.prior > own.likelihood).sum())
    seen = table[table.estimand.str.startswith("odds_ratio[") & (table.availability == OBSERVED)]
    beside = (
        f", and for {int((seen.prior > seen.likelihood).sum())} of the {len(seen)} odds ratios that the "
        "evidence determines"
        if len(seen)
        else ""
    )
    return (
        f"For {more} of {len(own)} measures of synergy the answer moves more with the priors than with the "
        f"evidence{beside}."
    )


def _reverse_bayes(work: _Work) -> _Piece:
    """Take each odds ratio by itself: under each belief, and the sceptic it would just not convince."""
    known = reverse_bayes.odds_ratios_of(work.study, work.model)
    if not known:
        return _Piece((), {})
    alone = (
        "Each odds ratio by itself: its logarithm is taken as normal with the standard error that its "
        "interval implies, and each belief of the grid is updated by it in closed form. Odds ratios of one "
        "study share patients; that is for the model to reckon with, not for this table."
    )
    sceptic = (
        "The critical sceptical prior (Matthews 2018) is centred at an odds ratio of 1, with 95% between the "
        "critical odds ratio and its inverse: who believes effects beyond it implausible is not convinced by "
        "this number alone, for the posterior interval then reaches 1. Where the estimate itself lies within "
        "it, the number is no better than the belief that would undo it."
    )
    return _Piece(
        (
            Section("Who would not be convinced by one odds ratio", (sceptic,), "critical.csv"),
            Section("One odds ratio under each belief", (alone,), "beliefs.csv"),
        ),
        {
            "critical.csv": reverse_bayes.critical(known),
            "beliefs.csv": reverse_bayes.under_beliefs(work.study, known),
        },
    )


def _induced(work: _Work, tree: xr.DataTree) -> _Piece:
    """Show what the priors say of every estimand."""
    from cotreat.plots import induced as plot

    before, after = (waist_of(tree[g].to_dataset()) for g in ("prior", "posterior"))
    every = induced.asked(work.study, work.model, after)
    chief = {one.label for one in multiverse.chief(work.study, work.model.name)}
    asked = [
        one
        for one in every
        if one[0].is_judged and (one[0].label in chief or one[0].label.startswith("risk["))
    ]
    words = (
        "Priors are set on parameters; what they say of risks and of measures of synergy follows, and is "
        "drawn here with the posterior. induced.csv has prior and posterior of every estimand as median and 95% "
        "interval.",
    )
    return _Piece(
        (Section("What the priors say of every estimand", words, "", plot.PICTURE),),
        {"induced.csv": induced.table_of(every, before, after)},
        {plot.PICTURE.name: lambda: plot.draw(plot.drawn(asked, before, after), work.study)},
    )
