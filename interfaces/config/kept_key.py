"""The key of webhook secrets that `up` keeps in its data folder where PEREZVON_SECRETS_KEY is not set."""

from base64 import b64encode
from pathlib import Path
from secrets import token_bytes

_NAME = "secrets-key"
_KEY_BYTES = 32


def kept_key(folder: Path) -> str | None:
    """Return the key in the folder, in base64; None if there is none that this user can read."""
    try:
        return (folder / _NAME).read_text() or None
    except OSError:
        return None


def keep_key(folder: Path) -> str:
    """Return the key in the folder, in base64; create it if it is missing, in a file that only this user can read."""
    if key := kept_key(folder):
        return key
    folder.mkdir(parents=True, exist_ok=True)
    key = b64encode(token_bytes(_KEY_BYTES)).decode()
    new = folder / f"{_NAME}.new"
    new.touch(mode=0o600)
    new.write_text(key)
    new.replace(folder / _NAME)
    return key
