"""Signing secrets: created when needed, encrypted at rest, rotated with an overlap, recorded without the secret."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import standardwebhooks
import svix.webhooks

from application.callers import Request
from application.errors import OrganizationNotFound, SecretUnreadable
from application.webhook_options import WebhookOptions
from domain.errors import InvalidField
from domain.organization.events import WebhookSecretRotated
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.webhooks.secrets import OLD_MAX, SigningKeys
from infrastructure.webhooks.signatures import key_of
from interfaces.bootstrap.services import Services, services
from tests.support.receiving import Received, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import OPTIONS, change, enqueue_all, message, rows, states, worker

pytestmark = pytest.mark.anyio

REQUEST = Request(request_id="request/1")
KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))


@asynccontextmanager
async def opened(dsn: str, key: bytes | None = KEY) -> AsyncGenerator[tuple[Services, int]]:
    async with services(service_dsn(dsn), WebhookOptions(secrets_key=key)) as found:
        known = await found.directory.organizations()
        if known:
            yield found, known[0].id
        else:
            yield found, (await found.organizations.create("Acme", REQUEST)).id


async def test_a_secret_is_created_at_first_request_and_stays(database: str) -> None:
    async with opened(database) as (found, own):
        first, *others = await asyncio.gather(*(found.webhook_secrets.current(own) for _ in range(5)))
        assert set(others) == {first}
        assert first.startswith("whsec_")
        assert len(key_of(first)) == 32


async def test_nothing_in_the_database_shows_the_secret(database: str) -> None:
    async with opened(database) as (found, own):
        secrets = [await found.webhook_secrets.current(own), await found.webhook_secrets.rotate(own, 60, REQUEST)]
    for secret in secrets:
        assert all(
            key_of(secret) not in row["sealed"] for row in rows(database, "SELECT sealed FROM SCHEMA.webhook_secrets")
        )
        facts = rows(database, "SELECT state FROM SCHEMA.stored_events")
        assert all(secret.encode() not in row["state"] for row in facts)


async def test_a_rotation_is_recorded_with_its_actor(database: str) -> None:
    async with opened(database) as (found, own):
        await found.webhook_secrets.rotate(own, 3600, REQUEST)
        last = (await found.log.read(f"organization/{own}"))[-1]
    assert last.fact == WebhookSecretRotated(overlap=3600)
    assert (last.actor, last.causation, last.organization_id) == ("cli", "request/1", own)


async def test_two_rotations_at_once_are_both_done_one_after_the_other(database: str) -> None:
    async with opened(database) as (found, own):
        await found.webhook_secrets.current(own)
        new = await asyncio.gather(*(found.webhook_secrets.rotate(own, 60, REQUEST) for _ in range(2)))
        assert await found.webhook_secrets.current(own) in new
        numbers = rows(database, "SELECT number FROM SCHEMA.webhook_secrets ORDER BY 1")
        facts = [event.fact for event in await found.log.read(f"organization/{own}")]
    assert [row["number"] for row in numbers] == [1, 2, 3]
    assert facts.count(WebhookSecretRotated(overlap=60)) == 2


@pytest.mark.parametrize("overlap", [-1, 7 * 86_400 + 1])
async def test_an_overlap_over_a_week_is_refused_and_changes_nothing(database: str, overlap: int) -> None:
    async with opened(database) as (found, own):
        before = await found.webhook_secrets.current(own)
        with pytest.raises(InvalidField) as refused:
            await found.webhook_secrets.rotate(own, overlap, REQUEST)
        assert refused.value.field == "overlap_s"
        assert await found.webhook_secrets.current(own) == before


async def test_an_unknown_organisation_has_no_secret(database: str) -> None:
    async with opened(database) as (found, _):
        with pytest.raises(OrganizationNotFound):
            await found.webhook_secrets.current(999)
        with pytest.raises(OrganizationNotFound):
            await found.webhook_secrets.rotate(999, 60, REQUEST)
    assert rows(database, "SELECT 1 FROM SCHEMA.webhook_secrets") == []


def is_signed_by(received: Received, secret: str) -> bool:
    refusals = 0
    for oracle, refusal in (
        (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
        (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
    ):
        try:
            oracle(secret).verify(received.body, received.headers)
        except refusal:
            refusals += 1
    assert refusals in {0, 2}, "the libraries disagree"
    return not refusals


async def test_during_the_overlap_both_secrets_verify_and_afterwards_the_new_one_alone(database: str) -> None:
    async with opened(database) as (found, own), receiving() as receiver:
        old = await found.webhook_secrets.current(own)
        new = await found.webhook_secrets.rotate(own, 3600, REQUEST)
        await _deliver(database, receiver.url, own)
        assert (is_signed_by(receiver.got[-1], old), is_signed_by(receiver.got[-1], new)) == (True, True)
        newest = await found.webhook_secrets.rotate(own, 0, REQUEST)
        await _deliver(database, receiver.url, own)
        verdicts = [is_signed_by(receiver.got[-1], secret) for secret in (old, new, newest)]
        assert verdicts == [False, False, True]


async def test_at_most_ten_old_secrets_sign(database: str) -> None:
    async with opened(database) as (found, own), receiving() as receiver:
        for _ in range(OLD_MAX + 4):
            await found.webhook_secrets.rotate(own, 3600, REQUEST)
        await _deliver(database, receiver.url, own)
    assert len(receiver.got[0].headers["webhook-signature"].split(" ")) == 1 + OLD_MAX


async def test_without_a_key_secrets_are_neither_stored_nor_read(database: str) -> None:
    async with opened(database, KEY) as (found, own):
        secret = await found.webhook_secrets.current(own)
    async with opened(database, None) as (found, _):
        with pytest.raises(SecretUnreadable, match="PEREZVON_SECRETS_KEY is not set"):
            await found.webhook_secrets.current(own)
        with pytest.raises(SecretUnreadable):
            await found.webhook_secrets.rotate(own, 3600, REQUEST)
        fresh = (await found.organizations.create("Another", REQUEST)).id
        with pytest.raises(SecretUnreadable):
            await found.webhook_secrets.current(fresh)
    assert len(rows(database, "SELECT 1 FROM SCHEMA.webhook_secrets")) == 1
    async with opened(database, KEY) as (found, _):
        assert await found.webhook_secrets.current(own) == secret


async def test_another_key_is_an_error_until_a_rotation(database: str) -> None:
    async with opened(database, KEY) as (found, own):
        await found.webhook_secrets.current(own)
    async with opened(database, OTHER_KEY) as (found, own):
        with pytest.raises(SecretUnreadable):
            await found.webhook_secrets.current(own)
        new = await found.webhook_secrets.rotate(own, 3600, REQUEST)
        assert await found.webhook_secrets.current(own) == new


async def test_an_encrypted_secret_cannot_be_used_for_another_organisation(database: str) -> None:
    async with opened(database) as (found, own):
        await found.webhook_secrets.current(own)
        other = (await found.organizations.create("Other", REQUEST)).id
        await change(database, f"UPDATE SCHEMA.webhook_secrets SET organization_id = {other}")
        with pytest.raises(SecretUnreadable):
            await found.webhook_secrets.current(other)


async def test_concurrent_attempts_share_one_read_of_the_secrets(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(service_dsn(database), size=1, name="test")
    keys = SigningKeys(pool, KEY)
    reads: list[int] = []
    read_keys = keys.read_keys

    async def counted(organization_id: int) -> list[bytes]:
        reads.append(organization_id)
        return await read_keys(organization_id)

    monkeypatch.setattr(keys, "read_keys", counted)
    found = await asyncio.gather(*(keys.cached_keys(number % 2) for number in range(100)))
    await pool.close()
    assert sorted(reads) == [0, 1]
    assert found[0] == found[2] != found[1]


async def _deliver(dsn: str, url: str, organization_id: int) -> None:
    await enqueue_all(dsn, [message(url, organization_id=organization_id)])

    async def is_delivered() -> bool:
        return states(dsn) == {"delivered"}

    options = WebhookOptions(targets=OPTIONS.targets, secrets_key=KEY)
    async with worker(dsn, options):
        await eventually_async(is_delivered)
