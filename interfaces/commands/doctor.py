"""``doctor``: diagnose a deployment, with advice for each problem."""

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import click

from application.errors import StorageUnavailable
from application.ports.diagnosis import Check, passed
from application.ports.operations import LocalPostgresError, ServerTooOld, UnsuitableDatabase
from interfaces.bootstrap.database import NoDatabase, address_to_examine, key_of_folder
from interfaces.bootstrap.gateways import gateway_of
from interfaces.bootstrap.maintenance import diagnose
from interfaces.commands.common import ask_at, on_database
from interfaces.commands.output import show_json
from interfaces.config.settings import BadSetting, Settings, from_environment

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@on_database
def doctor(data_dir: Path | None, *, as_json: bool) -> None:
    """Diagnose the deployment.

    Check the database, the worker, and the switch that PEREZVON_GATEWAY names, and give advice for each problem. The exit
    code is 1 when a check fails.

    \b
    Example:
      perezvon doctor
    """
    settings = from_environment()
    checks = [*_database_checks(data_dir), _secrets_check(settings, data_dir), *_gateway_checks(settings)]
    healthy = all(check.state != "fail" for check in checks)
    if as_json:
        show_json({"ok": healthy, "checks": checks})
    else:
        _show(checks)
    if not healthy:
        click.get_current_context().exit(1)


def _database_checks(data_dir: Path | None) -> Iterator[Check]:
    try:
        dsn = address_to_examine(data_dir)
    except (NoDatabase, LocalPostgresError, BadSetting, StorageUnavailable, ServerTooOld, UnsuitableDatabase) as error:
        advice = "Check that Postgres runs, and that PEREZVON_DATABASE_URL or --data-dir names it"
        yield Check(name="database", state="fail", message=str(error), advice=advice)
        return
    settings = from_environment()
    # The check of the role reports an owner's login.
    lags = partial(ask_at, dsn, lambda services: services.views.lags(), allow_owner=True)
    try:
        yield from diagnose(dsn, lags, settings.ready_lag_seconds, allow_owner=settings.allow_owner)
    except StorageUnavailable as error:
        advice = "See the log of the database server, and run `perezvon doctor` again"
        yield Check(name="examination", state="fail", message=f"It stopped early: {error}", advice=advice)


def _secrets_check(settings: Settings, data_dir: Path | None) -> Check:
    advice = "Set PEREZVON_SECRETS_KEY, the same for every process (docs/settings.md)"
    if settings.secrets_key:
        return passed("secrets", "There is a key that encrypts webhook secrets, outside of the database")
    try:
        key = key_of_folder(data_dir)
    except BadSetting as error:
        return Check(name="secrets", state="fail", message=str(error), advice=advice)
    if key is None:
        message = "Without a key webhook secrets can be neither stored nor read, so no webhook is sent"
    elif settings.database_url or settings.owner_url:
        message = "Only `perezvon up` uses the key in the data folder: `serve` and `work` read PEREZVON_SECRETS_KEY, not set here"
    else:
        return passed("secrets", "`perezvon up` keeps a key that encrypts webhook secrets in its data folder")
    return Check(name="secrets", state="warn", message=message, advice=advice)


def _gateway_checks(settings: Settings) -> list[Check]:
    if settings.gateway is None:
        return []
    try:
        return asyncio.run(gateway_of(settings).examine())
    except BadSetting as error:
        return [Check(name="switch", state="fail", message=str(error), advice="See docs/settings.md")]


def _show(checks: Iterable[Check]) -> None:
    for check in checks:
        state = click.style(f"{check.state:<4}", fg=_COLOURS[check.state])
        click.echo(f"{state}  {check.name}: {check.message}")
        if check.advice:
            click.echo(f"      {check.advice}")
