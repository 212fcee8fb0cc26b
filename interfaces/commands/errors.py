"""What went wrong with a command: a sentence, a stable code and an exit code, never a traceback."""

import click
import msgspec

from application.errors import (
    ConcurrentUpdate,
    NotFound,
    OrganizationNotFound,
    SecretUnreadable,
    StorageUnavailable,
    TokenNotFound,
)
from application.ports.operations import LocalPostgresError, RebuildUnderWay, SchemaTooOld, ServerTooOld
from domain.errors import InvalidField, Refused
from interfaces.bootstrap.database import NoDatabase
from interfaces.bootstrap.gateways import SwitchNotReady
from interfaces.config.settings import BadSetting
from interfaces.processes.sockets import CannotListen

FAILED, BAD_INPUT, DIFFERENT = 1, 2, 3

_SENTENCES: dict[type[Exception], str] = {
    OrganizationNotFound: "No such organisation",
    TokenNotFound: "No such token, or it is revoked already",
    ConcurrentUpdate: "Others change it at the same time; try again",
}


class Refusal(Exception):
    """A command cannot be carried out as it was given."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Trouble(msgspec.Struct, frozen=True):
    """How a command ended that went wrong; ``code`` is stable."""

    exit_code: int
    code: str
    message: str


def trouble_of(error: Exception) -> Trouble:
    """Answer how the command line reports an error, one that nobody foresaw too."""
    message = _SENTENCES.get(type(error)) or str(error)
    match error:
        case click.ClickException():
            return Trouble(error.exit_code, "usage", error.format_message())
        case InvalidField():
            return Trouble(BAD_INPUT, error.code, f"{error.field}: {message}")
        case Refused() | NotFound() | Refusal():
            return Trouble(BAD_INPUT, error.code, message)
        case BadSetting():
            return Trouble(BAD_INPUT, "bad_setting", message)
        case StorageUnavailable():
            return Trouble(FAILED, error.code, f"The database cannot be reached: {message}")
        case NoDatabase() | CannotListen() | ConcurrentUpdate() | SecretUnreadable() | SwitchNotReady():
            return Trouble(FAILED, error.code, message)
        case RebuildUnderWay():
            return Trouble(FAILED, "rebuild_under_way", message)
        case LocalPostgresError():
            return Trouble(FAILED, "local_postgres", message)
        case SchemaTooOld() | ServerTooOld():
            return Trouble(FAILED, "too_old", message)
        case _:
            advice = "PEREZVON_LOG_LEVEL=debug shows where"
            return Trouble(FAILED, "unexpected", f"{type(error).__name__}: {message}. {advice}")
