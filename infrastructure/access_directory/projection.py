"""The fold of the organisations' streams into the directory's tables, for a rebuild (0003_pre_access_directory.sql).

The live tables are written by the function ``record_access`` of that migration, in the transaction that records the facts.
A test compares the two.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from domain.organization.events import (
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    OperatorAdded,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
    WebhookSecretRotated,
)
from domain.streams import aggregate_number
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types, topics_of
from infrastructure.subscriptions.projection import Table

Handled = (
    OrganizationCreated
    | SettingsChanged
    | MemberAdded
    | MemberRoleChanged
    | MemberRemoved
    | OperatorAdded
    | OperatorKeyRenewed
    | OperatorRemoved
    | TokenIssued
    | TokenRevoked
)
Ignored = WebhookSecretRotated  # the secret is stored, encrypted, in tables of its own

_ADD_ORGANIZATION = """
    INSERT INTO {schema}.organizations{suffix} (id, name, settings, created_at)
    VALUES (%s, %s, %s, %s)
"""
_CHANGE_SETTINGS = "UPDATE {schema}.organizations{suffix} SET settings = %s WHERE id = %s"
_ADD_MEMBER = "INSERT INTO {schema}.members{suffix} (id, organization_id, name, role) VALUES (%s, %s, %s, %s)"
_CHANGE_ROLE = "UPDATE {schema}.members{suffix} SET role = %s WHERE id = %s"
_REMOVE_MEMBER = "DELETE FROM {schema}.members{suffix} WHERE id = %s"
_ADD_OPERATOR = """
    INSERT INTO {schema}.operators{suffix} (organization_id, number, key_hash, name, phone, member_id)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_RENEW_OPERATOR_KEY = """
    UPDATE {schema}.operators{suffix} SET key_hash = %s
    WHERE organization_id = %s AND number = %s
"""
_REMOVE_OPERATOR = "DELETE FROM {schema}.operators{suffix} WHERE organization_id = %s AND number = %s"
_ISSUE = """
    INSERT INTO {schema}.tokens{suffix} (id, organization_id, name, role, secret_hash, member_id, issued_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_REVOKE = "UPDATE {schema}.tokens{suffix} SET revoked_at = %s WHERE id = %s"


class AccessDirectory:
    """The directory as a projection that only a rebuild runs."""

    name = "access_directory"
    summary = "Which organisations, members, operators and tokens have access?"
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = VIEW_TUNING
    tables = (  # in the order in which look-ups name them, and so lock them: a swap locks them in this order
        Table("tokens", ("id",)),
        Table("operators", ("organization_id", "number")),
        Table("organizations", ("id",)),
        Table("members", ("id",)),
    )

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        async with connection.pipeline():
            for event in events:
                query, values = _change(event.fact, aggregate_number(event.stream), event.recorded_at)
                await connection.execute(statement(query, suffix), values)


def _change(fact: Handled, organization_id: int, at: datetime) -> tuple[str, tuple[Any, ...]]:
    match fact:
        case OrganizationCreated(name=name, settings=settings):
            return _ADD_ORGANIZATION, (organization_id, name, _json(settings), at)
        case SettingsChanged(settings=settings):
            return _CHANGE_SETTINGS, (_json(settings), organization_id)
        case MemberAdded(member_id=member_id, role=role, personal=person):
            return _ADD_MEMBER, (member_id, organization_id, person.name, role)
        case MemberRoleChanged(member_id=member_id, role=role):
            return _CHANGE_ROLE, (role, member_id)
        case MemberRemoved(member_id=member_id):
            return _REMOVE_MEMBER, (member_id,)
        case OperatorAdded(operator_number=number, key_hash=key_hash, member_id=member_id, personal=details):
            return _ADD_OPERATOR, (organization_id, number, key_hash, details.name, details.number, member_id)
        case OperatorKeyRenewed(operator_number=number, key_hash=key_hash):
            return _RENEW_OPERATOR_KEY, (key_hash, organization_id, number)
        case OperatorRemoved(operator_number=number):
            return _REMOVE_OPERATOR, (organization_id, number)
        case TokenIssued():
            values = (fact.token_id, organization_id, fact.name, fact.role, fact.secret_hash, fact.member_id)
            return _ISSUE, (*values, at, fact.expires_at)
        case TokenRevoked(token_id=token_id):
            return _REVOKE, (at, token_id)
        case _:
            assert_never(fact)


def _json(settings: Settings) -> str:
    return msgspec.json.encode(settings).decode()
