"""Calls that are dialled although the webhook before them was not accepted."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from application.policies.notify_webhooks import Message
from application.ports.webhooks import Untold
from tests.support.dispatching import BUSY, open_exchange

pytestmark = pytest.mark.anyio

BEFORE = "https://example.com/before"


def counted(reason: Untold) -> float:
    return REGISTRY.get_sample_value("perezvon_calls_dialled_untold_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize("untold", [Untold.NO_PLACE, Untold.NO_RESPONSE])
async def test_a_call_that_is_dialled_untold_is_counted_and_logged_with_its_callback(
    database: str, untold: Untold
) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> Untold:
        return untold

    before = counted(untold)
    with capture_logs() as logs:
        async with open_exchange(database) as exchange:
            ids = await exchange.callbacks(await exchange.queue(), [BUSY], url_before=BEFORE)
            exchange.dispatch(announce=announce)
            await exchange.all_ended(ids)
    assert counted(untold) - before == 1
    (entry,) = [entry for entry in logs if entry["event"] == "call dialled untold"]
    assert (entry["callback_id"], entry["organization_id"], entry["reason"]) == (ids[0], 1, untold.value)


async def test_a_call_whose_webhook_was_accepted_and_one_without_webhook_are_not_counted(database: str) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        """Accept."""

    before = sum(map(counted, Untold))
    async with open_exchange(database) as exchange:
        queue = await exchange.queue()
        ids = [
            *await exchange.callbacks(queue, [BUSY], url_before=BEFORE),
            *await exchange.callbacks(queue, [BUSY]),
        ]
        exchange.dispatch(announce=announce)
        await exchange.all_ended(ids)
    assert sum(map(counted, Untold)) == before
