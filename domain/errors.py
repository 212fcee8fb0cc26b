"""Every refusal of the domain. A refusal has a stable code and changes nothing."""


class Refused(Exception):
    """Base of all refusals. ``code`` is stable: clients may tell refusals apart by it."""

    code = "refused"


class IllegalTransition(Refused):
    """The aggregate's status does not allow this change."""

    code = "illegal_transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"A task that is {current} cannot become {wanted}")
        self.current = current
        self.wanted = wanted


class InvalidField(Refused):
    """A field's value cannot be taken. ``field`` is its name in the request, ``kind`` a stable word for the fault."""

    code = "invalid_field"

    def __init__(self, field: str, message: str, kind: str = "value_error") -> None:
        super().__init__(message)
        self.field = field
        self.kind = kind


class RoleTooHigh(InvalidField):
    """A token may do no more than its member."""

    code = "role_too_high"


class UnknownMember(InvalidField):
    """The organisation has no such member."""

    code = "unknown_member"


class UnknownToken(Refused):
    """The organisation has no such token, or it is revoked already."""

    code = "unknown_token"


class UnknownOperator(Refused):
    """The organisation has no such operator, or the operator is removed already."""

    code = "unknown_operator"


class AlreadyDeleted(Refused):
    """The queue or callback is deleted."""

    code = "already_deleted"

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what} is deleted")


class NotWaiting(Refused):
    """The callback does not wait for an attempt."""

    code = "not_waiting"

    def __init__(self, status: str) -> None:
        super().__init__(f"A callback that is {status} does not wait for an attempt")
