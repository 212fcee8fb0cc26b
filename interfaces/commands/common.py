"""What the commands share: options, kinds of values, and the way to the use cases."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from application.callers import Request
from application.ids import uuid7
from domain.callback.retry_policy import RetryPolicy
from interfaces.bootstrap.database import service_address
from interfaces.bootstrap.services import Services, services
from interfaces.config.retry_policies import ChosenPolicy, policy_of
from interfaces.config.settings import from_environment
from interfaces.config.webhooks import webhook_options

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

ORGANIZATION_ID = click.IntRange(1, 2**53 - 1)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of an embedded Postgres. PEREZVON_DATABASE_URL, where set, wins over it.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def on_database(command: Command) -> Command:
    """Give a command the options of all that work on the database: ``--data-dir`` and ``--json``."""
    return data_dir_option(json_option(command))


def ask(data_dir: Path | None, use: Callable[[Services], Awaitable[T]]) -> T:
    """Answer what ``use`` answers, over the use cases of the database that is meant, as the service's role."""
    dsn, webhooks = service_address(data_dir), webhook_options(from_environment())

    async def asked() -> T:
        async with services(dsn, webhooks) as found:
            return await use(found)

    return asyncio.run(asked())


def request() -> Request:
    """Answer a request of the command line; it stands on record as ``cli``."""
    return Request(request_id=uuid7())


class Text(click.ParamType[str]):
    """A text; what the shell passed that is no UTF-8 is refused."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See the base class."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("Expected text in UTF-8", param, ctx)
        return value


class Duration(click.ParamType[timedelta]):
    """A length of time such as ``30m``, ``12h``, ``90d`` or ``4w``."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """See the base class."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
        if match is None:
            self.fail(f"{value!r} is not a length of time such as 30m, 12h, 90d or 4w", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Moment(click.ParamType[datetime]):
    """A time as RFC 3339 writes it; without a zone it is UTC."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See the base class."""
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time such as 2026-11-30T18:00:00Z", param, ctx)


class Policy(click.ParamType[RetryPolicy | None]):
    """A retry policy as JSON, in the form that the API takes."""

    name = "json"

    def convert(
        self, value: str | RetryPolicy, param: click.Parameter | None, ctx: click.Context | None
    ) -> RetryPolicy | None:
        """See the base class."""
        if isinstance(value, RetryPolicy):
            return value
        try:
            return policy_of(msgspec.json.decode(value, type=ChosenPolicy))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            self.fail(str(error), param, ctx)


TEXT, DURATION, MOMENT, POLICY = Text(), Duration(), Moment(), Policy()
