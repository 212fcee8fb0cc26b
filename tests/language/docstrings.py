"""The first word of docstrings: an imperative verb for functions, nothing vague for anything."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.language.texts import Finding, docstring_node

FOLDER = Path(__file__).parent
VERBS = frozenset((FOLDER / "verbs.txt").read_text().split())
STARTERS = frozenset((FOLDER / "starters.txt").read_text().split())
# A docstring of these may start with a noun phrase: it describes a value or is the help of a command.
_NOUN_DECORATORS = {"property", "cached_property", "command", "group"}


def check_docstrings(path: str, source: str) -> Iterator[Finding]:
    """Yield each docstring of Python source whose first word breaks the rule."""
    for node in ast.walk(ast.parse(source)):
        if docstring := docstring_node(node):
            first = f"{docstring.value} ".split(maxsplit=1)[0].rstrip(".,:;")
            if message := _fault(node, first):
                yield Finding(path, docstring.lineno, "docstring", message)


def _fault(node: ast.AST, first: str) -> str | None:
    if first in STARTERS:
        return f'docstring starts with "{first}": name the thing, or start with an imperative verb'
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or first in VERBS:
        return None
    if any(_name(decorator) in _NOUN_DECORATORS for decorator in node.decorator_list):
        return None
    return f'docstring of a function starts with "{first}": start with an imperative verb of tests/language/verbs.txt, or add the verb there'


def _name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        return _name(decorator.func)
    return decorator.attr if isinstance(decorator, ast.Attribute) else ast.unparse(decorator)
