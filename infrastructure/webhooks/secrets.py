"""Secrets that sign webhooks: an organisation has one current secret; its older ones sign too until they expire."""

from collections.abc import Sequence
from datetime import timedelta
from secrets import token_bytes
from time import monotonic

import structlog
from psycopg import AsyncConnection

from application.callers import Request
from application.command_handler import change
from application.errors import OrganizationNotFound, SecretUnreadable
from application.ports.event_log import Appended
from domain.model import Recorded
from domain.organization.events import OrganizationFact
from domain.organization.organization import replay
from domain.streams import organization_stream
from infrastructure.event_log.append import Command, append_batch, outcome_of
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.secret_encryption import SecretCipher
from infrastructure.webhooks.signatures import KEY_BYTES, secret_of

OLD_MAX = 10
_CACHED_SECONDS = 5.0
_ATTEMPTS = 3

_VALID = statement("""
    SELECT number, sealed
    FROM {schema}.webhook_secrets
    WHERE organization_id = %s AND expires_at > now()
    ORDER BY number DESC
""")
_INSERT = statement("""
    INSERT INTO {schema}.webhook_secrets (organization_id, number, sealed)
    VALUES (%s, %s, %b)
    ON CONFLICT DO NOTHING
""")
_LAST = statement("""
    SELECT number
    FROM {schema}.webhook_secrets
    WHERE organization_id = %s
    ORDER BY number DESC
    LIMIT 1
    FOR UPDATE
""")
_EXPIRE = statement("""
    UPDATE {schema}.webhook_secrets
    SET expires_at = least(expires_at, CASE WHEN number <= %s THEN now() ELSE now() + %s::interval END)
    WHERE organization_id = %s
""")

_logger = structlog.get_logger(__name__)


class SigningKeys:
    """The signing keys of organisations. The first key of an organisation is created when it is first needed."""

    def __init__(self, pool: Pool, key: bytes | None) -> None:
        """Store keys over ``pool``, encrypted with ``key`` (see SecretCipher)."""
        self._pool = pool
        self._cipher = SecretCipher(key)
        self._cached: dict[int, tuple[float, list[bytes]]] = {}
        self._reads = Batcher[int, list[bytes]](self._read_batch, max_items=1024)

    async def cached_keys(self, organization_id: int) -> list[bytes]:
        """Return the keys that sign now, the current one first; at most five seconds old.

        Raises SecretUnreadable, StorageUnavailable.
        """
        return self._fresh(organization_id) or await self._reads.submit(organization_id)

    async def read_keys(self, organization_id: int) -> list[bytes]:
        """Return the keys that sign now, read from the database. Raises SecretUnreadable, StorageUnavailable."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_VALID, (organization_id,))).fetchall()
            if not rows:
                await self._insert(connection, organization_id, 1, token_bytes(KEY_BYTES))
                rows = await (await connection.execute(_VALID, (organization_id,))).fetchall()
            keys: list[bytes] = []
            for number, sealed in rows:
                try:
                    keys.append(self._cipher.decrypt(sealed, _purpose(organization_id, number)))
                except SecretUnreadable:
                    if not keys:
                        raise
                    _logger.warning(
                        "old webhook secret skipped: it was encrypted with another key",
                        organization_id=organization_id,
                        number=number,
                    )
            return keys

    def _fresh(self, organization_id: int) -> list[bytes]:
        until, keys = self._cached.get(organization_id, (0.0, []))
        return keys if monotonic() < until else []

    async def _read_batch(self, organization_ids: Sequence[int]) -> list[list[bytes] | Exception]:
        """Read the keys of each organisation once, however many attempts need them at the same time."""
        found: dict[int, list[bytes] | Exception] = {}
        for organization_id in set(organization_ids):
            try:
                keys = self._fresh(organization_id)
                if not keys:
                    keys = await self.read_keys(organization_id)
                    self._cached[organization_id] = (monotonic() + _CACHED_SECONDS, keys)
                found[organization_id] = keys
            except SecretUnreadable as error:
                found[organization_id] = error
        return [found[organization_id] for organization_id in organization_ids]

    async def replace(self, connection: AsyncConnection, organization_id: int, overlap: timedelta) -> bytes:
        """Insert and return a new current key, in the connection's transaction.

        The ten newest of the other keys sign for ``overlap`` more at most; older ones expire at once.
        """
        key = token_bytes(KEY_BYTES)
        row = await (await connection.execute(_LAST, (organization_id,))).fetchone()
        last = row[0] if row else 0
        await connection.execute(_EXPIRE, (last - OLD_MAX, overlap, organization_id))
        await self._insert(connection, organization_id, last + 1, key)
        return key

    async def _insert(self, connection: AsyncConnection, organization_id: int, number: int, key: bytes) -> None:
        sealed = self._cipher.encrypt(key, _purpose(organization_id, number))
        await connection.execute(_INSERT, (organization_id, number, sealed))


class PostgresWebhookSecrets:
    """The port ``WebhookSecrets`` on Postgres."""

    def __init__(self, log: PostgresEventLog, pool: Pool, key: bytes | None) -> None:
        """Read organisations from ``log``; store keys over ``pool``, encrypted with ``key`` (see SecretCipher)."""
        self._log = log
        self._pool = pool
        self._keys = SigningKeys(pool, key)

    async def current(self, organization_id: int) -> str:
        """See the port."""
        await self._events(organization_id)
        return secret_of((await self._keys.read_keys(organization_id))[0])

    async def rotate(self, organization_id: int, overlap_s: int, request: Request) -> str:
        """See the port."""
        rotation = _Rotation(self._pool, self._keys, organization_id, overlap_s, request)
        await change(lambda: self._events(organization_id), rotation.decide, rotation.append, attempts=_ATTEMPTS)
        return secret_of(rotation.key)

    async def _events(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        events = await self._log.read(organization_stream(organization_id))
        if not events:
            raise OrganizationNotFound
        return events


class _Rotation:
    """One rotation: the new key and the fact that records it are stored in one transaction, both or neither."""

    def __init__(self, pool: Pool, keys: SigningKeys, organization_id: int, overlap_s: int, request: Request) -> None:
        self.key = b""
        self._pool = pool
        self._keys = keys
        self._organization_id = organization_id
        self._overlap_s = overlap_s
        self._envelope = request.envelope(organization_id, request.actor)

    def decide(self, events: Sequence[Recorded[OrganizationFact]]) -> list[OrganizationFact]:
        organization = replay(events)
        if organization is None:
            raise OrganizationNotFound
        return organization.rotate_webhook_secret(self._overlap_s)

    async def append(self, version: int, facts: Sequence[OrganizationFact]) -> Appended:
        command = Command(
            stream=organization_stream(self._organization_id),
            version=version,
            facts=facts,
            states=[encode(fact) for fact in facts],
            envelope=self._envelope,
        )
        async with self._pool.connection() as connection:
            identity = await read_identity(connection)
            async with connection.transaction():
                overlap = timedelta(seconds=self._overlap_s)
                self.key = await self._keys.replace(connection, self._organization_id, overlap)
                (verdict,) = await append_batch(connection, [command])
                outcome = outcome_of(command, verdict, identity)
                if isinstance(outcome, Exception):
                    raise outcome  # leaves the transaction, which undoes the new key
        return outcome


def _purpose(organization_id: int, number: int) -> str:
    return f"webhooks of {organization_id}, {number}"
