"""Reanalyse a packaged study whole, as its results are kept: ``python -m validation.scripts.reanalyse_kept``."""

import argparse
import sys
from pathlib import Path

from cotreat.cli import main as command
from validation.units import STUDIES


def main() -> None:
    """Reanalyse STUDY under the models that are kept, into OUT/STUDY."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    models = dict.fromkeys(case.model for case in STUDIES[given.study])
    asked = [word for model in models for word in ("--model", model)]
    sys.exit(command(["reanalyse", given.study, *asked, "--out", str(given.out)]))


if __name__ == "__main__":
    main()
