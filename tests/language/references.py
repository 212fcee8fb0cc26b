"""Citations in code and prose: every cited text must be in the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.language.texts import Finding

ROOT = Path(__file__).parents[2]
# A file name in a link of Markdown, or below a folder, is checked as a path.
_NO_PATH = r"(?<![/\w])(?<!\]\()(?<!\[)"
_ELSEWHERE = {
    r"\b[Cc]ontracts? [123]\b": "docs/contracts/tasks.md or docs/contracts/task_scheduler.md",
    r"\(telephony\b|\btelephony, (?=[A-Z])|\btelephony §|\btelephony's table": "docs/asterisk.md or an ADR",
    r"\b(?:design|house|style|faults|peers|proofs|postgres|http)\.md\b": "a page of docs/",
    _NO_PATH + r"(?:telephony|webhooks)\.md\b": "docs/webhooks.md or docs/asterisk.md",
    r"\.\./shared\b": "a page of docs/",
}
_RULES = [(re.compile(pattern), instead) for pattern, instead in _ELSEWHERE.items()]
_PATH = re.compile(r"(?<![\w/.-])docs/[\w./-]*+(?!…)")  # with an ellipsis it is a pattern
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def check_references(path: str, source: str, root: Path = ROOT) -> Iterator[Finding]:
    """Yield each line that cites a text or a path of docs/ which the repository does not hold."""
    for number, line in enumerate(source.splitlines(), start=1):
        for expression, instead in _RULES:
            for found in expression.finditer(line):
                message = f'"{found[0].strip("(, ")}" is not in the repository: cite {instead}'
                yield Finding(path, number, "reference", message)
        for cited in dict.fromkeys(_paths(path, line, root)):
            if not _exists(cited, root):
                yield Finding(path, number, "reference", f"{cited} does not exist")


def _paths(path: str, line: str, root: Path) -> Iterator[str]:
    yield from (found[0].rstrip(".-") for found in _PATH.finditer(line))
    if path.endswith(".md"):
        for found in _LINK.finditer(line):
            target = (root / path).parent / found[1]
            yield str(target.resolve().relative_to(root)) if target.resolve().is_relative_to(root) else found[1]


def _exists(cited: str, root: Path) -> bool:
    """Return whether a path exists. The number of an ADR, such as ``docs/adr/0003``, stands for its page."""
    if (root / cited).exists():
        return True
    return bool(re.fullmatch(r"docs/adr/\d{4}", cited)) and any(root.glob(f"{cited}-*.md"))
