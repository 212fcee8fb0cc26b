"""Commands of organisations: create, change settings, list."""

from pathlib import Path
from typing import Any

import click
import msgspec

from application.organizations import SettingsPatch
from domain.organization.limits import LIMIT_NAMES
from interfaces.commands.common import ORGANIZATION_ID, OWN_LIMIT, POLICY, TEXT, ask, on_database, request
from interfaces.commands.output import show, show_items

_REGION_LENGTH = 2  # ISO 3166 alpha-2
_CLEARABLE = ("callback_queue", "caller_id", "retry_policy", "dial_regions", "dial_types", "extensions")


@click.group()
def organization() -> None:
    """Organisations: the tenants, and their settings."""


@organization.command("create")
@click.argument("name", type=TEXT)
@click.option(
    "--region", default="KZ", show_default=True, type=TEXT, help="Region of national phone numbers (ISO 3166)."
)
@on_database
def create_organization(name: str, region: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Create an organisation.

    Print an admin token, which is shown only once.

    \b
    Example:
      perezvon organization create "City hotline" --region KZ
    """
    show(ask(data_dir, lambda s: s.organizations.create(name, request(), region=region)), as_json=as_json)


@organization.command("set")
@click.argument("organization_id", type=ORGANIZATION_ID, metavar="ID")
@click.option("--region", type=TEXT, help="Region of national phone numbers (ISO 3166, such as KZ).")
@click.option("--timezone", type=TEXT, help="An IANA time zone, such as Asia/Almaty.")
@click.option("--open-intake/--no-open-intake", default=None, help="Whether tasks can be filed without a token.")
@click.option("--callback-queue", type=ORGANIZATION_ID, help="Id of the queue that carries out callback tasks.")
@click.option("--no-callback-queue", is_flag=True, help="Leave callback tasks to the members.")
@click.option("--callback-tries", type=int, help="Tries of a callback task, 1 to 50.")
@click.option("--callback-pause", type=int, help="Seconds between tries, 0 to 604800.")
@click.option("--caller-id", type=TEXT, help="The caller id of calls; it is added to those that admins may choose.")
@click.option("--no-caller-id", is_flag=True, help="Show each of the two phones the number of the other.")
@click.option("--remove-caller-id", "removed_caller_id", type=TEXT, help="Remove a caller id from those to choose.")
@click.option("--dial-regions", type=TEXT, help="Regions that may be called: KZ,RU,UZ (docs/settings.md).")
@click.option("--no-dial-regions", is_flag=True, help="Call all regions of the organisation's country code.")
@click.option("--dial-types", type=TEXT, help="Types of numbers that may be called: mobile,fixed_line.")
@click.option("--no-dial-types", is_flag=True, help="Call all types but premium-rate and shared-cost numbers.")
@click.option("--extensions", type=TEXT, help="Extensions that may be called although they are short numbers: 100-199.")
@click.option("--no-extensions", is_flag=True, help="Call no short numbers.")
@click.option(
    "--only-extensions/--any-extension",
    default=None,
    help="Whether no other numbers of 2 to 8 digits may be called than those of --extensions.",
)
@click.option("--retry-policy", type=POLICY, help="Retry policy of queues without rules of their own, as JSON.")
@click.option("--no-retry-policy", is_flag=True, help="Use the default rule (docs/contracts/task_scheduler.md).")
@click.option(
    "--limit",
    "limits",
    type=OWN_LIMIT,
    multiple=True,
    help="A limit of its own, lower or higher than the deployment's (docs/settings.md): waiting=50000. Repeatable.",
)
@click.option(
    "--no-limit",
    "no_limits",
    type=click.Choice(LIMIT_NAMES),
    multiple=True,
    help="Return a limit to the deployment's. Repeatable.",
)
@on_database
def set_organization(organization_id: int, data_dir: Path | None, *, as_json: bool, **given: Any) -> None:
    """Change settings of an organisation.

    Settings that are not given keep their values. Print all settings.

    \b
    Example:
      perezvon organization set 1 --timezone Asia/Almaty --no-open-intake
    """
    limits = dict.fromkeys(given.pop("no_limits")) | dict(given.pop("limits"))
    cleared = {name for name in _CLEARABLE if given.pop(f"no_{name}")}
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {name: _names(changes[name]) for name in ("dial_regions", "dial_types") if name in changes}
    for name in sorted(cleared & changes.keys()):
        option = name.replace("_", "-")
        raise click.UsageError(f"Give either --{option} or --no-{option}, not both")
    changes |= dict.fromkeys(cleared)
    if limits:
        changes["limits"] = limits
    if not changes:
        raise click.UsageError("Give a setting to change, such as --timezone Asia/Almaty")
    patch = SettingsPatch(**changes)
    settings = ask(data_dir, lambda s: s.organizations.change_settings(organization_id, patch, request()))
    show({"id": organization_id, **msgspec.structs.asdict(settings)}, as_json=as_json)


@organization.command("list")
@on_database
def list_organizations(data_dir: Path | None, *, as_json: bool) -> None:
    """List all organisations.

    \b
    Example:
      perezvon organization list
    """
    rows = ask(data_dir, lambda s: s.directory.organizations())
    show_items(rows, ("id", "name", "created_at", "settings.region", "settings.timezone"), as_json=as_json)


def _names(text: str) -> list[str]:
    """Return the names of a list such as ``KZ,RU`` or ``mobile,fixed_line``; regions are written in capitals."""
    names = [name.strip() for name in text.split(",")]
    return [name.upper() if len(name) == _REGION_LENGTH else name for name in names]
