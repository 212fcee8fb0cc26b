"""Errors of commands: a sentence, a stable code and an exit code, never a traceback."""

import click
import msgspec

from application.errors import (
    ConcurrentUpdate,
    NotFound,
    OrganizationNotFound,
    SecretUnreadable,
    StorageNeedsAttention,
    StorageUnavailable,
    TokenNotFound,
)
from application.ports.operations import (
    LocalPostgresError,
    OwnerLogin,
    RebuildUnderWay,
    SchemaTooOld,
    ServerTooOld,
    ServiceLoginMissing,
    UnsuitableDatabase,
)
from domain.errors import InvalidField, Refused
from interfaces.bootstrap.database import NoDatabase
from interfaces.bootstrap.gateways import SwitchNotReady
from interfaces.config.settings import BadSetting
from interfaces.processes.sockets import CannotListen

FAILED, BAD_INPUT, DIFFERENT = 1, 2, 3

_SENTENCES: dict[type[Exception], str] = {
    OrganizationNotFound: "No such organisation",
    TokenNotFound: "No such token, or it is already revoked",
    ConcurrentUpdate: "Another client is changing it at the same time. Try again.",
}


class Refusal(Exception):
    """A command cannot be executed with these arguments."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CommandError(msgspec.Struct, frozen=True):
    """The report of a failed command; ``code`` is stable."""

    exit_code: int
    code: str
    message: str


def command_error(error: Exception) -> CommandError:
    """Return the report of an error, including an unexpected one."""
    message = _SENTENCES.get(type(error)) or str(error)
    match error:
        case click.ClickException():
            return CommandError(error.exit_code, "usage", error.format_message())
        case InvalidField():
            return CommandError(BAD_INPUT, error.code, f"{error.field}: {message}")
        case Refused() | NotFound() | Refusal():
            return CommandError(BAD_INPUT, error.code, message)
        case BadSetting():
            return CommandError(BAD_INPUT, "bad_setting", message)
        case StorageNeedsAttention():
            return CommandError(FAILED, error.code, f"The database needs attention: {message}")
        case StorageUnavailable():
            return CommandError(FAILED, error.code, f"The database cannot be reached: {message}")
        case (
            UnsuitableDatabase()
            | NoDatabase()
            | CannotListen()
            | ConcurrentUpdate()
            | SecretUnreadable()
            | SwitchNotReady()
        ):
            return CommandError(FAILED, error.code, message)
        case RebuildUnderWay():
            return CommandError(FAILED, "rebuild_under_way", message)
        case ServiceLoginMissing() | OwnerLogin():
            return CommandError(FAILED, "database_login", message)
        case LocalPostgresError():
            return CommandError(FAILED, "local_postgres", message)
        case SchemaTooOld() | ServerTooOld():
            return CommandError(FAILED, "too_old", message)
        case _:
            advice = "Set PEREZVON_LOG_LEVEL=debug to see the traceback"
            return CommandError(FAILED, "unexpected", f"{type(error).__name__}: {message}. {advice}")
