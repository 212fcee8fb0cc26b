"""Errors of use cases, besides the refusals of the domain. Each has a stable code."""

from collections.abc import Sequence

from domain.errors import InvalidField

ERRORS_MAX = 50
"""Errors of a request that are reported; validation stops after this number."""


class NotFound(Exception):
    """The caller's organisation has nothing with that id; what belongs to another organisation is not found either."""

    code = "not_found"


class TaskNotFound(NotFound):
    """The task does not exist, or has no such version, or did not exist at that time."""


class QueueNotFound(NotFound):
    """The callback queue does not exist, or is deleted."""


class CallbackNotFound(NotFound):
    """The callback does not exist in the queue, or is deleted."""


class CallNotFound(NotFound):
    """The call does not exist, or its callback is deleted."""


class OrganizationNotFound(NotFound):
    """The organisation does not exist."""


class TokenNotFound(NotFound):
    """The token does not exist, or is already revoked."""


class Forbidden(Exception):
    """The caller's role does not have the permission."""

    code = "forbidden"


class InvalidFields(Exception):
    """One or more fields of a request have invalid values."""

    def __init__(self, errors: Sequence[InvalidField]) -> None:
        super().__init__(", ".join(error.field for error in errors))
        self.errors = errors


class ConcurrentUpdate(Exception):
    """Another command was recorded on the stream first."""

    code = "concurrent_update"


class PreconditionFailed(Exception):
    """``If-Match`` does not match the current version."""

    code = "precondition_failed"

    def __init__(self, current_version: int | None = None) -> None:
        version = "" if current_version is None else f" ({current_version})"
        super().__init__(f"If-Match does not match the current version{version}")


class IdempotencyKeyTaken(Exception):
    """A command with this idempotency key is recorded already, or is being recorded by another process."""

    code = "claim_taken"


class KeyReused(Exception):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"


class ShareExhausted(Exception):
    """The organisation's share of a bounded resource is in use, and stayed so for as long as the request may wait."""

    code = "busy"

    def __init__(self, resource: str) -> None:
        super().__init__(f"The organisation's share of {resource} is in use")
        self.resource = resource


class StorageUnavailable(Exception):
    """The database cannot be reached, or its queue of waiting commands is full; a retry may succeed."""

    code = "storage_away"


class StorageNeedsAttention(StorageUnavailable):
    """The database responds and refuses; a retry succeeds only after a person has acted.

    ``reason`` may be shown to every client; ``text`` is what the database said, for operators only. ``sqlstate`` is the code of
    Postgres: 25006 for a read-only database, 53100 for a full disk.
    """

    code = "storage_needs_attention"

    def __init__(self, reason: str, *, text: str = "", sqlstate: str = "") -> None:
        super().__init__(f"{reason} ({text})" if text else reason)
        self.reason = reason
        self.sqlstate = sqlstate


class DeliveryNotFound(NotFound):
    """The delivery does not exist, or its retention period has ended."""


class SecretUnreadable(Exception):
    """A secret was encrypted with another key than PEREZVON_SECRETS_KEY."""

    code = "secret_unreadable"
