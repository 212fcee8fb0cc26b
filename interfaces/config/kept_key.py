"""The key of webhook secrets that `up` keeps in its data folder where PEREZVON_SECRETS_KEY is not set."""

import os
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes
from tempfile import NamedTemporaryFile

from interfaces.config.settings import BadSetting

_NAME = "secrets-key"
_KEY_BYTES = 32


def kept_key(folder: Path) -> str | None:
    """Return the key in the folder, in base64; None if there is none, or none that this user may read.

    Raises BadSetting if the file cannot be read for another reason, or is empty.
    """
    try:
        return _read(folder / _NAME)
    except PermissionError:
        return None


def keep_key(folder: Path) -> str:
    """Return the key in the folder, in base64; create it only if there is no file, readable by this user alone.

    A key that exists is never replaced: the secrets that it encrypted could not be read any more. Of processes that create one at
    once, all return the same. Raises BadSetting if there is a file that does not yield a key, or the key cannot be stored.
    """
    file = folder / _NAME
    try:
        return _read(file) or _created(file)
    except OSError as error:
        raise _unusable(file, str(error)) from error


def _read(file: Path) -> str | None:
    """Return the content of the file, None if there is no such file. Raises PermissionError, BadSetting."""
    try:
        key = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error
    if not key:
        raise _unusable(file, "it is empty")
    return key


def _created(file: Path) -> str:
    """Create the file with a new key, on the disk before it has its name; return the key that the file has at last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.", mode="w", encoding="ascii") as new:  # mode 0600
        new.write(b64encode(token_bytes(_KEY_BYTES)).decode())
        new.flush()
        os.fsync(new.fileno())
        with suppress(FileExistsError):  # another process has created it
            os.link(new.name, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return file.read_text(encoding="ascii")


def _unusable(file: Path, why: str) -> BadSetting:
    return BadSetting(
        f"PEREZVON_SECRETS_KEY is not set, and the key in {file} cannot be used: {why}. Restore the file from a copy, readable and"
        " writable by this user alone, or set PEREZVON_SECRETS_KEY to that key. Delete the file only if the secrets of all webhooks"
        " may be lost: receivers then need new ones (`perezvon webhook-secret rotate`)"
    )
