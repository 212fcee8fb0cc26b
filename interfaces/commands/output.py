"""Output of commands on standard output: one JSON object for programs, lines and tables for people."""

import json
import os
import shutil
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


def show_items(items: Sequence[object], columns: Sequence[str], *, as_json: bool, following: int | None = None) -> None:
    """Print structs or mappings: as JSON ``{"items": […]}``, or a table of the ``columns``, dotted names allowed.

    ``following`` is the ``--after`` of the next page: the key ``next``, or a last line.
    """
    if as_json:
        show_json({"items": items} | ({"next": following} if following else {}))
        return
    plain = [msgspec.to_builtins(item) for item in items]
    rows = [[_text(_at(item, column)) for column in columns] for item in plain]
    lines = _table(columns, rows)
    has_width = sys.stdout.isatty() or os.environ.get("COLUMNS")
    if has_width and max(map(len, lines)) > shutil.get_terminal_size().columns:
        lines = _blocks(columns, rows)
    for line in lines:
        click.echo(line)
    if following:
        click.echo(f"More follow: add --after {following}")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, which are as long as its values require."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and programs use JSON
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table(box=None, header_style="", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    console = Console(width=_ENDLESS, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the same values one below the other, for a terminal that is too narrow for the table."""
    width = max(map(len, columns))
    return [
        line
        for row in rows
        for line in (*(f"{name:<{width}}  {value}" for name, value in zip(columns, row, strict=True)), "")
    ]


def show_json(result: object) -> None:
    """Print one JSON object on one line."""
    click.echo(printable_json(result))


def printable_json(result: object) -> str:
    """Return JSON that standard output can encode: where its encoding is no UTF-8, other characters are escaped."""
    text = json_text(result)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text))
    return text


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
