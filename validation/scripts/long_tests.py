"""Run the long tests of one file and record their outcomes: ``python -m validation.scripts.long_tests``."""

import argparse
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the tests in tests/NAME.py that are marked long; write OUT/NAME.txt if all pass."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    report = arguments.out / "report.xml"
    command = [sys.executable, "-m", "pytest", "-m", "long", "-n", "0", f"--junit-xml={report}"]
    subprocess.run([*command, f"tests/{arguments.name}.py"], cwd=ROOT, check=True)
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest has just written it
    outcomes = [
        f"{case.get('name')}: {'skipped' if case.find('skipped') is not None else 'passed'}\n"
        for case in cases
    ]
    (arguments.out / f"{arguments.name}.txt").write_text("".join(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
