"""Each path of the code that the documentation names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CODE = ("domain", "application", "infrastructure", "interfaces", "tests")
_PATH = re.compile(rf"`((?:{'|'.join(CODE)})/[^`\s+]*)`")
_MODULE = re.compile(r"`(?<!/)([a-z_]+\.py)`")
_SHOWN = {"receiver.py"}  # the pages show these files themselves


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_named_path_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_a_path_that_does_not_exist_is_seen() -> None:
    assert missing("`domain/model.py`, `domain/nowhere.py`, `runner.py` and `nowhere.py`") == [
        "domain/nowhere.py",
        "nowhere.py",
    ]


def missing(text: str) -> list[str]:
    paths = [path.replace("<view>", "task_list") for path in _PATH.findall(text)]
    modules = {name for name in _MODULE.findall(text) if name not in _SHOWN}
    return [path for path in paths if not (ROOT / path).exists()] + sorted(
        name for name in modules if not any(found for folder in CODE for found in (ROOT / folder).rglob(name))
    )
