"""Run a script of models and keep what it prints: ``python -m validation.scripts.run_script``."""

import argparse
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"


def main() -> None:
    """Run models/NAME.py in a folder of its own; write OUT/NAME.txt once it has ended well."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=sorted(path.stem for path in MODELS.glob("*.py")))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    command = [sys.executable, str(MODELS / f"{given.name}.py")]
    ran = subprocess.run(command, cwd=given.out, stdout=subprocess.PIPE, text=True, check=True)
    (given.out / f"{given.name}.txt").write_text(ran.stdout, encoding="utf-8")


if __name__ == "__main__":
    main()
