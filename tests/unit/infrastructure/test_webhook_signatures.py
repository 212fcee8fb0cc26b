"""Signatures are those of Standard Webhooks: two independent libraries verify them."""

from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.webhooks.signatures import key_of, secret_of, sign

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
ORACLES = [standardwebhooks.Webhook, svix.webhooks.Webhook]


def headers(keys: list[bytes], body: bytes) -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(keys, "msg_1", now, body),
    }


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("body", [b'{"a":1}', '{"имя":"Айгуль"}'.encode()])
def test_a_receiver_s_library_verifies_our_signature(oracle: type, body: bytes) -> None:
    oracle(secret_of(KEY)).verify(body, headers([KEY], body))


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("key", [KEY, OTHER])
def test_while_a_secret_is_rotated_both_verify(oracle: type, key: bytes) -> None:
    oracle(secret_of(key)).verify(b"{}", headers([KEY, OTHER], b"{}"))


@pytest.mark.parametrize(
    ("oracle", "refusal"),
    [
        (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
        (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
    ],
)
def test_a_changed_body_and_a_stranger_s_signature_are_refused(oracle: type, refusal: type[Exception]) -> None:
    for body, signed in ((b"[]", headers([KEY], b"{}")), (b"{}", headers([OTHER], b"{}"))):
        with pytest.raises(refusal):
            oracle(secret_of(KEY)).verify(body, signed)


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_encodes_its_key(key: bytes) -> None:
    assert secret_of(key).startswith("whsec_")
    assert key_of(secret_of(key)) == key
