"""`./run bench NAME [--json]`."""

import argparse
from importlib import import_module
from pathlib import Path

from tests.benchmarks.support import report, server

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    """Run one benchmark on a server of its own and print its figures."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure perezvon beside its peers")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    parser.add_argument("--seconds", type=int, help="lateness only: for how long, if not a minute")
    arguments = parser.parse_args()
    options = {} if arguments.seconds is None else {"seconds": arguments.seconds}
    if options and arguments.name != "lateness":
        parser.error("--seconds is an option of lateness")
    result = import_module(f"tests.benchmarks.bench_{arguments.name}").run(server(), **options)
    report(arguments.name, result, as_json=arguments.json)


if __name__ == "__main__":
    main()
