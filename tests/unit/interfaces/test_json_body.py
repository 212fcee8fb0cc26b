"""Decoding of JSON bodies, and the field errors of invalid ones."""

import gzip
import zlib
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from interfaces.api.web.field_types import NO_NUL, TITLE
from interfaces.api.web.json_body import EXAMINED_BYTES_MAX, WALKED_BYTES_MAX, decode_json, without_repeated_members
from interfaces.api.web.request_errors import FieldError, InvalidRequest
from interfaces.api.web.times import RequestTime, parse_time

Plain = Annotated[str, Meta(pattern=NO_NUL, max_length=5)]


class Leg(msgspec.Struct, forbid_unknown_fields=True):
    number: Plain
    tries: Annotated[int, Meta(ge=1, le=50)] = 3


class Call(msgspec.Struct):
    title: Annotated[str, Meta(pattern=TITLE)]
    legs: list[Leg] = []
    first: Leg | None = None
    due: RequestTime | None = None


def faults_of(body: bytes, tp: Any = Call) -> list[FieldError]:
    with pytest.raises(InvalidRequest) as refused:
        decode_json(body, tp)
    return list(refused.value.field_errors)


def places(body: bytes) -> list[tuple[str | int, ...]]:
    return [fault.loc[1:] for fault in faults_of(body)]


def test_a_good_body_is_decoded_and_unknown_keys_are_ignored() -> None:
    call = decode_json(b'{"title": "x", "legs": [{"number": "1"}], "surprise": {}}', Call)
    assert call == Call(title="x", legs=[Leg(number="1")])


def test_every_fault_is_told_with_its_place() -> None:
    body = (
        b'{"title": 1, "legs": [{"number": "1"}, {"tries": 0, "extra": 1}], "first": {"number": "123456"}, "due": "x"}'
    )
    assert {(fault.loc, fault.kind) for fault in faults_of(body)} == {
        (("body", "title"), "string_type"),
        (("body", "legs", 1, "number"), "missing"),
        (("body", "legs", 1, "tries"), "greater_than_equal"),
        (("body", "legs", 1, "extra"), "extra_forbidden"),
        (("body", "first", "number"), "string_too_long"),
        (("body", "due"), "datetime_parsing"),
    }


@pytest.mark.parametrize("text", ['"7"', "7.0", "true", "null", "[]"])
def test_nothing_is_coerced_to_a_number(text: str) -> None:
    assert places(b'{"title": "x", "legs": [{"number": "1", "tries": %s}]}' % text.encode()) == [("legs", 0, "tries")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b"{", "it is incomplete"),
        (b"{}x", "trailing characters (byte 3)"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark (BOM, bytes EF BB BF); send UTF-8 without it"),
        ('{"title": "x"}'.encode("utf-16"), "it is UTF-16 or UTF-32; send UTF-8"),
        ('{"title": "x"}'.encode("utf-16-le"), "it is UTF-16 or UTF-32; send UTF-8"),
        ('{"title": "x"}'.encode("utf-16-be"), "it is UTF-16 or UTF-32; send UTF-8"),
        ('{"title": "x"}'.encode("utf-32"), "it is UTF-16 or UTF-32; send UTF-8"),
        (gzip.compress(b'{"title": "x"}', mtime=0), "it is compressed with gzip; send it uncompressed"),
        (zlib.compress(b'{"title": "x"}'), "it is compressed with deflate; send it uncompressed"),
        (b"\xff", "invalid character (byte 0)"),
        (
            '{"title": "Привет"}'.encode("cp1251"),
            "a text is not UTF-8: it contains byte 0xCF; convert it, for example from windows-1251",
        ),
        (b"{'title': 1}", "object keys must be strings (byte 1)"),
        (b'{"title": NaN}', "invalid character (byte 10)"),
        (b'{"x": ' + b"[" * 100_000, "it is nested too deeply"),
        (b'{"x": ' + b'{"x": ' * 100_000, "it is nested too deeply"),
        (rb'{"title": "\ud8zz"}', "invalid character in unicode escape (byte 16)"),
    ],
)
def test_what_is_no_json_is_told_of_the_whole(body: bytes, reason: str) -> None:
    assert faults_of(body) == [FieldError(("body",), f"Malformed JSON: {reason}", "json_invalid")]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"[" * 100_000])
def test_json_of_another_shape_is_told_of_the_whole(body: bytes) -> None:
    (fault,) = faults_of(body)
    assert (fault.loc, fault.kind) in {(("body",), "model_type"), (("body",), "json_invalid")}


@pytest.mark.parametrize("escape", [r"\ud800", r"\uDFFF", r"\ud800\u0041", r"\udc00\ud800", r"\ud83d"])
def test_half_a_surrogate_pair_is_told_where_it_stands(escape: str) -> None:
    body = '{"title": "x", "legs": [{"number": "' + escape + '"}], "surprise": ["' + escape + '"]}'
    assert set(places(body.encode())) == {("legs", 0, "number"), ("surprise", 0)}


def test_half_a_surrogate_pair_in_a_key_is_told_of_what_holds_the_key() -> None:
    assert places(rb'{"title": "x", "legs": [{"\ud800": 1}]}') == [("legs", 0)]


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert decode_json(rb'{"title": "\ud83d\ude00"}', Call).title == "😀"


def test_nul_is_refused_where_it_stands_and_told_in_words() -> None:
    (fault,) = faults_of(rb'{"title": "x", "legs": [{"number": "1\u0000"}]}')
    assert fault == FieldError(
        ("body", "legs", 0, "number"), "Expected text without NUL characters", "string_pattern_mismatch"
    )


@pytest.mark.parametrize("title", ["", " ", "\n\t\u2003", "x" * 501, " x" + "y" * 500, "a\0b", " \0"])
def test_a_title_is_1_to_500_characters_and_not_all_blank(title: str) -> None:
    assert places(msgspec.json.encode({"title": title})) == [("title",)]


@pytest.mark.parametrize("title", ["x", " x ", "\u2003x\n", "x" * 500, " " * 1000 + "x y" + " " * 1000, "x\ny"])
def test_blanks_around_a_title_do_not_count(title: str) -> None:
    assert decode_json(msgspec.json.encode({"title": title}), Call).title == title


def test_a_long_blank_title_is_refused_without_much_ado() -> None:
    assert places(msgspec.json.encode({"title": " " * 2_000_000})) == [("title",)]


def test_at_most_fifty_faults_are_told() -> None:
    assert len(faults_of(msgspec.json.encode({"title": "x", "legs": [{}] * 10_000}))) == 50


def test_what_is_echoed_is_short() -> None:
    (fault,) = faults_of(msgspec.json.encode({"number": "1", "x" * 1_000_000: 1}), Leg)
    assert fault.loc == ("body", "x" * 100)


@pytest.mark.parametrize(
    "time",
    [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T12:00:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01",
        "soon",
    ],
)
def test_a_time_that_not_every_zone_can_tell_is_a_fault_beside_the_others(time: str) -> None:
    body = msgspec.json.encode({"title": "", "due": time})
    assert {fault.loc[-1] for fault in faults_of(body)} == {"title", "due"}


def test_a_time_without_a_zone_is_utc() -> None:
    assert parse_time("2026-01-01T10:00:00") == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert str(parse_time("2026-01-01T10:00:00+05:00")) == "2026-01-01 05:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-31T23:59:60Z", "2027-01-01 00:00:00+00:00"),
        ("2026-12-31 23:59:60", "2027-01-01 00:00:00+00:00"),
        ("2016-12-31t18:59:60.25-05:00", "2017-01-01 00:00:00.250000+00:00"),
        ("2017-01-01T05:29:60+05:30", "2017-01-01 00:00:00+00:00"),
    ],
)
def test_the_leap_second_is_the_first_of_the_next_day(text: str, utc: str) -> None:
    assert str(parse_time(text)) == utc
    called = decode_json(msgspec.json.encode({"title": "x", "due": text}), Call)
    assert called.due.utc == parse_time(text)


@pytest.mark.parametrize(
    "text", ["2026-12-31T22:59:60Z", "2026-12-31T23:59:61Z", "2026-12-31T23:60:60Z", "2026-12-31T23:59:60+05:00"]
)
def test_second_60_is_nowhere_else(text: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        parse_time(text)


@pytest.mark.parametrize("value", [1700000000, True, [], {}, 1.5])
def test_a_time_is_text(value: Any) -> None:
    (fault,) = faults_of(msgspec.json.encode({"title": "x", "due": value}))
    assert (fault.loc, fault.kind) == (("body", "due"), "datetime_parsing")


NOT_A_TIME = "Expected a time in RFC 3339 such as 2026-11-27T09:30:00+05:00, not 'soon'"
LONG = b'"surprise": "' + b" " * EXAMINED_BYTES_MAX + b'"'


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        (b'"title": 1, "first": {}', FieldError(("body", "title"), "Expected `str`, got `int`", "string_type")),
        (
            b'"legs": [{"number": "1"}, {"number": "1", "tries": 0}]',
            FieldError(("body", "legs", 1, "tries"), "Expected `int` >= 1", "greater_than_equal"),
        ),
        (b'"legs": [{}]', FieldError(("body", "legs", 0, "number"), "Field required", "missing")),
        (
            b'"first": {"number": "1", "%s": 1}' % (b"x" * 1000),
            FieldError(("body", "first", "x" * 100), "Unknown field", "extra_forbidden"),
        ),
        (b'"legs": {}', FieldError(("body", "legs"), "Expected `array`, got `object`", "model_type")),
        (b'"x": 1', FieldError(("body", "title"), "Field required", "missing")),
        (b'"title": "x", "due": "soon"', FieldError(("body", "due"), NOT_A_TIME, "datetime_parsing")),
        (b'"x"', FieldError(("body",), "Malformed JSON: expected ':' (byte 4)", "json_invalid")),
    ],
)
def test_of_a_long_body_the_first_fault_is_told_with_its_place(members: bytes, fault: FieldError) -> None:
    assert faults_of(b"{%s, %s}" % (members, LONG)) == [fault]


def test_a_long_body_is_not_decoded_a_second_time_for_its_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object, **__: object) -> None:
        pytest.fail("the body was decoded into objects")

    for module in ("msgspec.json.decode", "json.loads"):
        monkeypatch.setattr(module, decoded)
    for body in (b'{"title": 1, %s}' % LONG, b'{"title": "x", %s' % LONG, rb'{"title": "\ud800", ' + LONG + b"}"):
        faults_of(body)


@pytest.mark.parametrize(
    "repeated", [b'"title": "a",', b'"title": 1,', b'"due": "2026-01-01T00:00:00Z",', b'"legs": [{}],']
)
def test_of_a_long_body_only_the_last_of_repeated_members_is_decoded(repeated: bytes) -> None:
    body = b"{" + repeated * 50_000 + b'"legs": [{"number": "1"}], "due": null, "title": "x"}'
    once = without_repeated_members(body, Call)
    assert len(bytes(once)) < 100
    assert decode_json(once, Call) == Call(title="x", legs=[Leg(number="1")])


def test_a_long_body_keeps_its_field_errors_and_a_short_one_is_left_alone() -> None:
    for members, tp in ((b'"x": 1', Call), (b'"title": 1', Call), (b'"number": "1", "extra": 1', Leg)):
        body = b"{%s, %s}" % (members, LONG) if tp is Call else b"{%s%s}" % (members, b" " * EXAMINED_BYTES_MAX)
        expected = faults_of(body, tp)
        with pytest.raises(InvalidRequest) as refused:
            decode_json(without_repeated_members(body, tp), tp)
        assert list(refused.value.field_errors) == expected
    short = b'{"title": "a", "title": "b"}'
    assert without_repeated_members(short, Call) is short


@pytest.mark.parametrize("filler", [b"[]", b"{}", b'"a"', b"1"])
def test_unknown_members_are_not_decoded_for_the_field_errors_of_others(
    monkeypatch: pytest.MonkeyPatch, filler: bytes
) -> None:
    def decoded(*_: object, **__: object) -> None:
        pytest.fail("the body was decoded into objects")

    for module in ("msgspec.json.decode", "msgspec.convert", "json.loads"):
        monkeypatch.setattr(module, decoded)
    body = b'{"title": 1, "first": {"tries": 0}, "surprise": [' + b",".join([filler] * 30_000) + b"]}"
    assert places(body) == [("title",), ("first", "number"), ("first", "tries")]


def test_half_a_surrogate_pair_in_a_body_of_some_length_is_told_of_the_whole() -> None:
    (fault,) = faults_of(rb'{"title": "\ud800", "x": "' + b"x" * WALKED_BYTES_MAX + b'"}')
    assert fault.loc == ("body",)
    assert fault.message == "Malformed JSON: unexpected end of escaped utf-16 surrogate pair (byte 17)"
