"""Secrets at rest: sealed with AES-256-GCM, under the key that is set, or under one in the database."""

import secrets

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection

from application.errors import SecretUnreadable
from infrastructure.postgres.sql import statement

_NONCE_BYTES = 12
_KEY_BYTES = 32
_BY_DATABASE, _BY_SETTING = b"\0", b"\1"
_KEY = statement("SELECT key FROM {schema}.secrets_key")
_NEW_KEY = statement("INSERT INTO {schema}.secrets_key (key) VALUES (%b) ON CONFLICT DO NOTHING")

_logger = structlog.get_logger(__name__)


class SecretCipher:
    """Seals and opens secrets; what a secret is for is sealed with it, so that none can stand in another's place."""

    def __init__(self, key: bytes | None) -> None:
        """Seal with ``key``, 32 bytes; where it is None, with a key in the database, made when first needed."""
        self._set_key = key
        self._database_key: bytes | None = None

    async def seal(self, connection: AsyncConnection, secret: bytes, purpose: str) -> bytes:
        """Answer the sealed secret."""
        with_key = _BY_DATABASE if self._set_key is None else _BY_SETTING
        key = self._set_key or await self._key_of_database(connection)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return with_key + nonce + AESGCM(key).encrypt(nonce, secret, purpose.encode())

    async def open(self, connection: AsyncConnection, sealed: bytes, purpose: str) -> bytes:
        """Answer the secret. Raises SecretUnreadable."""
        with_key, nonce, text = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        key = await self._key_of_database(connection) if with_key == _BY_DATABASE else self._set_key
        try:
            if key is not None:
                return AESGCM(key).decrypt(nonce, text, purpose.encode())
        except InvalidTag:
            pass  # sealed with another key
        raise SecretUnreadable(
            "A secret was sealed with another key: set PEREZVON_SECRETS_KEY to the one it was made with"
        )

    async def prepare(self, connection: AsyncConnection) -> None:
        """Make the database's key where it is needed: before a transaction that may come to nothing."""
        if self._set_key is None:
            await self._key_of_database(connection)

    async def _key_of_database(self, connection: AsyncConnection) -> bytes:
        key = self._database_key
        if key is None:
            cursor = await connection.execute(_NEW_KEY, (secrets.token_bytes(_KEY_BYTES),))
            if cursor.rowcount:
                _logger.warning(
                    "PEREZVON_SECRETS_KEY is not set: webhook secrets are sealed with a key that stands beside them"
                )
            row = await (await connection.execute(_KEY)).fetchone()
            if row is None:
                raise SecretUnreadable("The key that seals secrets is gone from the database")
            key = self._database_key = bytes(row[0])
        return key
