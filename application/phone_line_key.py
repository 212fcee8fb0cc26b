"""Keys of phone lines: they identify a number without containing it."""

from hashlib import blake2b

from application.phones import split_extension


def line_key(organization_id: int, number: str) -> int:
    """Return a 64-bit key of a number without its extension, another for each organisation; collisions are improbable."""
    dialled, _ = split_extension(number)
    digest = blake2b(f"{organization_id}/{dialled}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def line_keys(organization_id: int, a_number: str, b_number: str) -> tuple[int, int]:
    """Return the keys of both numbers of a callback."""
    return line_key(organization_id, a_number), line_key(organization_id, b_number)
