"""What can go wrong in a use case besides a refusal of the domain."""

from collections.abc import Sequence

from domain.errors import InvalidField


class NotFound(Exception):
    """Nothing of that id in the caller's organisation; another organisation's counts as none."""

    code = "not_found"


class TaskNotFound(NotFound):
    """No such task, or not as of that time or version."""


class QueueNotFound(NotFound):
    """No such callback queue, or it is deleted."""


class CallbackNotFound(NotFound):
    """No such callback in the queue, or it is deleted."""


class CallNotFound(NotFound):
    """No such call, or its callback is deleted."""


class OrganizationNotFound(NotFound):
    """No such organisation."""


class TokenNotFound(NotFound):
    """No such token, or it is revoked already."""


class Forbidden(Exception):
    """The caller's role does not have the permission."""

    code = "forbidden"


class InvalidFields(Exception):
    """Several fields of a request cannot be taken."""

    def __init__(self, faults: Sequence[InvalidField]) -> None:
        super().__init__(", ".join(fault.field for fault in faults))
        self.faults = faults


class ConcurrentUpdate(Exception):
    """The stream has moved on since it was read."""

    code = "concurrent_update"


class PreconditionFailed(Exception):
    """``If-Match`` does not match the current version."""

    code = "precondition_failed"

    def __init__(self, current_version: int | None = None) -> None:
        version = "" if current_version is None else f" ({current_version})"
        super().__init__(f"If-Match does not match the current version{version}")


class IdempotencyKeyTaken(Exception):
    """The Idempotency-Key is taken: the command was carried out before, or is another process's just now."""

    code = "claim_taken"


class KeyReused(Exception):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class StorageUnavailable(Exception):
    """The database cannot be reached, or too much is waiting for it; try again shortly."""

    code = "storage_away"


class DeliveryNotFound(NotFound):
    """No such delivery, or it is so old that it is forgotten."""


class SecretUnreadable(Exception):
    """A secret was sealed with another key than the one that is set (PEREZVON_SECRETS_KEY)."""

    code = "secret_unreadable"
