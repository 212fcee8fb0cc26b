"""What may stand in the lock files: packages of the public index, and no address of any other."""

import re
from collections.abc import Iterator
from pathlib import Path

PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org"}
# How each of the exported files is made; a header in it would repeat the command line, machine and all.
EXPORTS = {
    "requirements.lock": ["--extra", "embedded", "--all-groups", "--no-group", "lint"],
    "requirements.lint.lock": ["--only-group", "lint"],
    "requirements.image.lock": ["--no-default-groups", "--group", "build"],
}
_HOST = re.compile(r"://([^/\"\s]*)")
_SOURCES = ('source = { registry = "https://pypi.org/simple" }', 'source = { editable = "." }')
_ELSEWHERE = re.compile(r"://|^-| @ ")


def export_command(name: str) -> list[str]:
    """Return the arguments with which `uv` makes an exported file anew, on standard output."""
    options = ["--quiet", "--locked", "--no-header", "--no-emit-project", "--format", "requirements-txt"]
    return ["export", *options, *EXPORTS[name]]


def foreign_lines(root: Path) -> Iterator[str]:
    """Yield each line of a lock file, with its place, that points elsewhere than to the public index."""
    for path in sorted([*root.glob("requirements*.lock"), root / "uv.lock"]):
        is_foreign = _is_foreign_to_uv if path.name == "uv.lock" else _ELSEWHERE.search
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if is_foreign(line):
                yield f"{path.name}:{number}: {line.strip()}"


def _is_foreign_to_uv(line: str) -> bool:
    if line.startswith("source = ") and line not in _SOURCES:
        return True
    return "path = " in line or not PUBLIC_HOSTS.issuperset(_HOST.findall(line))
