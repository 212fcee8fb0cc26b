"""The user of the processes of `perezvon up`, when root starts it."""

import os
import pwd
import shutil
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from interfaces.processes.unprivileged import unprivileged_user

NOBODY = pwd.getpwnam("nobody")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")


@only_root
def test_root_gives_up_its_rights_where_the_other_user_can_run_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert unprivileged_user(NOBODY) is NOBODY


@only_root
def test_a_program_that_the_other_user_cannot_read_runs_as_root_with_a_loud_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    shutil.copy("/bin/true", tmp_path / "python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with capture_logs() as lines:
        assert unprivileged_user(NOBODY) is None
    assert lines[0]["event"] == "API AND WORKER RUN AS ROOT"
    assert str(tmp_path / "python") in lines[0]["reason"]


@only_root
def test_without_a_local_postgres_there_is_no_other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as lines:
        assert unprivileged_user(None) is None
    assert [line["log_level"] for line in lines] == ["warning"]


def test_others_stay_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with capture_logs() as lines:
        assert unprivileged_user(NOBODY) is None
    assert lines == []
