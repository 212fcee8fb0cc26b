"""Ids follow their standards; phone numbers can be dialled."""

import re
import time
from uuid import RFC_4122, UUID

import pytest

from application.ids import digest_of, new_operator_key, new_token_id, new_token_secret, shard_of, uuid7
from application.phones import e164, known_region, line, read_as_number
from domain.errors import InvalidField


def test_a_task_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(uuid7())
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_secrets_differ_and_are_long_enough() -> None:
    assert len({new_operator_key(1) for _ in range(100)}) == 100
    assert len(bytes.fromhex(new_token_secret())) == 32
    assert len(new_operator_key(1)) == len("op_") + 2 + 22
    assert digest_of("a") != digest_of("b")


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("8 (701) 000-10-01", "KZ", "+77010001001"),
        ("+7 916 123 45 67", "KZ", "+79161234567"),
        ("00 49 30 901820", "DE", "+4930901820"),
        ("020 7946 0958", "GB", "+442079460958"),
    ],
)
def test_a_number_is_kept_as_e164(text: str, region: str, number: str) -> None:
    assert e164(text, region, "caller_phone") == number


@pytest.mark.parametrize("text", ["", "phone", "12", "+7", "+" + "1" * 40, "8 701 000", "1;2", "\r\nAction"])
def test_what_cannot_be_a_number_is_refused_by_the_fields_name(text: str) -> None:
    with pytest.raises(InvalidField) as raised:
        e164(text, "KZ", "caller_phone")
    assert raised.value.field == "caller_phone"


def test_a_line_may_be_an_extension() -> None:
    assert [line(text, "KZ", "number") for text in ("10", "12345678")] == ["10", "12345678"]
    assert line("87010001001", "KZ", "number") == "+77010001001"
    with pytest.raises(InvalidField):
        line("1", "KZ", "number")


@pytest.mark.parametrize(
    "written",
    ["доб. 12", "доб.12", "(доб. 12)", "вн. 12", "внутр. 12", "х12", "ext. 12", ",,12#", "ішкі 12", "дод. 12"],
)
def test_an_extension_is_kept_apart_however_it_is_written(written: str) -> None:
    assert e164(f"8 727 250 00 01 {written}", "KZ", "number") == "+77272500001;ext=12"


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+7 812 123 45 67", "RU", "+78121234567"),
        ("+7 812 123 45 678", "RU", None),  # without the 8 it would have the right length: +7 121 234 56 78
        ("+7 809 123 45 670", "RU", None),
        ("+7 8 495 123 45 67", "RU", "+74951234567"),
        ("+44 (0)20 7946 0958", "GB", "+442079460958"),
        ("+7 121 234 56 78", "RU", "+71212345678"),  # written as it is dialled: a number may be newer than we know
    ],
)
def test_digits_are_left_out_of_a_full_form_only_if_a_valid_number_remains(
    text: str, region: str, number: str | None
) -> None:
    assert read_as_number(text, region) == number


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("4915123456789", "DE", None),  # also +49 4915 123456789
        ("0151 23456789", "DE", "+4915123456789"),
        ("+4915123456789", "DE", "+4915123456789"),
        ("62812345678", "ID", None),
        ("4930901820", "DE", "+4930901820"),
        ("77272500001", "KZ", "+77272500001"),
        ("390 904 3741", "IT", "+393909043741"),  # in Italy, numbers are written as they are dialled
        ("9112345678", "IN", "+919112345678"),
    ],
)
def test_a_number_that_may_lack_its_plus_is_not_guessed(text: str, region: str, number: str | None) -> None:
    assert read_as_number(text, region) == number


def test_regions_are_known_by_their_iso_codes() -> None:
    assert known_region("KZ")
    assert not known_region("XX")


@pytest.mark.parametrize(("shard", "digits"), [(1, "AB"), (31, "A7"), (32, "BA"), (63, "B7")])
def test_ids_and_keys_name_their_shard(shard: int, digits: str) -> None:
    for _ in range(20):
        assert re.fullmatch(rf"op_{digits}[0-9A-Za-z_-]{{22}}", new_operator_key(shard))
        token_id = new_token_id(shard)
        assert re.fullmatch(r"[0-9a-f]{12}", token_id)
        assert int(token_id, 16) % 64 == shard
    assert shard_of(7 << 6 | shard) == shard
    assert len({new_token_id(shard) for _ in range(100)}) == 100
