"""The domain is pure: no clock, no random numbers, no input or output, few imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPURE = {"asyncio", "logging", "os", "random", "socket", "time"}
ALLOWED = sys.stdlib_module_names - IMPURE | {"domain", "msgspec"}
# Calls with a different result each time; the caller passes such values.
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "input", "print"}


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
    """Yield the forbidden imports and calls in the code."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.partition(".")[0] not in ALLOWED)
            case ast.ImportFrom(module=module, level=level):
                if level or (module or "").partition(".")[0] not in ALLOWED:
                    yield f"{'.' * level}{module}"
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in IMPURE_CALLS:
                yield f"{name}()"
            case _:
                pass
