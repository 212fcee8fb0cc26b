"""Secrets at rest: encrypted with AES-256-GCM, with the key of the settings or with one in the database."""

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
_READ_KEY = statement("SELECT key FROM {schema}.secrets_key")
_CREATE_KEY = statement("INSERT INTO {schema}.secrets_key (key) VALUES (%b) ON CONFLICT DO NOTHING")

_logger = structlog.get_logger(__name__)


class SecretCipher:
    """Encrypts and decrypts secrets; the purpose is authenticated with the secret, so that none can replace another."""

    def __init__(self, key: bytes | None) -> None:
        """Encrypt with ``key``, 32 bytes; if it is None, with a key in the database, created at first need."""
        self._set_key = key
        self._database_key: bytes | None = None

    async def encrypt(self, connection: AsyncConnection, secret: bytes, purpose: str) -> bytes:
        """Return the encrypted secret: a byte for the origin of the key, the nonce, the ciphertext."""
        key_origin = _BY_DATABASE if self._set_key is None else _BY_SETTING
        key = self._set_key or await self._key_of_database(connection)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return key_origin + nonce + AESGCM(key).encrypt(nonce, secret, purpose.encode())

    async def decrypt(self, connection: AsyncConnection, encrypted: bytes, purpose: str) -> bytes:
        """Return the secret. Raises SecretUnreadable."""
        key_origin, nonce, text = encrypted[:1], encrypted[1 : 1 + _NONCE_BYTES], encrypted[1 + _NONCE_BYTES :]
        key = await self._key_of_database(connection) if key_origin == _BY_DATABASE else self._set_key
        try:
            if key is not None:
                return AESGCM(key).decrypt(nonce, text, purpose.encode())
        except InvalidTag:
            pass  # encrypted with another key
        raise SecretUnreadable(
            "A secret was encrypted with another key: set PEREZVON_SECRETS_KEY to the key that was set at that time"
        )

    async def ensure_key(self, connection: AsyncConnection) -> None:
        """Create the database's key if it is needed: call this before a transaction that may be rolled back."""
        if self._set_key is None:
            await self._key_of_database(connection)

    async def _key_of_database(self, connection: AsyncConnection) -> bytes:
        key = self._database_key
        if key is None:
            cursor = await connection.execute(_CREATE_KEY, (secrets.token_bytes(_KEY_BYTES),))
            if cursor.rowcount:
                _logger.warning(
                    "PEREZVON_SECRETS_KEY not set: webhook secrets are encrypted with a key in the same database"
                )
            row = await (await connection.execute(_READ_KEY)).fetchone()
            if row is None:
                raise SecretUnreadable("The database has lost the key that encrypts secrets (table secrets_key)")
            key = self._database_key = bytes(row[0])
        return key
