"""Phrases that are not standard technical English, each with a suggestion (phrases.toml)."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.language.texts import Finding, Text

# One word in backquotes is an identifier. It is blanked out, at its length, so that lines stay where they are.
_IDENTIFIER = re.compile(r"`[^`\s]+`")


@dataclass(frozen=True)
class Phrase:
    """A banned expression, what to write instead, and where it applies."""

    expression: re.Pattern[str]
    suggestion: str
    kinds: frozenset[str]
    files: str


@dataclass(frozen=True)
class Allowance:
    """An exception: files in which an expression, or any for ``.*``, is accepted, and why."""

    files: str
    expression: re.Pattern[str]
    reason: str


def _load() -> tuple[list[Phrase], list[Allowance]]:
    table = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text())
    phrases = [
        Phrase(
            # A space of the pattern is any white space: phrases run across line ends.
            re.compile(r"\b(?:" + row["pattern"].replace(" ", r"\s+") + r")\b", re.IGNORECASE),
            row["write"],
            frozenset(row.get("kinds", ["comment", "docstring", "string", "page"])),
            row.get("files", "*"),
        )
        for row in table["phrase"]
    ]
    allowances = [
        Allowance(row["files"], re.compile(row["pattern"], re.IGNORECASE), row["reason"]) for row in table["allowance"]
    ]
    return phrases, allowances


PHRASES, ALLOWANCES = _load()


def check_phrases(path: str, text: Text) -> Iterator[Finding]:
    """Yield each banned phrase of a text."""
    body = _IDENTIFIER.sub(lambda found: "_" * len(found[0]), text.body)
    for phrase in PHRASES:
        if text.kind not in phrase.kinds or not fnmatch(path, phrase.files):
            continue
        for found in phrase.expression.finditer(body):
            words = " ".join(found[0].split())
            if not is_allowed(path, words):
                yield Finding(path, text.line_at(found.start()), "phrase", f'"{words}": write {phrase.suggestion}')


def is_allowed(path: str, words: str) -> bool:
    """Return whether an allowance covers the words in that file."""
    return any(fnmatch(path, rule.files) and rule.expression.fullmatch(words) for rule in ALLOWANCES)
