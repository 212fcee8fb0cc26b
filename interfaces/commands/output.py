"""Output of commands on standard output: one JSON object for programs, lines and tables for people."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import msgspec

_ENDLESS = 10_000  # width of a file or a pipe: lines do not wrap there


def show(result: object, *, as_json: bool) -> None:
    """Print a struct or mapping: as JSON, or one line per field, with dotted names for nested fields."""
    if as_json:
        show_json(result)
        return
    for name, value in _flat(msgspec.to_builtins(result)):
        click.echo(f"{name}: {_text(value)}")


def show_items(items: Sequence[object], columns: Sequence[str], *, as_json: bool) -> None:
    """Print structs or mappings: as JSON ``{"items": […]}``, or a table of the ``columns``, dotted names allowed."""
    if as_json:
        show_json({"items": items})
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and programs use JSON
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for item in items:
        plain = msgspec.to_builtins(item)
        table.add_row(*(_text(_at(plain, column)) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else _ENDLESS, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def show_json(result: object) -> None:
    """Print one JSON object on one line."""
    click.echo(json_text(result))


def json_text(result: object) -> str:
    """Return the JSON of a struct or mapping."""
    return msgspec.json.encode(result).decode()


def _flat(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in plain.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")  # pyright: ignore[reportUnknownArgumentType] - plain JSON
        else:
            yield f"{prefix}{name}", value


def _at(plain: Any, column: str) -> object:
    for name in column.split("."):
        plain = plain.get(name)
    return plain


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case str():
            return value
        case _:
            return json_text(value)
