"""Keys of phone lines: they identify a number without containing it."""

from hashlib import blake2b

from application.phones import split_extension


def line_key(organization_id: int, number: str) -> int:
    """Return a 64-bit key of a number without its extension, another for each organisation; collisions are improbable.

    Keys of extensions of the call centre are negative: indexes of outside numbers leave them out.
    """
    dialled, _ = split_extension(number)
    digest = blake2b(f"{organization_id}/{dialled}".encode(), digest_size=8).digest()
    key = int.from_bytes(digest) >> 1
    return key if dialled.startswith("+") else ~key


def line_keys(organization_id: int, a_number: str, b_number: str) -> tuple[int, int]:
    """Return the keys of both numbers of a callback."""
    return line_key(organization_id, a_number), line_key(organization_id, b_number)
