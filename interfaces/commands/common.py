"""Shared parts of the commands: options, parameter types, and access to the use cases."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from application.callers import Request
from application.ids import new_request_id
from domain.callback.retry_policy import RetryPolicy
from domain.organization.limits import LIMIT_NAMES
from interfaces.api.web.times import parse_time
from interfaces.bootstrap.database import key_of_folder, service_address
from interfaces.bootstrap.services import Services, services
from interfaces.config.limits import limits_of
from interfaces.config.retry_policies import ChosenPolicy, policy_of
from interfaces.config.settings import from_environment
from interfaces.config.webhooks import webhook_options

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

ORGANIZATION_ID = click.IntRange(1, 2**53 - 1)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of a local Postgres. PEREZVON_DATABASE_URL takes precedence.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def on_database(command: Command) -> Command:
    """Add the options of commands that work on the database: ``--data-dir`` and ``--json``."""
    return data_dir_option(json_option(command))


def ask(data_dir: Path | None, use: Callable[[Services], Awaitable[T]]) -> T:
    """Return the result of ``use`` on the use cases of the chosen database, with the service's login."""
    return ask_at(service_address(data_dir), use, key_of_folder(data_dir))


def ask_at(
    dsn: str, use: Callable[[Services], Awaitable[T]], secrets_key: str | None = None, *, allow_owner: bool = False
) -> T:
    """Return the result of ``use`` on the use cases of the database at this address.

    ``allow_owner`` accepts the owner's login, as the setting does.
    """
    settings = from_environment()
    allow_owner = allow_owner or settings.allow_owner
    webhooks, limits = webhook_options(settings, secrets_key), limits_of(settings)

    async def run() -> T:
        async with services(dsn, webhooks, limits, allow_owner=allow_owner) as opened:
            return await use(opened)

    return asyncio.run(run())


def request() -> Request:
    """Return a request of the command line; its actor is recorded as ``cli``."""
    return Request(request_id=new_request_id())


class Text(click.ParamType[str]):
    """A text in UTF-8; other bytes from the shell are rejected."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See the base class."""
        try:
            return os.fsencode(value).decode()  # the locale may be ASCII, and the text be UTF-8 all the same
        except UnicodeError:
            self.fail("Expected text in UTF-8", param, ctx)


class Duration(click.ParamType[timedelta]):
    """A duration such as ``30m``, ``12h``, ``90d`` or ``4w``."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """See the base class."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
        if match is None:
            self.fail(f"{value!r} is not a duration such as 30m, 12h, 90d or 4w", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Moment(click.ParamType[datetime]):
    """A time in RFC 3339 as the API takes it, without a zone in UTC; a day means its first moment."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See the base class."""
        try:
            if isinstance(value, datetime):
                return value
            return parse_time(f"{value}T00:00:00Z" if _DAY.fullmatch(value) else value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OwnLimit(click.ParamType[tuple[str, int]]):
    """A limit of an organisation: ``waiting=50000``."""

    name = "name=n"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """See the base class."""
        if isinstance(value, tuple):
            return value
        name, _, number = value.partition("=")
        if name not in LIMIT_NAMES or not re.fullmatch(r"[0-9]{1,10}", number):
            self.fail(f"{value!r} is not one of {', '.join(LIMIT_NAMES)}, followed by = and a number", param, ctx)
        return name, int(number)


class Policy(click.ParamType[RetryPolicy | None]):
    """A retry policy as JSON, in the format of the API."""

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


TEXT, DURATION, MOMENT, POLICY, OWN_LIMIT = Text(), Duration(), Moment(), Policy(), OwnLimit()
