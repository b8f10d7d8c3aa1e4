"""The commands that fit nothing: studies, audit, aggregate, report, schema."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotreat.cli import options
from cotreat.cli.common import FAILED_CHECKS, print_note, read_study, stop

if TYPE_CHECKING:
    from cotreat.study.study import Study


def studies() -> None:
    """List the packaged studies."""
    from cotreat.study_file.reader import load_study, packaged

    for name in packaged():
        study = load_study(name)
        print(f"{name:<16} {study.title} ({study.design}, {_patients(study)})")


def _patients(study: "Study") -> str:
    """Return the reported number of patients of a study."""
    if not study.has_uncounted:
        return f"{int(study.n.sum()):,} patients"
    most = max((total.n for total in study.totals), default=0)
    return (f"{most:,} patients, " if most else "") + "reported estimates only"


def audit(study: options.Study) -> None:
    """Show what a study's evidence identifies, without sampling.

    Shows the counts, checks reported totals and odds ratios against them, and lists which estimands
    the evidence identifies.
    """
    from cotreat.audit.audit import audit as audit_of
    from cotreat.audit.wording import words

    print(words(audit_of(read_study(study))))


def aggregate(
    study: options.Study,
    print_sql: Annotated[
        bool, typer.Option("--print-sql", help="Print the aggregation as SQL; read no patients.")
    ] = False,
) -> None:
    """Aggregate individual patient data to covariate patterns.

    Shows how many patterns of regimen, covariates and cluster the patients under [patients] have. For
    patients in a database: run the SQL of --print-sql there, save its result as CSV or Parquet, and name
    that file under [patterns]; the posterior is the same.
    """
    from cotreat.study_file.reader import load_study

    if print_sql:
        _print_sql(study)
        return
    record = load_study(study)
    if record.patterns is None:
        raise stop(
            f"{record.id} has no individual patient data; its study file has no [patients] or [patterns]"
        )
    print(record.patterns)


def _print_sql(study: str) -> None:
    """Print the query on standard output, and its use on standard error."""
    from cotreat.study_file.reader import aggregation_of

    query, check, section = aggregation_of(study)
    print(f"{query};")
    print_note(
        "\nThe query omits rows with a missing value, and levels without their treatment, and counts "
        f"each row as one patient.\nFirst count the rows it would omit:\n\n{check};"
    )
    lines = ["[patterns]", 'file = "patterns.csv"  # the result of this query']
    lines += [f"{key} = {_toml(value)}" for key, value in section.items()]
    print_note("\nIn the study file, in place of [patients]:\n" + "\n".join(lines))


def _toml(value: str | dict[str, str]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }"


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results of a study, such as results/isis2.")
    ],
) -> None:
    """Write a study's report.html again from its results."""
    from cotreat.report import ReportError, write_report

    try:
        page, failed, _ = write_report(folder)
    except ReportError as error:
        raise stop(error) from error
    print("\n".join([page.as_posix(), *(f"FAILED CHECK: {line}" for line in failed)]))
    if failed:
        raise typer.Exit(FAILED_CHECKS)


def schema() -> None:
    """Print the JSON Schema of study files.

    Editors check and complete study files with it.
    """
    from cotreat.study_file.shape import schema as schema_of

    print(json.dumps(schema_of(), indent=2, ensure_ascii=False))
