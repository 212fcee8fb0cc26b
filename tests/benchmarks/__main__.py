"""`./run bench NAME [--json]`."""

import argparse
from importlib import import_module
from pathlib import Path

from tests.benchmarks.support import report, server

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
OPTIONS = {"lateness": {"seconds"}, "switch": {"seconds", "rate"}}


def main() -> None:
    """Run one benchmark on a server of its own and print its figures."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure perezvon beside its peers")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    parser.add_argument("--seconds", type=int, help="lateness and switch: for how long, if not a minute")
    parser.add_argument("--rate", type=float, help="switch: callbacks a second, if not 40")
    arguments = parser.parse_args()
    given = {"seconds": arguments.seconds, "rate": arguments.rate}
    options = {name: value for name, value in given.items() if value is not None}
    if unknown := options.keys() - OPTIONS.get(arguments.name, ()):
        parser.error(f"{arguments.name} has no option {', '.join(unknown)}")
    result = import_module(f"tests.benchmarks.bench_{arguments.name}").run(server(), **options)
    report(arguments.name, result, as_json=arguments.json)


if __name__ == "__main__":
    main()
