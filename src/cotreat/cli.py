"""The command line: studies, audit, cells, simulate, reanalyse, compare, sensitivity, report."""

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.catalogue import MODELS, ModelError
from cotreat.engines import ENGINES, EngineError, require_engine
from cotreat.names import CHAINS, DECIDED, DEPTHS, DRAWS, SEED, STANDARD
from cotreat.priors import PriorSet, models_for, prior_set
from cotreat.study import ReadingError, Study
from cotreat.study_file import StudyError, collapse_of, load_study, packaged

if TYPE_CHECKING:
    from cotreat.reanalysis import Reanalysis, Result

Commands = Any  # argparse does not name the type of its subparsers

OTHER = 1
BAD_INPUT = 2
FAILED_CHECKS = 3
INTERRUPTED = 130

STUDY_HELP = "name of a packaged study (see cotreat studies) or path of a study file"
EPILOG = """exit status: 0 done; 2 the input cannot be used, nothing was written; 3 done, but a reported
fit failed its checks, which everything written says at its top; 1 anything else, such as a full
disk; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without β must not end a run
            stream.reconfigure(errors="replace")
    try:
        return options.run(options)
    except (StudyError, ModelError, EngineError, ReadingError) as error:
        return _refuse(error)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"cotreat: {error}", file=sys.stderr)
        return OTHER
    except KeyboardInterrupt:
        print(
            "cotreat: interrupted; folders of models not finished are as they were", file=sys.stderr
        )
        return INTERRUPTED


def _refuse(error: Exception) -> int:
    print(f"cotreat: {error}", file=sys.stderr)
    return BAD_INPUT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="cotreat",
        description="Bayesian reanalysis of studies that give treatments in combination and count a "
        "yes/no outcome: risks, odds ratios, the probability of synergy in every sense of the word, "
        "beside the frequentist estimates.",
        epilog=EPILOG,
    )
    command_line.add_argument(
        "--version", action="version", version=f"cotreat {version('cotreat')}"
    )
    commands = command_line.add_subparsers(required=True, metavar="COMMAND")
    _add_studies(commands)
    _add_audit(commands)
    _add_cells(commands)
    _add_simulate(commands)
    _add_reanalyse(commands)
    _add_compare(commands)
    _add_sensitivity(commands)
    _add_report(commands)
    return command_line


# --- studies, audit, report ------------------------------------------------------------------------


def _add_studies(commands: Commands) -> None:
    help_ = "list the packaged studies"
    commands.add_parser("studies", help=help_, description=help_).set_defaults(run=_studies)


def _studies(_: argparse.Namespace) -> int:
    for name in packaged():
        study = load_study(name)
        print(f"{name:<16} {study.title} ({study.design}, {_patients(study)})")
    return 0


def _patients(study: Study) -> str:
    """Say how many patients a study has, as far as its numbers tell."""
    if not study.has_uncounted:
        return f"{int(study.n.sum()):,} patients"
    most = max((total.n for total in study.totals), default=0)
    return (f"{most:,} patients, " if most else "") + "printed numbers only"


def _add_audit(commands: Commands) -> None:
    command = commands.add_parser(
        "audit",
        help="say what a study's numbers determine, without sampling",
        description="Show a study's cells, check its printed margins and odds ratios against them, "
        "and say which estimands the evidence determines.",
    )
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> int:
    from cotreat.auditing import audit

    print(audit(load_study(options.study)))
    return 0


def _add_cells(commands: Commands) -> None:
    command = commands.add_parser(
        "cells",
        help="say what collapsing a study's patients to cells achieves, or print it as SQL",
        description="Collapse the rows under [patients] to cells: patients alike in regimen, "
        "covariates and cluster. Where the rows are in a database, run the SQL of --print-sql there, "
        "save its result as CSV or Parquet, and name that file under [cells]: the posterior is the same.",
    )
    command.add_argument("study", metavar="STUDY", help="path of a study file with [patients]")
    command.add_argument(
        "--print-sql", action="store_true", help="print the collapse as SQL; the rows are not read"
    )
    command.set_defaults(run=_cells)


def _cells(options: argparse.Namespace) -> int:
    if options.print_sql:
        query, check, section = collapse_of(options.study)
        print(f"{query};")
        _announce(
            "\nThe query leaves out rows that lack a value, and levels without their treatment, and takes "
            f"each row for a patient.\nCount first what it would leave out:\n\n{check};"
        )
        lines = ["[cells]", 'file = "cells.csv"  # the result of this query']
        lines += [f"{key} = {_toml(value)}" for key, value in section.items()]
        _announce("\nIn the study file, in place of [patients]:\n" + "\n".join(lines))
        return 0
    study = load_study(options.study)
    if study.cells is None:
        return _refuse(ValueError(f"{study.id} has no [patients] or [cells]"))
    print(study.cells)
    return 0


def _toml(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    pairs = (f"{json.dumps(k, ensure_ascii=False)} = {_toml(v)}" for k, v in value.items())
    return f"{{ {', '.join(pairs)} }}"


def _add_simulate(commands: Commands) -> None:
    command = commands.add_parser(
        "simulate",
        help="write a synthetic cohort in the image of a study's printed numbers",
        description="Find risks and sizes of arms that make a study's printed numbers, draw patients "
        "from them, and write rows, study file and truth into DIR/STUDY-synthetic.",
    )
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.add_argument(
        "--patients", type=_whole(50), default=793, metavar="N", help="how many (%(default)s)"
    )
    command.add_argument(
        "--seed", type=_whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument("--out", default=".", metavar="DIR", help="where to write (%(default)s)")
    command.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    from cotreat.simulate import SimulationError, simulate

    try:
        path = simulate(
            load_study(options.study), options.patients, options.seed, Path(options.out)
        )
    except (SimulationError, OSError) as error:
        return _refuse(error)
    print(f"SYNTHETIC cohort: {path.as_posix()}")
    return 0


def _add_report(commands: Commands) -> None:
    command = commands.add_parser(
        "report",
        help="write a study's report.html again from its results",
        description="Write report.html from the fits in a study's folder of results.",
    )
    command.add_argument("folder", metavar="DIR", help="folder of a study, such as results/isis2")
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from cotreat.report import ReportError, write_report

    try:
        page, failed, _ = write_report(options.folder)
    except ReportError as error:
        return _refuse(error)
    print("\n".join([page.as_posix(), *(f"FAILED CHECK: {line}" for line in failed)]))
    return FAILED_CHECKS if failed else 0


# --- reanalyse -------------------------------------------------------------------------------------


def _add_reanalyse(commands: Commands) -> None:
    command = commands.add_parser(
        "reanalyse",
        help="sample the models of a study and write tables, figures and report",
        description="Sample prior and posterior of a study under one or more models; write for each "
        "of them summary.csv, checks.csv, figures and the draws, and one report.html.",
        epilog=EPILOG,
    )
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="how treatments combine; may be given several times (default: exchangeable, interaction, "
        "saturated and additive, as far as the study can carry them; others answer questions of their "
        "own). " + " ".join(f"{m.name}: {m.sentence}" for m in MODELS.values()) + " Of several "
        "subgroups one is named after a colon, such as subgroups:age.",
    )
    command.add_argument(
        "--reading",
        action="append",
        metavar="NAME",
        help="how to take words in print that leave something open, or all; may be given several times "
        "(default: the leading model under every reading of the study file, other models under its "
        "default one)",
    )
    command.add_argument(
        "--priors",
        default="weak",
        metavar="SET",
        help="weak (default); a belief about the treatments' single effects: sceptical (they work "
        "the wrong way), neutral (near none) or enthusiastic; or one of the grid of belief and "
        "strength, such as grid:neutral-strong; or such a belief about interactions, interactions:optimistic-weak, "
        "or about effects and then interactions, grid:neutral-strong:optimistic-weak.",
    )
    command.add_argument(
        "--engine",
        choices=list(ENGINES),
        help="; ".join(f"{name}: {words}" for name, words in ENGINES.items())
        + ". Without it, readings other than the default are sampled by smc, and with printed numbers "
        "a NUTS fit that fails its checks is replaced by smc.",
    )
    command.add_argument(
        "--draws",
        type=_whole(100),
        default=DRAWS,
        metavar="N",
        help="kept draws a chain (%(default)s)",
    )
    command.add_argument(
        "--chains", type=_whole(2), default=CHAINS, metavar="N", help="chains (%(default)s)"
    )
    command.add_argument(
        "--seed", type=_whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument(
        "--out", default="results", metavar="DIR", help="where to write (%(default)s)"
    )
    command.add_argument(
        "--depth",
        choices=DEPTHS,
        default=STANDARD,
        help="how much is worked out around the fits. quick: models compared by importance weights, the "
        "leading one under other priors, a coarse surface of bias; standard: refits where weights fail, "
        "each printed number or count left out, every reading and belief; full: readings, models and "
        "priors crossed, sequential Monte Carlo for Bayes factors (%(default)s)",
    )
    command.add_argument(
        "--or-threshold",
        type=_positive,
        action="append",
        default=[],
        metavar="X",
        help="also give P(odds ratio > X); may be given several times",
    )
    command.add_argument(
        "--quiet", action="store_true", help="no progress, only the results at the end"
    )
    command.set_defaults(run=_reanalyse)


def _whole(minimum: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} up")
        return int(text)

    return convert


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _reanalyse(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    priors = prior_set(options.priors, study)
    models_for(study, priors, options.model or ())
    for reading in options.reading or ():
        if reading != "all":
            study.under(reading)
    require_engine(options.engine or next(iter(ENGINES)))
    try:
        Path(options.out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _refuse(error)

    # What can be refused is refused by now; the heavy libraries take seconds to load.
    say = _hush if options.quiet else _announce
    say("loading PyMC, JAX and ArviZ …")
    from cotreat.reanalysis import FailedChecks, reanalyse

    warnings.simplefilter("ignore", FailedChecks)  # what failed is printed on top, once
    result = reanalyse(
        study,
        options.model or (),
        priors,
        readings=options.reading or (),
        out=options.out,
        thresholds=list(dict.fromkeys(options.or_threshold)),
        say=say,
        engine=options.engine,
        depth=options.depth,
        draws=options.draws,
        chains=options.chains,
        seed=options.seed,
        progress=sys.stderr.isatty() and not options.quiet,
    )
    print(_result(result))
    return FAILED_CHECKS if result.failed else 0


# --- compare, sensitivity ----------------------------------------------------------------------------


def _add_compare(commands: Commands) -> None:
    command = commands.add_parser(
        "compare",
        help="compare the models of a study: prediction, Bayes factors, averages",
        description="Fit the models of a study that ask how treatments combine and compare them: "
        "leave-one-out cross-validation with its unit declared, each printed number or count in what all "
        "others predict of it, Bayes factors of the interactions with the prior they depend on, and the "
        "average over whether there are any. Writes DIR/STUDY/comparison.",
        epilog=EPILOG,
    )
    _add_part_options(
        command,
        "quick: importance weights alone; standard: refits where these fail, and each printed number "
        "or count left out; full: every unit refitted under every model, and sequential Monte Carlo",
    )
    command.add_argument("--reading", metavar="NAME", help="reading (default: the study's default)")
    command.set_defaults(run=_compare)


def _add_sensitivity(commands: Commands) -> None:
    command = commands.add_parser(
        "sensitivity",
        help="say what a study's answers depend on: priors, readings, models",
        description="Fit a study's leading model, and others, under every belief of a grid, other readings "
        "and models; find which sceptic would not be convinced, and how much of each number is prior. "
        "Writes DIR/STUDY/sensitivity.",
        epilog=EPILOG,
    )
    _add_part_options(
        command,
        "quick: the leading model under other priors, and other models; standard: also every reading "
        "and belief, one thing changed at a time; full: readings, models and priors crossed",
    )
    command.add_argument(
        "--threshold",
        type=_probability,
        action="append",
        metavar="P",
        help="P(synergy) for which the critical prior of each interaction is found; may be given several "
        f"times ({DECIDED})",
    )
    command.set_defaults(run=_sensitivity)


def _add_part_options(command: argparse.ArgumentParser, depths: str) -> None:
    command.add_argument("study", metavar="STUDY", help=STUDY_HELP)
    command.add_argument(
        "--priors",
        default="weak",
        metavar="SET",
        help="of the analysis, as in reanalyse (%(default)s)",
    )
    command.add_argument(
        "--depth", choices=DEPTHS, default=STANDARD, help=f"{depths} (%(default)s)"
    )
    command.add_argument(
        "--seed", type=_whole(0), default=SEED, metavar="N", help="random seed (%(default)s)"
    )
    command.add_argument(
        "--out", default="results", metavar="DIR", help="where to write (%(default)s)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress")


def _probability(text: str) -> float:
    value = _positive(text)
    if not 0.5 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability between 0.5 and 1")
    return value


def _compare(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    study = study.under(options.reading) if options.reading else study

    def write(priors: PriorSet, folder: Path, say: Callable[[str], None]) -> Path:
        from cotreat.comparison import write

        return write(study, {}, priors, folder, depth=options.depth, seed=options.seed, say=say)

    return _part(options, study, write)


def _sensitivity(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    thresholds = list(dict.fromkeys(options.threshold or [DECIDED]))

    def write(priors: PriorSet, folder: Path, say: Callable[[str], None]) -> Path:
        from cotreat.sensitivity import write

        return write(
            study,
            {},
            priors,
            folder,
            depth=options.depth,
            seed=options.seed,
            say=say,
            thresholds=thresholds,
        )

    return _part(options, study, write)


def _part(
    options: argparse.Namespace,
    study: Study,
    write: Callable[[PriorSet, Path, Callable[[str], None]], Path],
) -> int:
    """Write one part of a study's results, and print what it found."""
    priors = prior_set(options.priors, study)
    models_for(study, priors)
    folder = Path(options.out) / study.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _refuse(error)
    # What can be refused is refused by now; the heavy libraries take seconds to load.
    say = _hush if options.quiet else _announce
    say("loading PyMC, JAX and ArviZ …")
    from cotreat.around import one_thread
    from cotreat.parts import read_part

    with one_thread():
        written = write(priors, folder, say)
    part = read_part(written)
    failed = [f"FAILED CHECKS: do not use these numbers: {line}" for line in part.failed_checks]
    lines = [f"{study.title}: {part.title.lower()}, {priors.name} priors, depth {options.depth}"]
    lines += [f"- {line}" for line in part.findings]
    unanswered = [line for line in part.failed if line not in part.failed_checks]
    lines += [f"NOT ANSWERED: {line}" for line in unanswered]
    print("\n".join([*failed, *lines, "", f"written: {written.as_posix()}"]))
    return FAILED_CHECKS if failed else 0


def _hush(_: str) -> None:
    pass


def _announce(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _result(result: "Reanalysis") -> str:
    """Write a reanalysis as the text that ends a run."""
    from cotreat import headline

    leader = result.leader
    lines = []
    for one in result.results:
        if one.failed:
            lines.append(f"FAILED CHECKS: do not use the numbers of {_name(result, one)}:")
            lines += [f"  {line}" for line in one.failed]
    priors = leader.summary.priors.iloc[0]
    lines += [f"{result.study.title}: model {_name(result, leader)}, {priors} priors"]
    lines += [
        f"CAUTION, {_name(result, one)}: {line}" for one in result.results for line in one.cautions
    ]
    lines += ["", *result.answer.sentences]
    lines += ["", headline.headline(leader.summary).to_string(index=False), ""]
    for one in result.results if len(result.study.readings) == 1 else (leader,):
        shown = [f"{_name(result, one)}: {a}" for a in headline.agreements(one.summary)]
        lines += shown
    lines += [
        f"{_name(result, one)}: {one.conflict}"
        for one in result.results
        if one.conflict is not None
    ]
    lines += [f"{name}: not run: {why}" for name, why in result.refused.items()]
    lines += [f"- {remark}" for remark in leader.remarks]
    return "\n".join([*lines, "", f"report: {result.report}"])


def _name(result: "Reanalysis", one: "Result") -> str:
    """Name a fit: its model, and its reading where the study has several."""
    return one.model if len(result.study.readings) == 1 else f"{one.model}, {one.reading}"


if __name__ == "__main__":
    sys.exit(main())
