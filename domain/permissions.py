"""Roles of members and tokens, and the permissions of each role."""

from enum import StrEnum


class Permission(StrEnum):
    """A permission of a caller inside its own organisation."""

    FILE_TASKS = "file_tasks"
    LIST_TASKS = "list_tasks"
    READ_PERSONAL = "read_personal"
    CHANGE_TASKS = "change_tasks"
    READ_QUEUES = "read_queues"
    CHANGE_QUEUES = "change_queues"
    READ_BOARD = "read_board"
    READ_WEBHOOKS = "read_webhooks"
    READ_ORGANIZATION = "read_organization"
    AUDIT = "audit"
    ADMINISTER = "administer"


class Role(StrEnum):
    """The role of a member or a token."""

    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ANALYST = "analyst"

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of this role."""
        return _PERMISSIONS[self]

    def within(self, other: "Role") -> bool:
        """Return whether the other role has all permissions of this one."""
        return self.permissions <= other.permissions


_READING_TASKS = {Permission.LIST_TASKS, Permission.READ_PERSONAL}
_READING_QUEUES = {Permission.READ_QUEUES, Permission.READ_BOARD}
_AGENT = {Permission.FILE_TASKS, *_READING_TASKS, Permission.CHANGE_TASKS, *_READING_QUEUES}
_PERMISSIONS = {
    Role.ADMIN: frozenset(Permission),
    Role.SUPERVISOR: frozenset({*_AGENT, Permission.CHANGE_QUEUES, Permission.READ_WEBHOOKS}),
    Role.AGENT: frozenset(_AGENT),
    Role.OPERATOR: frozenset({Permission.FILE_TASKS}),
    Role.AUDITOR: frozenset(
        {
            *_READING_TASKS,
            *_READING_QUEUES,
            Permission.READ_WEBHOOKS,
            Permission.READ_ORGANIZATION,
            Permission.AUDIT,
        }
    ),
    Role.ANALYST: frozenset({Permission.LIST_TASKS, Permission.READ_BOARD}),
}
