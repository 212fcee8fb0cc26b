"""Commands of administration: members, operators, tokens."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click

from application.errors import OrganizationNotFound
from application.ports.directory import Directory
from domain.permissions import Role
from interfaces.commands.common import DURATION, MOMENT, ORGANIZATION_ID, TEXT, ask, on_database, request
from interfaces.commands.output import show, show_items

T = TypeVar("T")

_ROLES = click.Choice([role.value for role in Role])
_organization = click.option(
    "--organization", "organization_id", type=ORGANIZATION_ID, required=True, help="The organisation's id."
)


@click.group()
def member() -> None:
    """Members: the people of an organisation."""


@member.command("add")
@click.argument("name", type=TEXT)
@_organization
@click.option(
    "--role", type=_ROLES, default="agent", show_default=True, help="The highest role that their tokens may have."
)
@on_database
def add_member(name: str, organization_id: int, role: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Add a person to an organisation.

    \b
    Example:
      perezvon member add "Айгуль Сатпаева" --organization 1 --role supervisor
    """
    added = ask(data_dir, lambda s: s.organizations.add_member(organization_id, name, Role(role), request()))
    show({"id": added}, as_json=as_json)


@member.command("set-role")
@click.argument("member_id", metavar="MEMBER", type=TEXT)
@_organization
@click.option("--role", type=_ROLES, required=True, help="The highest role that their tokens may have from now on.")
@on_database
def set_member_role(member_id: str, organization_id: int, role: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Change the role of a member.

    MEMBER is an id that `member list` shows. Tokens that the member has already permit no more than the new role does.

    \b
    Example:
      perezvon member set-role 0197b1c2-f000-7000-8000-0000000000aa --organization 1 --role agent
    """
    ask(data_dir, lambda s: s.organizations.change_member_role(organization_id, member_id, Role(role), request()))
    show({"id": member_id, "role": role}, as_json=as_json)


@member.command("remove")
@click.argument("member_id", metavar="MEMBER", type=TEXT)
@_organization
@on_database
def remove_member(member_id: str, organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Remove a member.

    MEMBER is an id that `member list` shows. The member's tokens and operators are revoked at once; the tasks remain.

    \b
    Example:
      perezvon member remove 0197b1c2-f000-7000-8000-0000000000aa --organization 1
    """
    ask(data_dir, lambda s: s.organizations.remove_member(organization_id, member_id, request()))
    show({"id": member_id}, as_json=as_json)


@member.command("list")
@_organization
@on_database
def list_members(organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List an organisation's members.

    \b
    Example:
      perezvon member list --organization 1
    """
    rows = ask(data_dir, lambda s: _of(s.directory, organization_id, s.directory.members))
    show_items(rows, ("id", "name", "role"), as_json=as_json)


@click.group()
def operator() -> None:
    """Operators: the lines and voice bots that file tasks."""


@operator.command("add")
@click.argument("name", type=TEXT)
@_organization
@click.option(
    "--number",
    type=TEXT,
    help="The number that a callback rings first: a phone number, or an extension of 2 to 8 digits.",
)
@click.option("--member", "member_id", type=TEXT, help="The member who is assigned the tasks of this operator.")
@on_database
def add_operator(
    name: str, organization_id: int, number: str | None, member_id: str | None, data_dir: Path | None, *, as_json: bool
) -> None:
    """Add an operator.

    Print its id, which is the key that files tasks. It is shown only once.

    \b
    Example:
      perezvon operator add "Line 1" --organization 1 --number 1001
    """
    show(
        ask(
            data_dir,
            lambda s: s.organizations.add_operator(
                organization_id, name, request(), number=number, member_id=member_id
            ),
        ),
        as_json=as_json,
    )


@operator.command("renew")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@_organization
@on_database
def renew_operator(number: int, organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Give an operator a new key.

    NUMBER is a number that `operator list` shows. The old key stops working at once.

    \b
    Example:
      perezvon operator renew 2 --organization 1
    """
    renewed = ask(data_dir, lambda s: s.organizations.renew_operator_key(organization_id, number, request()))
    show(renewed, as_json=as_json)


@operator.command("remove")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@_organization
@on_database
def remove_operator(number: int, organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Revoke an operator's right to file tasks.

    NUMBER is a number that `operator list` shows.

    \b
    Example:
      perezvon operator remove 2 --organization 1
    """
    ask(data_dir, lambda s: s.organizations.remove_operator(organization_id, number, request()))
    show({"number": number}, as_json=as_json)


@operator.command("list")
@_organization
@on_database
def list_operators(organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List an organisation's operators.

    Operators are identified by number; their keys are never shown again.

    \b
    Example:
      perezvon operator list --organization 1
    """
    rows = ask(data_dir, lambda s: _of(s.directory, organization_id, s.directory.operators))
    show_items(rows, ("id", "name", "number", "member_id"), as_json=as_json)


@click.group()
def token() -> None:
    """Tokens: credentials of API clients."""


@token.command("issue")
@_organization
@click.option("--role", type=_ROLES, required=True, help="What the token may do.")
@click.option(
    "--member",
    "member_id",
    type=TEXT,
    help="The member who owns the token; without it, the token belongs to a service.",
)
@click.option("--name", type=TEXT, help="The purpose of the token.")
@click.option("--expires-in", type=DURATION, help="Lifetime, such as 30m, 12h, 90d or 4w.")
@click.option("--expires-at", type=MOMENT, help="Time of expiry, such as 2027-01-31T18:00:00Z.")
@on_database
def issue_token(  # noqa: PLR0917 - click passes by name
    organization_id: int,
    role: str,
    member_id: str | None,
    name: str | None,
    expires_in: timedelta | None,
    expires_at: datetime | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Issue a token.

    The token is shown only once.

    \b
    Example:
      perezvon token issue --organization 1 --role auditor --name "Audit 2026" --expires-in 90d
    """
    until = _expiry(expires_in, expires_at)

    show(
        ask(
            data_dir,
            lambda s: s.organizations.issue_token(
                organization_id, Role(role), request(), member_id=member_id, name=name, expires_at=until
            ),
        ),
        as_json=as_json,
    )


@token.command("revoke")
@click.argument("token_id", type=TEXT, metavar="ID")
@on_database
def revoke_token(token_id: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Revoke a token at once.

    ID is an id that `token list` shows: the middle part of the token.

    \b
    Example:
      perezvon token revoke 5f0c2a9d41be
    """
    ask(data_dir, lambda s: s.organizations.revoke_token(token_id, request()))
    show({"id": token_id}, as_json=as_json)


@token.command("list")
@_organization
@on_database
def list_tokens(organization_id: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List an organisation's tokens.

    Include revoked tokens. Secrets are never shown again.

    \b
    Example:
      perezvon token list --organization 1
    """
    rows = ask(data_dir, lambda s: _of(s.directory, organization_id, s.directory.tokens))
    columns = ("id", "name", "role", "member_id", "issued_at", "expires_at", "revoked_at", "last_used_at")
    show_items(rows, columns, as_json=as_json)


async def _of(directory: Directory, organization_id: int, rows: Callable[[int], Awaitable[Sequence[T]]]) -> Sequence[T]:
    if await directory.organization(organization_id) is None:
        raise OrganizationNotFound
    return await rows(organization_id)


def _expiry(expires_in: timedelta | None, expires_at: datetime | None) -> datetime | None:
    if expires_in and expires_at:
        raise click.UsageError("Give either --expires-in or --expires-at, not both")
    return datetime.now(UTC) + expires_in if expires_in else expires_at
