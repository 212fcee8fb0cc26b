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
    arguments = parser.parse_args()
    result = import_module(f"tests.benchmarks.bench_{arguments.name}").run(server())
    report(arguments.name, result, as_json=arguments.json)


if __name__ == "__main__":
    main()
