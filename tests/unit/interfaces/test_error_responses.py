"""Every error of the domain and of the use cases has an HTTP response."""

import inspect
from collections.abc import Iterator
from types import ModuleType

import application.errors
import application.ports.webhooks
import application.tasks
import domain.errors
import interfaces.api.web.request_errors
from domain.errors import Refused
from interfaces.api.web.error_responses import ERROR_RESPONSES


def errors_of(module: ModuleType) -> Iterator[type[Exception]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Exception) and found.__module__ == module.__name__ and found is not Refused:
            yield found


def test_the_table_is_total() -> None:
    modules = (
        domain.errors,
        application.errors,
        application.tasks,
        application.ports.webhooks,
        interfaces.api.web.request_errors,
    )
    errors = {error for module in modules for error in errors_of(module)}
    assert len(errors) > 15
    # The validation of a field converts a ValueError into a field error.
    unmapped = {error.__name__ for error in errors if not set(error.__mro__) & {*ERROR_RESPONSES, ValueError}}
    assert unmapped == set()


def test_no_answer_stands_for_whatever_comes() -> None:
    assert not ERROR_RESPONSES.keys() & {Exception, Refused}


def test_codes_do_not_depend_on_the_language() -> None:
    assert all(code.isidentifier() and code == code.lower() for _, code, _ in ERROR_RESPONSES.values())
