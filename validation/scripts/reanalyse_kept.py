"""Reproduce the kept reanalyses of packaged studies: ``python -m validation.scripts.reanalyse_kept``."""

import argparse
import sys
from pathlib import Path

from cotreat import load_study, reanalyse
from cotreat.core.constants import STANDARD
from validation.scripts.synthetic_cohort import write_cohort
from validation.units import STUDIES

RUNS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...], str | None], ...]] = {
    "factor-v-leiden": ((("interaction",), (), STANDARD),),
    "isis2": ((("interaction",), (), STANDARD),),
    "oral-cancer": ((("interaction",), (), STANDARD),),
    "sun2024": ((("dose", "duration"), ("odds-ratios",), None), ((), (), STANDARD)),
    "sun2024-synthetic": ((("subgroups:kidney",), (), None), (("interaction", "dose"), (), None)),
}
"""Models, interpretations and depth of each run of a kept study; the last run writes the report."""
SYNTHETIC = "sun2024-synthetic"


def main() -> int:
    """Reanalyse STUDY, or every kept study, into OUT/STUDY."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study", nargs="?", choices=STUDIES)
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    names = [arguments.study] if arguments.study else list(RUNS)
    # Failed checks of one study do not prevent the reanalysis of the others.
    failed = [name for name in names if _has_failed(name, arguments.out)]
    return 3 if failed else 0


def _has_failed(name: str, out: Path) -> bool:
    """Reanalyse a study; return whether a check of a fit has failed."""
    if name == SYNTHETIC:
        write_cohort(out)
    study = load_study(name)
    analyses = [
        reanalyse(
            study, models, interpretations=chosen, out=out, depth=depth, on_progress=_print_line
        )
        for models, chosen, depth in RUNS[name]
    ]
    return any(analysis.failed for analysis in analyses)


def _print_line(line: str) -> None:
    """Print a line of progress without buffering."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
