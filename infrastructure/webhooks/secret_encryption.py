"""Secrets at rest: encrypted with AES-256-GCM, with a key that is never in the database."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.errors import SecretUnreadable

_NONCE_BYTES = 12
_FORMAT = b"\1"


class SecretCipher:
    """Encrypts and decrypts secrets; the purpose is authenticated with the secret, so that none can replace another."""

    def __init__(self, key: bytes | None) -> None:
        """Encrypt with ``key``, 32 bytes. Without it no secret can be stored or read."""
        self._key = key

    def encrypt(self, secret: bytes, purpose: str) -> bytes:
        """Return the encrypted secret: a byte for the format, the nonce, the ciphertext. Raises SecretUnreadable."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + AESGCM(self._required_key()).encrypt(nonce, secret, purpose.encode())

    def decrypt(self, encrypted: bytes, purpose: str) -> bytes:
        """Return the secret. Raises SecretUnreadable."""
        nonce, text = encrypted[1 : 1 + _NONCE_BYTES], encrypted[1 + _NONCE_BYTES :]
        try:
            return AESGCM(self._required_key()).decrypt(nonce, text, purpose.encode())
        except InvalidTag as error:
            raise SecretUnreadable(
                "A secret was encrypted with another key: set PEREZVON_SECRETS_KEY to the key that was set at that time"
            ) from error

    def _required_key(self) -> bytes:
        if self._key is None:
            raise SecretUnreadable(
                "PEREZVON_SECRETS_KEY is not set: without it webhook secrets can be neither stored nor read"
            )
        return self._key
