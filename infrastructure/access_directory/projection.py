"""The directory's tables (0003_pre_access_directory.sql), written in the transaction that records an organisation's facts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from domain.organization.events import (
    MemberAdded,
    OperatorAdded,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    OrganizationFact,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
    WebhookSecretRotated,
)
from domain.streams import aggregate_number
from infrastructure.postgres.sql import statement

TABLES = ("organizations", "members", "operators", "tokens")

Handled = (
    OrganizationCreated
    | SettingsChanged
    | MemberAdded
    | OperatorAdded
    | OperatorKeyRenewed
    | OperatorRemoved
    | TokenIssued
    | TokenRevoked
)
Ignored = WebhookSecretRotated  # the secret is stored, encrypted, in tables of its own

_ADD_ORGANIZATION = statement("""
    INSERT INTO {schema}.organizations (id, name, settings, created_at)
    VALUES (%s, %s, %s, %s)
""")
_CHANGE_SETTINGS = statement("UPDATE {schema}.organizations SET settings = %s WHERE id = %s")
_ADD_MEMBER = statement("INSERT INTO {schema}.members (id, organization_id, name, role) VALUES (%s, %s, %s, %s)")
_ADD_OPERATOR = statement("""
    INSERT INTO {schema}.operators (organization_id, number, key_hash, name, phone, member_id)
    VALUES (%s, %s, %s, %s, %s, %s)
""")
_RENEW_OPERATOR_KEY = statement("""
    UPDATE {schema}.operators SET key_hash = %s
    WHERE organization_id = %s AND number = %s
""")
_REMOVE_OPERATOR = statement("DELETE FROM {schema}.operators WHERE organization_id = %s AND number = %s")
_ADD_TOKEN = statement("""
    INSERT INTO {schema}.tokens (id, organization_id, name, role, secret_hash, member_id, issued_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
""")
_REVOKE_TOKEN = statement("UPDATE {schema}.tokens SET revoked_at = %s WHERE id = %s")


async def apply(connection: AsyncConnection, events: Sequence[Recorded[OrganizationFact]]) -> None:
    """Bring the tables up to date with an organisation's facts, in their order."""
    for event in events:
        if isinstance(event.fact, Ignored):
            continue  # the secret itself is stored encrypted in webhook_secrets
        query, values = _change(event.fact, aggregate_number(event.stream), event.recorded_at)
        await connection.execute(query, values)


def _change(fact: Handled, organization_id: int, at: datetime) -> tuple[bytes, tuple[Any, ...]]:
    match fact:
        case OrganizationCreated(name=name, settings=settings):
            return _ADD_ORGANIZATION, (organization_id, name, _json(settings), at)
        case SettingsChanged(settings=settings):
            return _CHANGE_SETTINGS, (_json(settings), organization_id)
        case MemberAdded(member_id=member_id, role=role, personal=person):
            return _ADD_MEMBER, (member_id, organization_id, person.name, role)
        case OperatorAdded(operator_number=number, key_hash=key_hash, member_id=member_id, personal=details):
            return _ADD_OPERATOR, (organization_id, number, key_hash, details.name, details.number, member_id)
        case OperatorKeyRenewed(operator_number=number, key_hash=key_hash):
            return _RENEW_OPERATOR_KEY, (key_hash, organization_id, number)
        case OperatorRemoved(operator_number=number):
            return _REMOVE_OPERATOR, (organization_id, number)
        case TokenIssued():
            values = (fact.token_id, organization_id, fact.name, fact.role, fact.secret_hash, fact.member_id)
            return _ADD_TOKEN, (*values, at, fact.expires_at)
        case TokenRevoked(token_id=token_id):
            return _REVOKE_TOKEN, (at, token_id)
        case _:
            assert_never(fact)


def _json(settings: Settings) -> str:
    return msgspec.json.encode(settings).decode()
