"""Each path of the code that the documentation names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
CODE = ("domain", "application", "infrastructure", "interfaces", "tests")
FOLDERS = (*CODE, "docs", "examples")
# An existing thing for each placeholder of a recipe.
PLACEHOLDERS = {
    "NNNN_pre_<view>": "0009_pre_callback_list",
    "NNNN_pre_<name>": "0009_pre_callback_list",
    "<view>": "callback_list",
    "<aggregate>": "task",
    "<aggregates>": "tasks",
    "<verb_object>": "retry_callbacks",
    "<name>": "simulated",
    "<resource>": "tasks",
    "<tag>": "task.filed.v1",
}
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[^`\s+]*)`")
_MODULE = re.compile(r"`(?<!/)([a-z_]+\.py)`")
_SHOWN = {"receiver.py"}  # the pages show these files themselves


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_named_path_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_the_recipes_name_paths() -> None:
    recipes = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2].partition("## Language")[0]
    )
    for recipe in recipes.split("### ")[1:]:
        assert len(_PATH.findall(recipe)) >= 2, recipe


def test_a_path_that_does_not_exist_is_seen() -> None:
    assert missing("`domain/model.py`, `domain/nowhere.py`, `runner.py` and `nowhere.py`") == [
        "domain/nowhere.py",
        "nowhere.py",
    ]


def missing(text: str) -> list[str]:
    paths = [_filled(path) for path in _PATH.findall(text)]
    modules = {name for name in _MODULE.findall(text) if name not in _SHOWN}
    return [path for path in paths if not (ROOT / path).exists()] + sorted(
        name for name in modules if not any(found for folder in CODE for found in (ROOT / folder).rglob(name))
    )


def _filled(path: str) -> str:
    for placeholder, example in PLACEHOLDERS.items():
        path = path.replace(placeholder, example)
    return path
