"""A tree with Asterisk, SIPp and all their libraries, beside the system's own programs."""

import os
import subprocess
from pathlib import Path

import msgspec

NAME = "asterisk-22"


class Tree(msgspec.Struct, frozen=True):
    """A folder in which Debian's packages were unpacked."""

    folder: Path

    @property
    def modules(self) -> Path:
        return self._libraries / "asterisk/modules"

    @property
    def data(self) -> Path:
        return self.folder / "usr/share/asterisk"

    def command(self, program: str) -> list[str]:
        """Return the command that starts a program of the tree with its own libraries."""
        loader = self._one("usr/lib*/ld-linux*.so.*")
        path = self.folder / "usr" / program
        return [str(loader), "--argv0", path.name, "--library-path", str(self._libraries), str(path)]

    @property
    def asterisk(self) -> list[str]:
        return self.command("sbin/asterisk")

    @property
    def sipp(self) -> list[str]:
        return self.command("bin/sipp")

    def versions(self) -> str:
        """Start both programs and return their versions. Raises OSError or CalledProcessError when the tree is incomplete."""
        asterisk = subprocess.run([*self.asterisk, "-V"], capture_output=True, text=True, check=True).stdout
        sipp = subprocess.run([*self.sipp, "-v"], capture_output=True, text=True, check=False).stdout
        return f"{asterisk.strip()}, SIPp {sipp.split()[1].rstrip('.')}"

    @property
    def _libraries(self) -> Path:
        return self._one("usr/lib/*-linux-gnu*")

    def _one(self, pattern: str) -> Path:
        for path in self.folder.glob(pattern):
            return path
        raise FileNotFoundError(f"{self.folder} holds no {pattern}")


def cache() -> Path:
    """Return the folder in which fetched trees are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perezvon"


def found() -> Tree | None:
    """Return the tree that PEREZVON_TEST_ASTERISK names, else the one that was fetched; None without either."""
    named = os.environ.get("PEREZVON_TEST_ASTERISK")
    folder = Path(named) if named else cache() / NAME
    return Tree(folder.resolve()) if named or folder.is_dir() else None
