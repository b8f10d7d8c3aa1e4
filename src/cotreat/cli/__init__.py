"""The command line: a thin command for each step; the heavy libraries load inside the commands."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from cotreat.cli.analyses import compare, sensitivity
from cotreat.cli.calibrate import calibrate
from cotreat.cli.common import EXIT_STATUSES, CommandGroup
from cotreat.cli.inspect import aggregate, audit, report, schema, studies
from cotreat.cli.reanalyse import CommandWithModels, reanalyse

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich takes longer to load than the help takes to print
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for command in (
    studies,
    audit,
    aggregate,
    reanalyse,
    compare,
    sensitivity,
    calibrate,
    report,
    schema,
):
    cls = CommandWithModels if command is reanalyse else None
    app.command(cls=cls, epilog=EXIT_STATUSES)(command)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"cotreat {version('cotreat')}")
        raise typer.Exit


@app.callback(epilog=EXIT_STATUSES)
def cotreat(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Reanalyse studies that give treatments in combination and count a yes/no outcome.

    Bayesian estimates of risks, odds ratios and the probability of synergy on every scale, shown with the
    frequentist estimates.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after ``cotreat``; None stands for those of this process.

    Returns
    -------
    int
        Exit status: 0 done, 1 another error, 2 unusable input, 3 a reported fit failed its checks,
        130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without β must not end a run
            stream.reconfigure(errors="replace")
    try:
        get_command(app)(args=arguments, prog_name="cotreat")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
