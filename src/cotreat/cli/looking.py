"""Commands that sample nothing: studies, audit, cells, report."""

import argparse
import json

from cotreat.cli.common import (
    FAILED_CHECKS,
    STUDY_HELP,
    Commands,
    announce,
    refuse,
)
from cotreat.study import Study
from cotreat.study_file import collapse_of, load_study, packaged


def add_studies(commands: Commands) -> None:
    """Add the command that lists the packaged studies."""
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


def add_audit(commands: Commands) -> None:
    """Add the command that says what a study's numbers determine."""
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


def add_cells(commands: Commands) -> None:
    """Add the command for the collapse of patients to cells."""
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
        announce(
            "\nThe query leaves out rows that lack a value, and levels without their treatment, and takes "
            f"each row for a patient.\nCount first what it would leave out:\n\n{check};"
        )
        lines = ["[cells]", 'file = "cells.csv"  # the result of this query']
        lines += [f"{key} = {_toml(value)}" for key, value in section.items()]
        announce("\nIn the study file, in place of [patients]:\n" + "\n".join(lines))
        return 0
    study = load_study(options.study)
    if study.cells is None:
        return refuse(ValueError(f"{study.id} has no [patients] or [cells]"))
    print(study.cells)
    return 0


def _toml(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    pairs = (f"{json.dumps(k, ensure_ascii=False)} = {_toml(v)}" for k, v in value.items())
    return f"{{ {', '.join(pairs)} }}"


def add_report(commands: Commands) -> None:
    """Add the command that writes a report again."""
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
        return refuse(error)
    print("\n".join([page.as_posix(), *(f"FAILED CHECK: {line}" for line in failed)]))
    return FAILED_CHECKS if failed else 0
