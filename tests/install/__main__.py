"""Follow docs/install.md, word for word, in a bare Debian that is made for it.

The tree is made with debootstrap and kept in the cache. Commands run in it under `chroot`, in a process namespace of their
own, so that nothing is left behind. systemd does not run there: tests/install/systemctl verifies the units and starts
their commands. Where no such tree can be made, the wheel and its locked dependencies are installed in a new virtual
environment instead, and the last line reports it.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.asterisk.archive import debian_archive

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/bin/python"
PAGE = ROOT / "docs/install.md"
SUITE = "bookworm"
BASE_PYTHON: str = getattr(sys, "_base_executable")  # noqa: B009 - of .venv, which has no pip
LONGEST_S = 900.0
# Runs at the end: the API answers under its prefix, refuses the owner's login, and its links keep the prefix.
AFTERWARDS = """
set -a; . /etc/perezvon/service.env; . /etc/perezvon/owner.env; set +a
get="curl --silent --show-error --fail --cacert /etc/perezvon/tls/certificate.pem"
operator=$(perezvon operator add 'Line 2' --organization 1 --json | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
$get --json "{\\"operator_id\\":\\"$operator\\",\\"title\\":\\"Call back\\"}" https://localhost/perezvon/api/tasks | grep '"status":"pending"'
$get https://localhost/perezvon/openapi.json | grep '"servers":\\[{"url":"/perezvon"}\\]'
$get https://localhost/perezvon/docs/static/docs.js
if $get https://localhost/perezvon/docs | grep '="/'; then exit 1; fi
perezvon doctor
unset PEREZVON_DATABASE_URL PEREZVON_OWNER_URL
mkdir /var/lib/trial
perezvon up --port 0 --data-dir /var/lib/trial >/tmp/up.out 2>/tmp/up.log &
timeout 60 sh -c 'until grep ready /tmp/up.out; do sleep 0.1; done'
pid=$(grep -h '"event":"started"' /tmp/up.log | grep '"process":"api"' | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
test "$(stat --format %U /proc/$pid)" = postgres
kill %1
wait %1
"""


class CannotMakeTree(Exception):
    """No Debian tree can be made on this machine; the message says why."""


def main() -> None:
    """Follow the page; exit with an error if a command of it fails."""
    began = time.monotonic()
    with TemporaryDirectory() as scratch:
        wheel = build(Path(scratch))
        try:
            with tree() as folder:
                follow(folder, wheel, Path(scratch))
        except CannotMakeTree as error:
            in_virtual_environment(wheel, Path(scratch))
            print(f"DOCS/INSTALL.MD WAS NOT FOLLOWED, only its wheel was installed: {error}")
    print(f"   {time.monotonic() - began:.0f} s")


def build(scratch: Path) -> Path:
    """Build the wheel of this checkout; return its path."""
    command = [PYTHON, "-m", "hatchling", "build", "-t", "wheel", "-d", scratch / "dist"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return next((scratch / "dist").glob("*.whl"))


@contextmanager
def tree() -> Generator[Path]:
    """Yield a new Debian tree, which is removed at the end. Raises CannotMakeTree."""
    if os.geteuid() != 0:
        raise CannotMakeTree("it takes root")
    with TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place, "tree")
        try:
            debootstrap(folder, Path(place))
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotMakeTree(f"{error} {getattr(error, 'stderr', '') or ''}".strip()) from error
        yield folder


def debootstrap(folder: Path, place: Path) -> None:
    """Make a Debian tree with the base packages only; debootstrap is unpacked, not installed."""
    program, environment = shutil.which("debootstrap"), dict(os.environ)
    if program is None:
        quietly(["apt-get", "download", "-qq", "debootstrap"], cwd=place)
        quietly(["dpkg-deb", "-x", str(next(place.glob("debootstrap_*.deb"))), str(place / "unpacked")])
        program = str(place / "unpacked/usr/sbin/debootstrap")
        environment["DEBOOTSTRAP_DIR"] = str(place / "unpacked/usr/share/debootstrap")
    print(f"   making a bare Debian {SUITE}", flush=True)
    quietly([program, "--variant=minbase", SUITE, str(folder), debian_archive()], env=environment)
    # No service starts by itself, as in every container.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def follow(folder: Path, wheel: Path, scratch: Path) -> None:
    """Run the page's commands in the tree, and what must hold afterwards."""
    given = folder / "root/perezvon"
    (given / "dist").mkdir(parents=True)
    shutil.copy(wheel, given / "dist")
    shutil.copy(ROOT / "requirements.image.lock", given)
    shutil.copytree(ROOT / "docs/install", given / "docs/install")
    shutil.copy(ROOT / "tests/install/systemctl", folder / "usr/local/bin/systemctl")
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copy(name, folder / name[1:])
    shutil.copytree(download(scratch), folder / "root/wheels")
    commands = "\n".join(block for block in re.findall(r"(?s)```sh\n(.*?)```", PAGE.read_text(encoding="utf-8")))
    # systemd-analyze verifies the units.
    commands = commands.replace("apt-get install -y", "apt-get install -y systemd", 1)
    script = folder / "root/follow.sh"
    script.write_text(f"set -euxo pipefail\n{commands}\n{AFTERWARDS}\necho followed\n")
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        # The files that this machine's pip found; their hashes are those of the lock file.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/root/wheels",
    } | {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    inner = 'mount -t proc proc "$0/proc" && exec chroot "$0" bash /root/follow.sh'
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inner, str(folder)]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode or not done.stdout.endswith("followed\n"):
        logs = "".join(f"\n== {path.name}\n{path.read_text()}" for path in (folder / "run/by-hand").glob("*.log"))
        sys.exit(
            f"docs/install.md failed ({done.returncode}):\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}\n{logs[-8000:]}"
        )


def download(scratch: Path) -> Path:
    """Download the locked dependencies for the Python of the tree; return their folder."""
    folder = scratch / "wheels"
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--disable-pip-version-check"]
    command = [BASE_PYTHON, "-m", "pip", "download", *options, "-d", str(folder)]
    quietly([*command, "--require-hashes", "-r", str(ROOT / "requirements.image.lock")])
    return folder


def in_virtual_environment(wheel: Path, scratch: Path) -> None:
    """Install the wheel with its locked dependencies in a new virtual environment, and run it."""
    place = scratch / "venv"
    quietly([sys.executable, "-m", "venv", "--without-pip", str(place)])
    pip = [BASE_PYTHON, "-m", "pip", "--python", str(place / "bin/python"), "install", "--quiet"]
    quietly([*pip, "--require-hashes", "--only-binary=:all:", "-r", str(ROOT / "requirements.image.lock")])
    quietly([*pip, "--no-deps", str(wheel)])
    quietly([str(place / "bin/perezvon"), "--version"])


def quietly(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only if it fails. Raises CalledProcessError."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stdout + done.stderr)


if __name__ == "__main__":
    main()
