"""The key of webhook secrets in a data folder: created once, and never replaced."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from interfaces.config import kept_key as module
from interfaces.config.kept_key import keep_key, kept_key
from interfaces.config.settings import BadSetting

NAME = "secrets-key"


def test_a_key_is_created_once_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert kept_key(folder) is None
    key = keep_key(folder)
    assert keep_key(folder) == kept_key(folder) == key
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    assert [*folder.iterdir()] == [folder / NAME]


def test_a_line_break_at_the_end_belongs_to_no_key(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("abc=\n")
    assert keep_key(tmp_path) == kept_key(tmp_path) == "abc="


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_a_file_that_holds_no_key_is_reported_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    for use in (keep_key, kept_key):
        with pytest.raises(BadSetting, match=f"{tmp_path}/{NAME} cannot be used.*Restore the file"):
            use(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_key_that_cannot_be_read_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    key = keep_key(tmp_path)

    def fail(*_values: object, **_options: object) -> str:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", fail)
        with pytest.raises(BadSetting, match=str(error.strerror)):
            keep_key(tmp_path)
        if isinstance(error, PermissionError):
            assert kept_key(tmp_path) is None
        else:
            with pytest.raises(BadSetting, match=str(error.strerror)):
                kept_key(tmp_path)
    assert keep_key(tmp_path) == key


def test_processes_that_create_a_key_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, link = Barrier(8), os.link

    def link_together(source: str, target: Path) -> None:
        barrier.wait(30)
        link(source, target)

    monkeypatch.setattr(module.os, "link", link_together)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(keep_key, [tmp_path] * 8))
    assert keys == {kept_key(tmp_path)}
    assert [*tmp_path.iterdir()] == [tmp_path / NAME]
