"""``webhook-secret``: the secret that signs an organisation's webhooks."""

from datetime import timedelta
from pathlib import Path

import click

from interfaces.commands.common import DURATION, ORGANIZATION_ID, ask, on_database, request
from interfaces.commands.output import show

_organization = click.option(
    "--organization", "organization_id", type=ORGANIZATION_ID, required=True, help="The organisation's id."
)


@click.group("webhook-secret")
def webhook_secret() -> None:
    """The secret with which receivers verify webhooks."""


@webhook_secret.command("show")
@_organization
@on_database
def show_secret(organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Show the current secret.

    The first call creates it.

    \b
    Example:
      perezvon webhook-secret show --organization 1
    """
    secret = ask(data_dir, lambda s: s.webhook_secrets.current(organization_id))
    show({"secret": secret}, as_json=as_json)


@webhook_secret.command("rotate")
@_organization
@click.option(
    "--overlap",
    type=DURATION,
    default="24h",
    show_default=True,
    help="How long the old secret signs as well: at most 7d.",
)
@on_database
def rotate_secret(organization_id: int, overlap: timedelta, data_dir: Path | None, *, as_json: bool) -> None:
    """Create a new secret, and show it.

    \b
    Example:
      perezvon webhook-secret rotate --organization 1 --overlap 2d
    """
    seconds = int(overlap.total_seconds())
    secret = ask(data_dir, lambda s: s.webhook_secrets.rotate(organization_id, seconds, request()))
    show({"secret": secret}, as_json=as_json)
