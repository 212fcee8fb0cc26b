"""Messages of the Manager Interface: which may be sent, and how received ones are parsed."""

import pytest

from infrastructure.gateways.asterisk.messages import Message, encode

HANGUP = (
    b"Event: Hangup\r\nDestUniqueid: no\r\nUniqueid: 42\r\nAccountCode: \r\nChanVariable: OTHER=1\r\nChanVariable: ID=7"
)


def test_an_action_is_lines_and_an_empty_one() -> None:
    assert encode([("Action", "Ping"), ("ActionID", "7")]) == b"Action: Ping\r\nActionID: 7\r\n\r\n"


@pytest.mark.parametrize("harm", ["1\r\nAction: Command", "1\n", "\r", "1\0", "\r\n\r\n"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_what_would_begin_another_line_is_not_sent_and_not_shown(harm: str, place: str) -> None:
    fields = [("Action", "Ping"), (harm, "1") if place == "name" else ("Key", harm)]
    with pytest.raises(ValueError, match="line break or NUL") as refusal:
        encode(fields)
    if place == "value":
        assert harm not in str(refusal.value)


def test_a_line_that_the_switch_would_cut_is_not_sent() -> None:
    assert len(encode([("Key", "x" * 900)])) > 900
    with pytest.raises(ValueError, match="too long"):
        encode([("Key", "x" * 1000)])


def test_what_is_no_text_is_not_sent() -> None:
    with pytest.raises(ValueError, match="not encodable as UTF-8"):
        encode([("Key", "\ud800")])


def test_a_value_is_found_by_its_whole_name() -> None:
    hangup = Message(HANGUP)
    assert [hangup.get(name) for name in ("Event", "Uniqueid", "AccountCode", "Unique", "id")] == [
        "Hangup",
        "42",
        "",
        "",
        "",
    ]
    assert "AccountCode" in hangup
    assert "Account" not in hangup


def test_of_several_channel_variables_each_is_found() -> None:
    hangup = Message(HANGUP)
    assert [hangup.variable(name) for name in ("ID", "OTHER", "NONE")] == ["7", "1", None]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert Message(b"Val: A|\xff\xfe|\xe2\x82").get("Val") == "A|��|�"
