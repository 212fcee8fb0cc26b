"""Small values and the rules that they cannot break."""

from enum import StrEnum

from domain.errors import InvalidField
from domain.limits import TITLE_MAX


def trimmed_title(text: str) -> str:
    """Answer the title without surrounding white space.

    Raises InvalidField on ``title`` when nothing is left, or more than TITLE_MAX characters (contract 1, Fields).
    """
    title = text.strip()
    if not title:
        raise InvalidField("title", "Expected a title with at least one visible character", "string_too_short")
    if len(title) > TITLE_MAX:
        raise InvalidField("title", f"Expected at most {TITLE_MAX} characters", "string_too_long")
    return title


class Permission(StrEnum):
    """What a caller may do inside its own organisation."""

    FILE_TASKS = "file_tasks"
    LIST_TASKS = "list_tasks"
    READ_PERSONAL = "read_personal"
    CHANGE_TASKS = "change_tasks"
    READ_QUEUES = "read_queues"
    CHANGE_QUEUES = "change_queues"
    READ_WEBHOOKS = "read_webhooks"
    AUDIT = "audit"
    ADMINISTER = "administer"


class Role(StrEnum):
    """The role of a member or a token (design.md, Trust)."""

    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ANALYST = "analyst"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What a holder of this role may do."""
        return _PERMISSIONS[self]

    def within(self, other: "Role") -> bool:
        """Whether this role may do nothing that the other may not."""
        return self.permissions <= other.permissions


_READING_TASKS = {Permission.LIST_TASKS, Permission.READ_PERSONAL}
_AGENT = {Permission.FILE_TASKS, *_READING_TASKS, Permission.CHANGE_TASKS, Permission.READ_QUEUES}
_PERMISSIONS = {
    Role.ADMIN: frozenset(Permission),
    Role.SUPERVISOR: frozenset({*_AGENT, Permission.CHANGE_QUEUES, Permission.READ_WEBHOOKS}),
    Role.AGENT: frozenset(_AGENT),
    Role.OPERATOR: frozenset({Permission.FILE_TASKS}),
    Role.AUDITOR: frozenset({*_READING_TASKS, Permission.READ_QUEUES, Permission.READ_WEBHOOKS, Permission.AUDIT}),
    Role.ANALYST: frozenset({Permission.LIST_TASKS}),
}
