"""Lint rules are strict, each exception has a reason, and files stay small."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["domain", "application", "infrastructure", "interfaces"]
LONGEST_FILE = 400
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MIGRATION = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")
SOURCES = sorted(path for folder in [*PACKAGES, "tests"] for path in ROOT.glob(f"{folder}/**/*.py"))
_EXCEPTION = re.compile(
    r"#\s*(noqa|type: ?ignore|pyright: ?ignore)(?P<rules>[:\[][^#]*?)?(?P<reason>\s+(-|—|#)\s+\S.*)?$"
)


def test_ruff_takes_all_rules_and_each_exception_says_why() -> None:
    assert PROJECT["tool"]["ruff"]["lint"]["select"] == ["ALL"]
    assert [*unexplained_rules((ROOT / "pyproject.toml").read_text())] == []


def test_a_rule_left_out_without_a_word_is_seen() -> None:
    assert [*unexplained_rules('[tool.ruff.lint]\nignore = [\n    "D105",\n    "D107", # why\n]\n')] == ['"D105",']


def test_pyright_is_strict_everywhere() -> None:
    pyright = PROJECT["tool"]["pyright"]
    assert pyright["typeCheckingMode"] == "strict"
    assert pyright["include"] == [*PACKAGES, "tests", "examples"]
    assert [environment["root"] for environment in pyright["executionEnvironments"]] == ["tests"]


def test_warnings_are_errors() -> None:
    pytest_options = PROJECT["tool"]["pytest"]["ini_options"]
    assert pytest_options["filterwarnings"][0] == "error"
    assert {"--strict-markers", "--strict-config"} <= set(pytest_options["addopts"])


def test_each_exception_in_the_code_says_why() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in set(SOURCES) - {Path(__file__)}  # the examples below
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if is_unexplained(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "unexplained"),
    [
        ("x = 1  # noqa: S101", True),
        ("x = 1  # pyright: ignore", True),
        ("x = 1  # pyright: ignore[reportX]", True),
        ("x = 1  # noqa: S101 - it is a test", False),
        ("x = 1  # pyright: ignore[reportX] - the library has no types", False),
        ("x = 1  # a comment", False),
    ],
)
def test_an_exception_without_a_reason_is_seen(line: str, *, unexplained: bool) -> None:
    assert is_unexplained(line) is unexplained


def test_files_stay_small() -> None:
    assert [path for path in SOURCES if len(path.read_text().splitlines()) >= LONGEST_FILE] == []


def test_each_package_is_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []


def test_each_folder_of_code_is_a_package() -> None:
    assert [path.parent for path in SOURCES if not (path.parent / "__init__.py").is_file()] == []


def test_migrations_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in ROOT.glob("infrastructure/migrations/*.sql"))
    assert misnumbered(names) == []


@pytest.mark.parametrize(
    "names",
    [
        ["0001_pre_log.sql", "0003_post_views.sql"],
        ["0001_pre_log.sql", "0001_post_log.sql"],
        ["0001_log.sql"],
        ["0002_pre_log.sql"],
        ["0001_pre_Log.sql"],
    ],
)
def test_a_misnumbered_migration_is_seen(names: list[str]) -> None:
    assert misnumbered(names) != []


def misnumbered(names: list[str]) -> list[str]:
    """Return the names that lack the next number, a stage or a description."""
    return [
        name
        for number, name in enumerate(names, start=1)
        if not (match := MIGRATION.fullmatch(name)) or int(match[1]) != number
    ]


def unexplained_rules(pyproject: str) -> Iterator[str]:
    """Yield the lines of ruff's tables that ignore a rule without a reason."""
    ruff = pyproject.partition("[tool.ruff.lint]")[2].partition("[tool.ruff.lint.pydocstyle]")[0]
    for line in map(str.strip, ruff.splitlines()):
        if re.match(r'"[A-Z]+\d*",|"[^"]+" = \["', line) and "#" not in line:
            yield line


def is_unexplained(line: str) -> bool:
    """Return whether a line silences a checker without naming the rule and the reason."""
    found = _EXCEPTION.search(line)
    return bool(found) and not (found["rules"] and found["reason"])
