"""Run one benchmark: `./run bench NAME [--json]`."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from tests.benchmarks.bench_growth import MEASURES
from tests.benchmarks.support import report, server

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
OPTIONS = {"lateness": {"seconds"}, "switch": {"seconds", "rate"}, "growth": {"only"}}


def main() -> None:
    """Run one benchmark on a new Postgres server, and print its figures."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure perezvon and compare it with its peers")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.add_argument("--seconds", type=int, help="duration, for lateness and switch (default 60)")
    parser.add_argument("--rate", type=float, help="callbacks a second, for switch (default 40)")
    parser.add_argument("--only", choices=sorted(MEASURES), help="one measure of growth (default: all)")
    arguments = parser.parse_args()
    given = {"seconds": arguments.seconds, "rate": arguments.rate, "only": arguments.only}
    options = {name: value for name, value in given.items() if value is not None}
    if unknown := options.keys() - OPTIONS.get(arguments.name, ()):
        parser.error(f"{arguments.name} has no option {', '.join(unknown)}")
    result = import_module(f"tests.benchmarks.bench_{arguments.name}").run(server(), **options)
    report(arguments.name, result, as_json=arguments.json)
    if result.get("missed"):
        sys.exit(1)


if __name__ == "__main__":
    main()
