"""Check the language of files: ``python -m tests.language [--count] [PATHS…]``; exits with 1 if there are findings."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.language.repository import ROOT, check_repository
from tests.language.texts import Finding


def main() -> None:
    """Print the findings, or with ``--count`` their number by rule and folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.language", description=__doc__)
    parser.add_argument("--count", action="store_true", help="print counts by rule and by top folder only")
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT], help="files or folders; all by default")
    arguments = parser.parse_args()
    findings = [*check_repository([path.resolve() for path in arguments.paths])]
    print("\n".join(counts(findings) if arguments.count else map(str, findings)))
    if findings:
        sys.exit(1)


def counts(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each rule and top folder, with the number of findings."""
    total = Counter((finding.rule, finding.path.partition("/")[0]) for finding in findings)
    return [f"{number:6} {rule:10} {folder}" for (rule, folder), number in sorted(total.items())]


if __name__ == "__main__":
    main()
