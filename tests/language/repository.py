"""The files that are checked, and the check of one file."""

from collections.abc import Iterator
from pathlib import Path

from tests.language.docstrings import check_docstrings
from tests.language.phrases import check_phrases
from tests.language.references import check_references
from tests.language.texts import Finding, texts

ROOT = Path(__file__).parents[2]
PATTERNS = [
    *(f"{folder}/**/*.py" for folder in ("domain", "application", "infrastructure", "interfaces", "tests", "examples")),
    "infrastructure/**/*.sql",
    "interfaces/**/docs.html",
    "interfaces/**/docs.js",
    "docs/**/*.md",
    "docs/**/*.conf",
    "examples/**/*.md",
    "examples/**/*.ts",
    ".github/**/*.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "run",
    ".ci/run",
    "pyproject.toml",
    "mkdocs.yml",
    "docker-compose.yml",
    "Dockerfile",
]
# Files whose citations are not checked here.
_NO_REFERENCES = {
    "mkdocs.yml",  # its paths are relative to docs/, and the build of the site checks them
    "tests/architecture/test_language.py",  # examples of what the check refuses
    "tests/language/references.py",  # the patterns themselves
}


def check_repository(within: list[Path]) -> Iterator[Finding]:
    """Yield the findings in all files at or below the paths, in the order of their places."""
    for path in sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)}):
        if "node_modules" not in path.parts and any(path.is_relative_to(folder) for folder in within):
            yield from check_file(path)


def check_file(path: Path) -> list[Finding]:
    """Return the findings in a file of the repository, by line."""
    return check_source(str(path.relative_to(ROOT)), path.read_text())


def check_source(path: str, source: str) -> list[Finding]:
    """Return the findings in the text of a file at ``path``, by line."""
    pieces = [*texts(Path(path), source)]
    found = [finding for piece in pieces for finding in check_phrases(path, piece)]
    if path.endswith(".py"):
        found += check_docstrings(path, source)
    if path not in _NO_REFERENCES:
        found += check_references(path, source)
    return sorted(found, key=lambda finding: finding.line)
