"""The elements of a body of callbacks, found without creating more of them than are allowed."""

import pytest

from domain.limits import NEW_CALLBACKS_MAX
from interfaces.api.routes.callback_batch_body import elements_of
from interfaces.api.web.request_errors import FieldError, InvalidRequest

WRONG_NUMBER = FieldError(("body", "tasks"), f"Expected 1 to {NEW_CALLBACKS_MAX} callbacks", "list_length")
BLANKS = b" " * 100_000


@pytest.mark.parametrize("after", [b"", BLANKS], ids=["short", "long"])
@pytest.mark.parametrize("count", [1, 2, 9_999, NEW_CALLBACKS_MAX])
def test_all_elements_are_found_in_their_order(count: int, after: bytes) -> None:
    elements = elements_of(b'{"x": [1, 2], "tasks": [' + b",".join(b"%d" % n for n in range(count)) + b"]}" + after)
    assert [bytes(element) for element in elements] == [b"%d" % n for n in range(count)]


@pytest.mark.parametrize("element", [b"1", b"{}", b'{"a_number": "1001"}', b"[1, 2]", b'","'])
@pytest.mark.parametrize("count", [0, NEW_CALLBACKS_MAX + 1, 400_000])
def test_too_many_and_none_are_refused(element: bytes, count: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        elements_of(b'{"tasks": [' + b",".join([element] * count) + b"]}" + BLANKS)
    assert list(refused.value.field_errors) == [WRONG_NUMBER]


@pytest.mark.parametrize("after", [b"", BLANKS], ids=["short", "long"])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"[]", FieldError(("body",), "Expected `object`, got `array`", "model_type")),
        (b"{}", FieldError(("body", "tasks"), "Field required", "missing")),
        (b'{"tasks": 5}', FieldError(("body", "tasks"), "Expected `array`, got `int`", "model_type")),
        (b'{"tasks": [}', FieldError(("body",), "Malformed JSON: invalid character (byte 11)", "json_invalid")),
    ],
)
def test_what_is_no_array_of_callbacks_is_told_in_the_same_words(body: bytes, fault: FieldError, after: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        elements_of(body + after)
    assert list(refused.value.field_errors) == [fault]


@pytest.mark.parametrize("repeated", [b'"tasks":[],', b'"tasks":[1],', b'"tasks":5,'])
def test_an_array_is_created_only_for_the_last_of_repeated_members(repeated: bytes) -> None:
    elements = elements_of(b"{" + repeated * 10_000 + b'"tasks":[1,2]}')
    assert [bytes(element) for element in elements] == [b"1", b"2"]
