"""Run a script in ``models`` and keep its standard output: ``python -m validation.scripts.run_script``."""

import argparse
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"


def main() -> None:
    """Run models/NAME.py in the folder OUT; write its output to OUT/NAME.txt if it succeeds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=sorted(path.stem for path in MODELS.glob("*.py")))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    command = [sys.executable, str(MODELS / f"{arguments.name}.py")]
    ran = subprocess.run(command, cwd=arguments.out, stdout=subprocess.PIPE, text=True, check=True)
    (arguments.out / f"{arguments.name}.txt").write_text(ran.stdout, encoding="utf-8")


if __name__ == "__main__":
    main()
