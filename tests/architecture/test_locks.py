"""The lock files name only the public index, and the check rejects other sources."""

from pathlib import Path

import pytest

from tests.support.locks import EXPORTS, foreign_lines

ROOT = Path(__file__).parents[2]


def test_the_locks_name_the_public_index_alone() -> None:
    assert [*foreign_lines(ROOT)] == []


def test_each_exported_lock_has_its_recipe() -> None:
    assert {path.name for path in ROOT.glob("requirements*.lock")} == set(EXPORTS)


def test_each_requirement_is_hashed() -> None:
    for name in EXPORTS:
        entries = (ROOT / name).read_text().replace("\\\n", "").splitlines()
        pinned = [line for line in entries if line and not line.lstrip().startswith("#")]
        assert pinned
        assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("requirements.lock", "--extra-index-url https://elsewhere.example/simple"),
        ("requirements.lock", "--find-links wheels"),
        ("requirements.lock", "-e ."),
        ("requirements.image.lock", "thing @ file:///somewhere/thing.whl"),
        ("requirements.lint.lock", "thing @ git+https://github.com/some/thing"),
        ("uv.lock", 'source = { registry = "https://elsewhere.example/simple" }'),
        ("uv.lock", 'source = { registry = "../wheels" }'),
        ("uv.lock", 'source = { git = "https://github.com/some/thing" }'),
        ("uv.lock", '    { url = "https://pypi.org.elsewhere.example/thing.whl" },'),
        ("uv.lock", '    { path = "thing.whl" },'),
    ],
)
def test_a_foreign_address_is_seen(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / "uv.lock").touch()
    (tmp_path / file).write_text(f"{line}\n")
    assert [*foreign_lines(tmp_path)] == [f"{file}:1: {line.strip()}"]
