"""The command ``webhook-secret``."""

from base64 import b64encode
from pathlib import Path

import pytest

from infrastructure.webhooks.signatures import key_of
from interfaces.config.kept_key import keep_key, kept_key
from tests.support.shell import Shell

pytest_plugins = ["tests.support.shells"]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key that seals secrets; without one the command logs a warning."""
    monkeypatch.setenv("PEREZVON_SECRETS_KEY", b64encode(bytes(32)).decode())


def test_the_secret_is_shown_and_rotated(shell: Shell, acme: str) -> None:
    shown = shell.json("webhook-secret", "show", "--organization", "1")
    assert shown.keys() == {"secret"}
    assert len(key_of(shown["secret"])) == 32
    rotated = shell.json("webhook-secret", "rotate", "--organization", "1", "--overlap", "2d")
    assert rotated.keys() == {"secret"}
    assert rotated != shown
    assert shell.json("webhook-secret", "show", "--organization", "1") == rotated


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "--organization", "999"), 2),
        (("rotate", "--organization", "999"), 2),
        (("rotate", "--organization", "1", "--overlap", "8d"), 2),
        (("rotate", "--organization", "1", "--overlap", "soon"), 2),
        (("show",), 2),
    ],
)
def test_bad_input_is_told_as_such(shell: Shell, acme: str, words: tuple[str, ...], code: int) -> None:
    found, out, err = shell.run("webhook-secret", *words, "--json")
    assert (found, out) == (code, "")
    assert '"error"' in err


@pytest.mark.parametrize("key", ["not-a-key", "AAAA", "ж" * 44])
def test_a_key_of_the_wrong_length_is_refused_and_not_repeated(
    shell: Shell, acme: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("PEREZVON_SECRETS_KEY", key)
    code, out, err = shell.run("webhook-secret", "show", "--organization", "1")
    assert (code, out) == (2, "")
    assert "32 random bytes" in err
    assert key not in err.replace("PEREZVON_SECRETS_KEY", "").replace("expected", "")


def test_the_doctor_sees_that_no_secret_can_be_read(shell: Shell, acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell.findings()["secrets"]["state"] == "ok"
    monkeypatch.delenv("PEREZVON_SECRETS_KEY")
    monkeypatch.setattr("interfaces.bootstrap.database.kept_key", _no_key)
    found = shell.findings()["secrets"]
    assert found["state"] == "warn"
    assert "PEREZVON_SECRETS_KEY" in found["advice"]
    code, error = shell.refusal("webhook-secret", "show", "--organization", "1")
    assert (code, error["code"]) == (1, "secret_unreadable")


def test_the_doctor_knows_who_reads_the_key_of_a_folder(
    shell: Shell, acme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PEREZVON_SECRETS_KEY")
    keep_key(tmp_path)
    found = shell.findings("--data-dir", str(tmp_path))["secrets"]
    assert (found["state"], "Only `perezvon up`" in found["message"]) == ("warn", True)
    (tmp_path / "secrets-key").write_text("")
    found = shell.findings("--data-dir", str(tmp_path))["secrets"]
    assert (found["state"], "it is empty" in found["message"]) == ("fail", True)
    for name in ("PEREZVON_DATABASE_URL", "PEREZVON_OWNER_URL"):
        monkeypatch.delenv(name)
    (tmp_path / "secrets-key").unlink()
    keep_key(tmp_path)
    assert shell.findings("--data-dir", str(tmp_path))["secrets"]["state"] == "ok"


def _no_key(_folder: Path) -> None:
    return None


def test_a_command_uses_the_key_that_up_keeps_in_its_folder(
    shell: Shell, acme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PEREZVON_SECRETS_KEY")
    key = keep_key(tmp_path)
    assert keep_key(tmp_path) == kept_key(tmp_path) == key
    assert (tmp_path / "secrets-key").stat().st_mode & 0o777 == 0o600
    words = ("--organization", "1", "--data-dir", str(tmp_path))
    shown = shell.json("webhook-secret", "show", *words)
    assert shell.json("webhook-secret", "show", *words) == shown
    assert kept_key(tmp_path / "empty") is None
