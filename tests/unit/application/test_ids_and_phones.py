"""Ids follow their standards; phone numbers can be dialled."""

import re
import time
from uuid import RFC_4122, UUID

import pytest

from application.ids import digest_of, new_operator_key, new_token_id, new_token_secret, shard_of, uuid7
from application.phones import e164, known_region, line
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
