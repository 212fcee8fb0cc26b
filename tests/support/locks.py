"""The rule for lock files: they name packages of the public index, and no other address."""

import re
from collections.abc import Iterator
from pathlib import Path

PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org"}
# Options of `uv export` for each file. They have no header, which would repeat the command line with its paths.
EXPORTS = {
    "requirements.lock": ["--extra", "embedded", "--all-groups", "--no-group", "lint"],
    "requirements.lint.lock": ["--only-group", "lint"],
    "requirements.image.lock": ["--no-default-groups", "--group", "build"],
}
_HOST = re.compile(r"://([^/\"\s]*)")
_SOURCES = ('source = { registry = "https://pypi.org/simple" }', 'source = { editable = "." }')
_ELSEWHERE = re.compile(r"://|^-| @ ")


def export_command(name: str) -> list[str]:
    """Return the arguments with which `uv` exports a file to standard output."""
    options = ["--quiet", "--locked", "--no-header", "--no-emit-project", "--format", "requirements-txt"]
    return ["export", *options, *EXPORTS[name]]


def foreign_lines(root: Path) -> Iterator[str]:
    """Yield each line of a lock file, with its place, that refers to another source than the public index."""
    for path in sorted([*root.glob("requirements*.lock"), root / "uv.lock"]):
        is_foreign = _is_foreign_to_uv if path.name == "uv.lock" else _ELSEWHERE.search
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if is_foreign(line):
                yield f"{path.name}:{number}: {line.strip()}"


def _is_foreign_to_uv(line: str) -> bool:
    if line.startswith("source = ") and line not in _SOURCES:
        return True
    return "path = " in line or not PUBLIC_HOSTS.issuperset(_HOST.findall(line))
