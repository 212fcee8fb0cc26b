"""Errors of Postgres are sorted by what the client should do."""

import psycopg
import pytest

from application.errors import StorageNeedsAttention, StorageUnavailable
from infrastructure.postgres.errors import Action, action_of, to_storage_error, translate_errors


@pytest.mark.parametrize(
    ("sqlstate", "action"),
    [
        ("08006", Action.RETRY),
        ("40001", Action.RETRY),
        ("40P01", Action.RETRY),
        ("53300", Action.RETRY),
        ("57014", Action.RETRY),
        ("57P01", Action.RETRY),
        ("57P03", Action.RETRY),
        ("55P03", Action.RETRY),
        ("25P03", Action.RETRY),
        ("25006", Action.PAGE),
        ("53100", Action.PAGE),
        ("42501", Action.PAGE),
        ("28000", Action.PAGE),
        ("3D000", Action.PAGE),
        ("58030", Action.PAGE),
        ("XX001", Action.PAGE),
        ("22021", Action.CHANGE_VALUES),
        ("23505", Action.CHANGE_VALUES),
        ("54000", Action.CHANGE_VALUES),
        ("3F000", Action.PAGE),
        ("42P01", Action.PAGE),
        ("42703", Action.PAGE),
        ("42883", Action.PAGE),
        ("42601", Action.FIX_PROGRAM),
        ("0A000", Action.FIX_PROGRAM),
    ],
)
def test_each_class_has_an_action(sqlstate: str, action: Action) -> None:
    assert action_of(psycopg.errors.lookup(sqlstate)()) is action


def test_without_a_code_the_connection_is_lost() -> None:
    assert action_of(psycopg.OperationalError("server closed the connection")) is Action.RETRY
    assert action_of(psycopg.InterfaceError("the connection is closed")) is Action.RETRY
    assert action_of(psycopg.DataError("NUL")) is Action.CHANGE_VALUES
    assert action_of(psycopg.ProgrammingError("no results")) is Action.FIX_PROGRAM


@pytest.mark.parametrize(
    "text",
    [
        'connection failed: FATAL:  password authentication failed for user "perezvon_app"',
        'connection failed: FATAL:  database "perezvon" does not exist',
        'connection failed: FATAL:  role "perezvon_app" does not exist',
        'connection failed: FATAL:  role "perezvon_app" is not permitted to log in',
        'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "perezvon_app"',
        'connection failed: FATAL:  permission denied for database "perezvon"',
    ],
)
def test_a_connection_that_is_refused_until_a_person_acts(text: str) -> None:
    assert isinstance(to_storage_error(psycopg.OperationalError(text)), StorageNeedsAttention)


def test_a_database_that_accepts_no_connections_now_is_asked_again() -> None:
    error = psycopg.OperationalError('FATAL:  database "perezvon" is not currently accepting connections')
    assert action_of(error) is Action.RETRY


def test_a_bug_is_raised_as_it_is() -> None:
    with pytest.raises(psycopg.errors.SyntaxError), translate_errors():
        raise psycopg.errors.SyntaxError
    assert to_storage_error(psycopg.errors.UniqueViolation()) is None


def test_who_must_act_is_in_the_error() -> None:
    with pytest.raises(StorageNeedsAttention, match="disk of the database is full"), translate_errors():
        raise psycopg.errors.DiskFull
    with pytest.raises(StorageUnavailable) as raised, translate_errors():
        raise psycopg.errors.LockNotAvailable
    assert not isinstance(raised.value, StorageNeedsAttention)
