"""`./run chaos`: kill -9 under load, and a verdict on the result.

By default API, worker and Postgres are killed in turn while clients file tasks. With --calls workers are killed at random
while callbacks are dialled, and Postgres once. With --asterisk callbacks are dialled over a real Asterisk, and the worker
or Asterisk is killed, or the link between them is cut, while at least 30 calls are active. With --neighbour nothing is killed:
an organisation works beside another one that overloads all that the two share. With --database the database fails in ten
ways while tasks are filed and callbacks are dialled.
"""

import argparse
import asyncio
import sys

from tests.chaos import asterisk, calls, database, tasks
from tests.chaos.neighbour import run as neighbour

SECONDS = 60.0


def main() -> int:
    """Run the selected chaos run; return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(
        prog="./run chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="start no new kill after this many seconds")
    filing = parser.add_argument_group("filing tasks")
    filing.add_argument("--kills", type=int, default=20, help="how many processes to kill (default 20)")
    filing.add_argument("--clients", type=int, default=32)
    filing.add_argument(
        "--answer-early",
        action="store_true",
        help="run a build that responds before the commit: must fail, also with --database",
    )
    dialling = parser.add_argument_group("dialling callbacks")
    dialling.add_argument("--calls", action="store_true", help="kill a worker each second, for a minute by default")
    dialling.add_argument("--callbacks", type=int, default=2000)
    real = parser.add_argument_group("dialling over Asterisk")
    real.add_argument("--asterisk", action="store_true", help="three scenarios a run, about 15 s each")
    real.add_argument("--runs", type=int, default=10, help="runs of each scenario (default 10)")
    real.add_argument("--dial-again", action="store_true", help="run a build that dials again immediately: must fail")
    beside = parser.add_argument_group("a quiet organisation beside a hostile one")
    beside.add_argument("--neighbour", action="store_true", help="alone, then beside it, two minutes each by default")
    beside.add_argument("--without-shares", action="store_true", help="run a build without fair shares: must fail")
    database_ = parser.add_argument_group("faults of the database")
    database_.add_argument("--database", action="store_true", help="ten faults, each for eight seconds or --seconds")
    parser.add_argument(
        "--short", action="store_true", help="half of the database's faults; beside a neighbour 20 s, judged by medians"
    )
    options = parser.parse_args()
    if options.neighbour:
        return neighbour.main(
            seconds=options.seconds, shares=not options.without_shares, is_short=options.short, as_json=options.json
        )
    if options.asterisk:
        return asterisk.main(runs=options.runs, seed=options.seed, dial_again=options.dial_again, as_json=options.json)
    if options.database:
        storm = database.main(
            callbacks=options.callbacks,
            seconds=options.seconds,
            seed=options.seed,
            is_short=options.short,
            answer_early=options.answer_early,
            as_json=options.json,
        )
    elif options.calls:
        seconds = SECONDS if options.seconds is None else options.seconds
        storm = calls.main(callbacks=options.callbacks, seconds=seconds, seed=options.seed, as_json=options.json)
    else:
        storm = tasks.main(options)
    return asyncio.run(storm)


if __name__ == "__main__":
    sys.exit(main())
