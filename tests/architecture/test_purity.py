"""The domain is a matter of thought alone: no clock, no chance, no input or output, few imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORLDLY = {"asyncio", "logging", "os", "random", "socket", "time"}
ALLOWED = sys.stdlib_module_names - WORLDLY | {"domain", "msgspec"}
# Calls that answer differently each time; the caller hands such values in.
UNSTEADY = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "input", "print"}


def test_the_domain_is_pure() -> None:
    found = {str(path.relative_to(ROOT)): [*impurities(path.read_text())] for path in ROOT.glob("domain/**/*.py")}
    assert found, "the domain is elsewhere"
    assert {path: impure for path, impure in found.items() if impure} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "import os.path",
        "from random import choice",
        "def late():\n    import socket",
        "import phonenumbers",
        "from application.ports import Tasks",
        "from ..application import ports",
        "at = datetime.now(UTC)",
        "name = uuid4()",
        "text = open('x').read()",
    ],
)
def test_what_is_impure_is_seen(code: str) -> None:
    assert [*impurities(code)] != []


def test_what_is_pure_passes() -> None:
    assert [*impurities("import msgspec\nfrom datetime import datetime\nfrom domain.model import Event")] == []


def impurities(code: str) -> Iterator[str]:
    """Yield what code of the domain must not hold."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.partition(".")[0] not in ALLOWED)
            case ast.ImportFrom(module=module, level=level):
                if level or (module or "").partition(".")[0] not in ALLOWED:
                    yield f"{'.' * level}{module}"
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in UNSTEADY:
                yield f"{name}()"
            case _:
                pass
