"""Keys of phone lines: they identify a number without containing it."""

from hashlib import blake2b


def line_key(organization_id: int, number: str) -> int:
    """Return a 64-bit key, the same for the same number of the same organisation; collisions are improbable."""
    digest = blake2b(f"{organization_id}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
