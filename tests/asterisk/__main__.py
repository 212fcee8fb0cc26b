"""`./run asterisk`: a real Asterisk with phones behind it, until Ctrl-C.

./run asterisk          start both, fetched if needed, and print how perezvon dials them
./run asterisk --fetch  only fetch them
"""

import argparse
import signal
import sys
from contextlib import suppress

from tests.asterisk.archive import FetchFailed, fetch
from tests.asterisk.real_switch import real_switch
from tests.asterisk.server import Asterisk
from tests.asterisk.tree import Tree, found


def main() -> None:
    """Run the command. Exits with a message where no Asterisk is available."""
    parser = argparse.ArgumentParser(prog="./run asterisk", description="Run a real Asterisk with phones behind it")
    parser.add_argument("--fetch", action="store_true", help="only fetch both")
    parser.add_argument("--talk", type=float, default=5, metavar="SECONDS", help="how long the phones talk (5)")
    arguments = parser.parse_args()
    try:
        tree = found() or _fetched()
        print(f"{tree.versions()} in {tree.folder}")
    except (FetchFailed, OSError) as error:
        sys.exit(f"ASTERISK could not be fetched: {error}")
    if not arguments.fetch:
        _run(tree, arguments.talk)


def _fetched() -> Tree:
    print("Fetching Asterisk and SIPp from Debian, about 90 MB", flush=True)
    return fetch()


def _run(tree: Tree, talk_s: float) -> None:
    with real_switch(tree, talk_s=talk_s) as real:
        _tell(real.asterisk)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            signal.pause()
        print(f"\n{len(real.phones.invites())} calls of phones")


def _tell(asterisk: Asterisk) -> None:
    print("\nAsterisk runs, with phones behind it. In another terminal:\n")
    for name, value in asterisk.environment.items():
        print(f"export {name}='{value}'")
    print(f"./run up --demo --asterisk {asterisk.address}\n\nCtrl-C ends both.", flush=True)


if __name__ == "__main__":
    main()
