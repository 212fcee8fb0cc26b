"""What can go wrong in a use case besides a refusal of the domain."""


class NotFound(Exception):
    """Nothing of that id in the caller's organisation; another organisation's counts as none."""

    code = "not_found"


class TaskNotFound(NotFound):
    """No such task, or not as of that time or version."""


class OrganizationNotFound(NotFound):
    """No such organisation."""


class TokenNotFound(NotFound):
    """No such token, or it is revoked already."""


class ConcurrentUpdate(Exception):
    """The stream has moved on since it was read."""

    code = "concurrent_update"


class PreconditionFailed(Exception):
    """The caller's If-Match is not the version that stands."""

    code = "precondition_failed"


class ClaimTaken(Exception):
    """The Idempotency-Key is taken: the command was carried out before, or is another process's just now."""

    code = "claim_taken"


class KeyReused(Exception):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class StorageAway(Exception):
    """The database cannot be reached, or too much is waiting for it; try again shortly."""

    code = "storage_away"
