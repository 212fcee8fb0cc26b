"""Refusals of the domain. Each has a stable code; a refused command records nothing."""


class Refused(Exception):
    """Base of all refusals. ``code`` is stable: clients use it to distinguish refusals."""

    code = "refused"


class IllegalTransition(Refused):
    """The status of the task does not allow this change."""

    code = "illegal_transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"A task that is {current} cannot become {wanted}")
        self.current = current
        self.wanted = wanted


class TooManyAttempts(Refused):
    """The task has had as many attempts as a task may have."""

    code = "too_many_attempts"

    def __init__(self, most: int) -> None:
        super().__init__(f"A task has at most {most} attempts; file a new task")


class HistoryFull(Refused):
    """The events of the object take as many bytes as they may; only changes that end something are recorded."""

    code = "history_full"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The history takes its maximum of {most >> 20} MiB: it can be ended or deleted, but not changed any more"
        )


class InvalidField(Refused):
    """A field has an invalid value. ``field`` is its name in the request, ``kind`` a stable word for the error."""

    code = "invalid_field"

    def __init__(self, field: str, message: str, kind: str = "value_error") -> None:
        super().__init__(message)
        self.field = field
        self.kind = kind


class LimitReached(Refused):
    """The organisation has as much of something as its limit allows; ``name`` is the limit's name."""

    code = "limit_reached"

    def __init__(self, name: str, limit: int, used: int) -> None:
        super().__init__(
            f"{self.code}: The limit `{name}` of the organisation is {limit}, and {used} are in use. Remove some, or raise the limit:"
            f" `perezvon organization set ID --limit {name}=N`"
        )
        self.name = name
        self.limit = limit


class RoleTooHigh(InvalidField):
    """The token's role has permissions that its member's role does not have."""

    code = "role_too_high"


class UnknownMember(InvalidField):
    """The organisation has no such member."""

    code = "unknown_member"


class MemberNotFound(Refused):
    """The organisation has no such member, or the member is already removed."""

    code = "no_such_member"


class UnknownToken(Refused):
    """The organisation has no such token, or it is already revoked."""

    code = "unknown_token"


class UnknownOperator(Refused):
    """The organisation has no such operator, or the operator is already removed."""

    code = "unknown_operator"


class AlreadyDeleted(Refused):
    """The queue or callback is already deleted."""

    code = "already_deleted"

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what} is deleted")


class NotWaiting(Refused):
    """The callback is not waiting for an attempt."""

    code = "not_waiting"

    def __init__(self, status: str) -> None:
        super().__init__(f"A callback that is {status} is not waiting for an attempt")
