"""Ids of requests: what is shown and what is recorded."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.api.web.request_ids import request_ids

SOME = "0197b1c2-f000-7a3e-9c1d-5e0f2a4b6c8d"
VISIBLE = st.binary(min_size=1, max_size=128).map(lambda text: bytes(0x21 + byte % 94 for byte in text))


@given(VISIBLE)
def test_a_given_id_is_shown_unchanged_and_what_is_recorded_is_a_uuid(shown: bytes) -> None:
    ids = request_ids(shown)
    assert ids.shown == shown.decode()
    assert UUID(ids.recorded).hex == ids.recorded


@pytest.mark.parametrize("text", [str(UUID(int=7)), UUID(int=10**30).hex, SOME.upper(), UUID(SOME).hex.upper()])
def test_a_uuid_is_recorded_without_hyphens(text: str) -> None:
    ids = request_ids(text.encode())
    assert ids == (text, UUID(text).hex)
    assert not ids.are_different


@pytest.mark.parametrize("text", ["17", "r-1", "{" + SOME + "}", "urn:uuid:" + SOME, "7" * 31, "a+b/c=="])
def test_any_other_id_is_not_recorded(text: str) -> None:
    ids = request_ids(text.encode())
    assert ids.shown == text
    assert ids.are_different
    assert ids.recorded != request_ids(text.encode()).recorded


@pytest.mark.parametrize("text", [None, b"", b"not an id", b"x" * 129, b"\xff", b"a\tb"])
def test_an_id_that_is_no_visible_text_is_replaced(text: bytes | None) -> None:
    ids = request_ids(text)
    assert ids.shown == ids.recorded
    assert UUID(ids.shown).hex == ids.shown
