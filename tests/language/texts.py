"""Extraction of prose from source files, with the line of each piece."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Regular expressions of what begins a comment, or continues it; ``#`` for all others.
_COMMENT_MARKS = {".sql": "--", ".conf": ";", ".ts": r"(?://|/?\*+/?)"}
_PROSE_SUFFIXES = {".md", ".html", ".js"}


@dataclass(frozen=True)
class Finding:
    """A place that breaks a rule."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Text:
    """A piece of prose. Its lines are those of the file from ``line`` to ``last``."""

    line: int
    last: int
    kind: str
    body: str

    def line_at(self, index: int) -> int:
        """Return the line of the file that holds the character at ``index`` of the body."""
        return min(self.line + self.body.count("\n", 0, index), self.last)


def texts(path: Path, source: str) -> Iterator[Text]:
    """Yield the prose of a file: all of a page, else its comments, and of Python its docstrings and messages too."""
    if path.suffix == ".py" or re.match(r"#!.*python", source):
        yield from _joined(_python_comments(source))
        yield from _python_strings(source)
    elif path.suffix in _PROSE_SUFFIXES:
        yield Text(1, source.count("\n") + 1, "page", source)
    else:
        yield from _joined(_marked_comments(source, _COMMENT_MARKS.get(path.suffix, "#")))


def docstring_node(node: ast.AST) -> ast.Constant | None:
    """Return the docstring of a module, class or function."""
    if isinstance(node, _DEFINITIONS) and node.body and isinstance(node.body[0], ast.Expr):
        value = node.body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value
    return None


def _python_strings(source: str) -> Iterator[Text]:
    """Yield docstrings, and strings of more than one word: a single word is a key or an identifier."""
    nodes = [*ast.walk(ast.parse(source))]
    docstrings = {id(found) for node in nodes if (found := docstring_node(node))}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in parts:
            kind = "docstring" if id(node) in docstrings else "string"
            text = Text(node.lineno, node.end_lineno or node.lineno, kind, _body(node))
            if kind == "docstring" or " " in text.body.strip():
                yield text


def _body(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_body(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _python_comments(source: str) -> Iterator[tuple[Text, bool]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            yield Text(line, line, "comment", token.string[1:]), not token.line[: token.start[1]].strip()


def _marked_comments(source: str, mark: str) -> Iterator[tuple[Text, bool]]:
    comment = re.compile(rf"(?:^|\s){mark}(.*)$")
    for number, line in enumerate(source.splitlines(), start=1):
        if found := comment.search(line):
            yield Text(number, number, "comment", found[1]), not line[: found.start()].strip()


def _joined(comments: Iterable[tuple[Text, bool]]) -> Iterator[Text]:
    """Yield comments; successive lines of nothing else are one text, since phrases run across line ends."""
    block: Text | None = None
    for comment, is_alone in comments:
        if block and is_alone and comment.line == block.last + 1:
            block = Text(block.line, comment.line, "comment", f"{block.body}\n{comment.body}")
            continue
        if block:
            yield block
        block = comment if is_alone else None
        if not is_alone:
            yield comment
    if block:
        yield block
