"""A call as an action Originate: what reaches the switch, and what never does."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import Call
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.asterisk.originate import Undialable, is_call_id, originate

ID = "6ba7b810-9dad-51d1-80b4-00c04fd430c8"
CALL = Call(
    id=ID,
    a_number="+77010001001",
    b_number="101",
    a_sees="101",
    b_sees="+77270001122",
    ring_a_s=20.2,
    ring_b_s=30,
    longest_talk_s=7200,
)


def test_a_call_becomes_an_originate_that_rings_a_and_goes_on_to_b() -> None:
    action = originate(CALL, "carrier")
    assert action.fields == {
        "Async": "true",
        "ChannelId": ID,
        "Channel": "PJSIP/+77010001001@carrier",
        "Context": "perezvon",
        "Exten": "101",
        "Priority": "1",
        "Timeout": "21000",
        "CallerID": '"Callback" <101>',
    }
    assert action.variables == {
        "__PEREZVON_CALL_ID": ID,
        "PEREZVON_TRUNK": "carrier",
        "B_TIMEOUT": "30",
        "B_CALLER": "+77270001122",
        "MAX_SECONDS": "7200",
        "CHANNEL(hangup_handler_push)": r"perezvon-ledger\,s\,1",
    }


def test_an_extension_behind_a_number_is_sent_after_the_answer() -> None:
    plain = originate(CALL, "carrier")
    action = originate(replace(CALL, a_digits="12", b_digits="345"), "carrier")
    assert action.fields == plain.fields
    assert dict(action.variables) == {**plain.variables, "A_DIGITS": "w12", "B_DIGITS": "w345"}


@pytest.mark.parametrize("field", ["a_digits", "b_digits"])
@pytest.mark.parametrize("digits", ["1,n", "1)g", "w1", "1" * 21, "٣"])
def test_only_digits_are_sent_after_the_answer(field: str, digits: str) -> None:
    with pytest.raises(Undialable, match=f"^{field}$"):
        originate(replace(CALL, **{field: digits}), "trunk")


@pytest.mark.parametrize(("seconds", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.001, 2), (29.9, 30)])
def test_times_are_whole_seconds_upwards(seconds: float, whole: int) -> None:
    action = originate(replace(CALL, ring_a_s=seconds, ring_b_s=seconds, longest_talk_s=seconds), "trunk")
    assert action.fields["Timeout"] == str(whole * 1000)
    assert action.variables["B_TIMEOUT"] == action.variables["MAX_SECONDS"] == str(whole)


@pytest.mark.parametrize("field", ["a_number", "b_number", "a_sees", "b_sees"])
@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "1001\r\nAction: Command",
        "1001\n",
        "1001\0",
        "1001&PJSIP/00",
        "1001/n",
        "1001@elsewhere",
        "1001,60,g",
        "1001|60",
        "1001;x=y",
        "1001 ",
        "++1001",
        "10+01",
        "${SHELL(reboot)}",
        "*72",
        "#1",
        "٣٤٥",  # digits to str.isdigit
        "²",
        "1" * 33,
        '1> "x" <2',
    ],
)
def test_what_is_no_number_is_not_dialled_and_not_shown(field: str, number: str) -> None:
    with pytest.raises(Undialable) as refusal:
        originate(replace(CALL, **{field: number}), "trunk")
    assert str(refusal.value) == field


@pytest.mark.parametrize("number", ["0", "+77010001001", "101", "1" * 32, "+" + "1" * 32])
def test_numbers_are_dialled_as_they_are(number: str) -> None:
    assert originate(replace(CALL, a_number=number), "trunk").fields["Channel"] == f"PJSIP/{number}@trunk"


@pytest.mark.parametrize(
    "call_id", ["", "/.*/", "PJSIP/trunk-1", ID[:-1], f"{ID}\n", ID.upper(), str(UUID(ID).hex), f"{ID},x"]
)
def test_only_a_uuid_is_the_id_of_a_call(call_id: str) -> None:
    assert is_call_id(ID)
    assert not is_call_id(call_id)
    with pytest.raises(Undialable, match=r"^id$"):
        originate(replace(CALL, id=call_id), "trunk")


@pytest.mark.parametrize("trunk", ["", "a/b", "a@b", "a,b", "a&b", "a b", "a\r\nb", "a" * 65, "trunk\n"])
def test_a_trunk_that_would_alter_the_dial_string_is_refused(trunk: str) -> None:
    with pytest.raises(ValueError, match=r"^trunk"):
        AsteriskOptions(host="switch", port=5038, user="u", secret="s", trunk=trunk)


@pytest.mark.parametrize("harm", ["a\r\nAction: Ping", "a\0", "x" * 201])
def test_a_user_and_a_secret_that_cannot_be_sent_are_refused_and_not_shown(harm: str) -> None:
    for user, secret in ((harm, "s"), ("u", harm)):
        with pytest.raises(ValueError, match=r"^(user|secret): expected at most 200") as refusal:
            AsteriskOptions(host="switch", port=5038, user=user, secret=secret, trunk="trunk")
        assert harm not in str(refusal.value)


def test_options_never_show_the_secret() -> None:
    options = AsteriskOptions(host="::1", port=5038, user="u", secret="top secret", trunk="trunk")
    assert repr(options) == f"{options}" == "AsteriskOptions(u@[::1]:5038, trunk='trunk', tls=False)"
