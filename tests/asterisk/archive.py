"""Fetches Asterisk and SIPp from Debian's archive and unpacks them beside the host's programs: nothing is installed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.asterisk.tree import NAME, Tree, cache

_ARCHIVE = "http://deb.debian.org/debian"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Stable Debian has no Asterisk, testing sometimes drops it, unstable has it too.
_SUITES = ("forky", "sid")
_PACKAGES = ("asterisk", "asterisk-core-sounds-en-gsm", "sip-tester")
_LONGEST_S = 600.0
_OPTIONS = {
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State::status": "/dev/null",
    "Debug::NoLocking": "1",
    "APT::Sandbox::User": "",
    "APT::Install-Recommends": "false",
    "APT::Update::Post-Invoke-Success": "",
    "Acquire::Languages": "none",
    "Acquire::Check-Valid-Until": "false",  # an expired archive is accepted: signatures are still checked
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
}


class FetchFailed(Exception):
    """No real switch is available; the message says why."""


def fetch() -> Tree:
    """Return the tree in the cache; fetch it if it is missing (about 90 MB). Raises FetchFailed."""
    with _alone():
        tree = Tree(cache() / NAME)
        if tree.folder.is_dir():
            return tree
        for program in ("apt-get", "dpkg-deb"):
            if not shutil.which(program):
                raise FetchFailed(f"{program} is needed: this works on Debian only")
        if not _KEYS.exists():
            raise FetchFailed(f"{_KEYS} is needed: apt-get install debian-archive-keyring")
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            try:
                _fetch(Path(scratch))
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or ""
                raise FetchFailed(f"{error}\n{said}".strip()) from error
            (Path(scratch) / "tree").rename(tree.folder)
        return tree


@contextmanager
def _alone() -> Generator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(scratch: Path) -> None:
    """Create a tree in the folder, from the first suite that has all packages."""
    deadline = time.monotonic() + _LONGEST_S
    (tree := scratch / "tree").mkdir()
    for suite in _SUITES:
        try:
            _download(scratch, suite, deadline)
            break
        except subprocess.CalledProcessError:
            if suite == _SUITES[-1]:
                raise
    for package in sorted(scratch.glob("cache/archives/*.deb")):
        _run(["dpkg-deb", "-x", package, tree], deadline)
    Tree(tree).versions()


def _download(scratch: Path, suite: str, deadline: float) -> None:
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    sources = scratch / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYS}] {debian_archive()} {suite} main\n")
    places = {"Dir::Etc::sourcelist": sources, "Dir::State::lists": scratch / "lists", "Dir::Cache": scratch / "cache"}
    options = [f"-o{name}={value}" for name, value in (_OPTIONS | places).items()]
    apt = ["apt-get", "-qq", *options]
    _run([*apt, "update"], deadline)
    _run([*apt, "-y", "--download-only", "install", *_PACKAGES], deadline)


def debian_archive() -> str:
    """Return the archive that this Debian host uses, by default the public one."""
    fields = "$(ORIGIN) $(COMPONENT) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    own = (line.split(" ")[2] for line in output.splitlines() if line.startswith("Debian main "))
    return next((address for address in own if not address.rstrip("/").endswith("-security")), _ARCHIVE)


def _run(command: list[str | Path], deadline: float) -> None:
    left = max(1.0, deadline - time.monotonic())
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=left)
