"""The user of the processes of ``perezvon up``: root gives up its rights, if another user can run the program."""

import os
import subprocess
import sys
from pwd import struct_passwd

import structlog

_TRIAL_S = 60.0

_log = structlog.get_logger("perezvon.up")


def unprivileged_user(candidate: struct_passwd | None) -> struct_passwd | None:
    """Return the user to run API and worker as, None for the present one.

    For root it is ``candidate`` (the user of the local Postgres), if that user can read the program and its libraries. Otherwise a
    warning is logged: the processes then run as root.
    """
    if os.geteuid() != 0:
        return None
    reason = "no local Postgres runs, whose user they could be" if candidate is None else _obstacle(candidate)
    if reason is None:
        return candidate
    _log.warning("API AND WORKER RUN AS ROOT", reason=reason, advice="start `perezvon up` as another user")
    return None


def _obstacle(user: struct_passwd) -> str | None:
    """Return why the user cannot run the program, None if it can."""
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-c", "import interfaces.cli"],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{user.pw_name} cannot start {sys.executable}: {error}"
    return f"{user.pw_name} cannot read the program in {sys.prefix}" if trial.returncode else None
