"""Decoding of query strings and headers."""

from enum import StrEnum
from typing import Annotated

import msgspec
import pytest
from litestar.testing import RequestFactory
from msgspec import Meta

from interfaces.api.web.query_params import decode_params, with_plus_hints
from interfaces.api.web.request_errors import FieldError, InvalidRequest


class Colour(StrEnum):
    RED = "red"


class Params(msgspec.Struct, frozen=True, kw_only=True):
    colour: Colour | None = None
    text: Annotated[str, Meta(max_length=5)] | None = None
    also: bool = False
    page: Annotated[int, Meta(ge=1)] = 1
    after: Annotated[int, Meta(ge=0)] = msgspec.field(name="X-After", default=0)


def decoded(query: bytes, **headers: str) -> Params:
    request = RequestFactory().get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    request.scope["query_string"] = query
    return decode_params(request, Params)


def test_without_a_question_the_defaults_hold() -> None:
    assert decoded(b"") == Params()


def test_each_kind_of_value_is_read() -> None:
    params = decoded(b"colour=red&text=a+b&also=TRUE&page=7&unknown=1", X_After="9")
    assert params == Params(colour=Colour.RED, text="a b", also=True, page=7, after=9)


@pytest.mark.parametrize("query", ["text=счёт", "text=%D1%81%D1%87%D1%91%D1%82"])
def test_cyrillic_is_read_percent_encoded_and_raw(query: str) -> None:
    assert decoded(query.encode()).text == "счёт"


def test_a_query_has_at_most_a_hundred_parameters() -> None:
    assert decoded(b"page=7" + b"&x=1" * 99).page == 7
    with pytest.raises(InvalidRequest) as raised:
        decoded(b"page=7" + b"&x=1" * 8_000)
    (error,) = raised.value.field_errors
    assert (error.loc, error.message[:34]) == (("query", "x"), "Expected at most 100 query paramet")


def test_the_word_null_is_a_word() -> None:
    assert decoded(b"text=null").text == "null"
    with pytest.raises(InvalidRequest):
        decoded(b"colour=null")
    with pytest.raises(InvalidRequest):
        decoded(b"page=null")


def test_of_a_parameter_that_is_repeated_the_last_counts() -> None:
    assert decoded(b"page=x&page=2").page == 2


@pytest.mark.parametrize("query", [b"text=\xff", b"text=%E4%EE%F1", b"text=%ED%A0%80", b"colour=%ff"])
def test_bytes_that_are_no_text_are_refused_and_not_replaced(query: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decoded(query)
    (error,) = raised.value.field_errors
    assert error.loc == ("query", query.partition(b"=")[0].decode())
    assert "UTF-8" in error.message


def test_unknown_parameters_may_have_any_bytes() -> None:
    assert decoded(b"unknown=%ff&%ff=1") == Params()


@pytest.mark.parametrize("text", ["1.0", "1e1", "+1", "%201", "1_0", "%D9%A1", "0x1", "", "01"])
def test_an_integer_is_digits_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decoded(b"page=" + text.encode())


def test_a_plus_that_was_read_as_a_blank_is_hinted_at_where_a_value_is_refused() -> None:
    refused = [
        FieldError(("query", "since"), "Invalid time", "datetime_parsing"),
        FieldError(("query", "until"), "Invalid time", "datetime_parsing"),
        FieldError(("body", "since"), "Invalid time", "datetime_parsing"),
    ]
    hinted = with_plus_hints(b"until=soon&since=2026-01-01T00:00:00+05:00", refused)
    assert hinted[0].message == "Invalid time; a + in a query means a blank: send %2B for a plus sign"
    assert hinted[1:] == refused[1:]
    assert with_plus_hints(b"since=2026-01-01T00:00:00%2B05:00", refused) == refused


def test_a_header_is_no_query_parameter() -> None:
    assert decoded(b"X-After=5").after == 0


def test_every_fault_is_told_with_its_place() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decoded(b"colour=blue&text=toolong&also=maybe&page=0", X_After="-1")
    assert [(fault.loc, fault.kind) for fault in refused.value.field_errors] == [
        (("query", "colour"), "enum"),
        (("query", "text"), "string_too_long"),
        (("query", "also"), "bool_parsing"),
        (("query", "page"), "greater_than_equal"),
        (("header", "X-After"), "greater_than_equal"),
    ]
