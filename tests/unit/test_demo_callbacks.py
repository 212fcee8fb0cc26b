"""The callbacks of the demo: whom it calls, how it receives webhooks, what it shows and what it reports."""

import base64
import io
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from application.phones import e164
from application.queue_queries import Idle, QueueStanding
from application.webhooks import check_target
from interfaces.bootstrap import Counts
from interfaces.demo.environment import demo_environment
from interfaces.demo.plan import PLANS, callbacks
from interfaces.demo.progress import cells, showing
from interfaces.demo.receiver import Receiver
from interfaces.demo.report import Figures, report
from interfaces.settings import from_environment
from interfaces.webhook_options import webhook_options

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = 1_795_305_600
PLACED = [task for tasks in callbacks(Receiver(SECRET)) for task in tasks]


def test_three_hundred_people_are_called_whose_numbers_are_nobodys() -> None:
    assert [len(tasks) for tasks in callbacks(Receiver(SECRET))] == [plan.callbacks for plan in PLANS]
    numbers = [e164(task["b_number"], "KZ", "b_number") for task in PLACED]
    assert len(set(numbers)) == len(PLACED) == 300
    assert all(re.fullmatch(r"\+7701000\d{4}", number) for number in numbers)
    assert any(task["b_number"].startswith("8 ") for task in PLACED)


def test_the_phones_do_all_that_phones_can_do_and_most_answer() -> None:
    digits = Counter(e164(task["b_number"], "KZ", "b_number")[-4] for task in PLACED)
    assert set(digits) == set("0123456789")
    assert digits["1"] > 100
    assert {task["a_number"][-4] for task in PLACED} > {"1", "2", "7"}


def test_some_callbacks_begin_later() -> None:
    assert sum("start_time_utc" in task for task in PLACED) == sum(plan.later for plan in PLANS) > 0


def test_its_environment_opens_this_machine_and_what_was_open_before() -> None:
    opened = webhook_options(from_environment(demo_environment({}))).opened
    check_target("http://127.0.0.1:1/after", opened)
    assert [str(network) for network in opened] == ["127.0.0.1/32"]
    given = {"PEREZVON_WEBHOOK_ALLOW_NETS": "10.0.0.0/8", "PEREZVON_SIMULATED_SPEED": "3"}
    settings = from_environment(demo_environment(given))
    assert [str(network) for network in webhook_options(settings).opened] == ["10.0.0.0/8", "127.0.0.1/32"]
    assert settings.simulated_speed == 3
    assert from_environment(demo_environment({})).simulated_speed == 20


def webhook(sequence: int = 1, *, secret: str = SECRET, age_s: int = 0) -> tuple[dict[str, str], bytes]:
    """A webhook as a signer that is not ours makes it."""
    body = msgspec.json.encode({"sequence": sequence, "data": {"callback_id": 65}})
    sent = datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=age_s)
    message_id = f"msg_{sequence}"
    signature = Webhook(secret).sign(message_id, sent, body.decode())
    times = {"webhook-id": message_id, "webhook-timestamp": str(int(sent.timestamp()))}
    return {**times, "webhook-signature": f"v1,bm90aGluZw== {signature}"}, body


def receiver() -> Receiver:
    return Receiver(SECRET, clock=lambda: NOW)


def test_a_genuine_webhook_is_counted_once_by_its_kind() -> None:
    received = receiver()
    assert [received.take("/before", *webhook()) for _ in range(2)] == [204, 204]
    assert (received.verified, received.repeated, received.refused) == ({"before": 1}, 1, 0)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        webhook(secret="whsec_" + base64.b64encode(b"x" * 32).decode()),
        (webhook()[0], webhook(2)[1]),
        webhook(age_s=301),
        webhook(age_s=-301),
        ({**webhook()[0], "webhook-timestamp": "²"}, webhook()[1]),
        ({**webhook()[0], "webhook-signature": "é"}, webhook()[1]),
        ({}, b"{}"),
    ],
    ids=["other secret", "other body", "too old", "not yet sent", "no time", "no signature", "nothing"],
)
def test_what_is_not_genuine_is_refused(headers: dict[str, str], body: bytes) -> None:
    received = receiver()
    assert received.take("/after", headers, body) == 401
    assert (received.refused, received.verified.total()) == (1, 0)


def test_news_that_come_after_newer_ones_of_the_same_callback_are_out_of_order() -> None:
    received = receiver()
    for sequence in (2, 5, 3, 4, 6):
        received.take("/success", *webhook(sequence))
    assert (received.verified["success"], received.disordered) == (5, 2)


def standing(idle: Idle | None) -> QueueStanding:
    return QueueStanding(
        id=1, name="Q", status="on", concurrent_task_limit=8, taken=3, waiting=20, delayed=5, running=3, succeeded=6,
        failed=4, answer_rate=0.456, oldest_due=None, idle=idle,
    )  # fmt: skip


@pytest.mark.parametrize("idle", Idle)
def test_a_queue_is_shown_with_the_reason_why_nothing_starts(idle: Idle) -> None:
    shown = cells(standing(idle))
    assert shown[:-1] == ("Q", "20", "5", "3 of 8", "10", "46%")
    assert shown[-1]
    assert cells(standing(None))[-1] == ""


def test_without_a_terminal_there_are_few_and_plain_lines() -> None:
    stream = io.StringIO()
    with showing(stream) as show:
        for _ in range(100):
            show([standing(Idle.OFF)], 7)
    told = "Q: 20 waiting, 5 delayed, 3 of 8 calls, 10 finished, 46% answered; starts nothing because it is off"
    assert stream.getvalue() == f"{told}\nwebhooks: 7 verified\n"


def test_on_a_terminal_the_table_is_drawn_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    with showing(stream) as show:
        for webhooks in (7, 8):
            show([standing(Idle.LIMIT_REACHED)], webhooks)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "webhooks verified: 7" in drawn
    assert "webhooks verified: 8" in drawn
    assert drawn.count("3 of 8") >= 2


def counts(placed: int, most: int) -> Counts:
    return Counts(
        placed=placed, running=0, most=most, most_dials=1, dialled_again=0, examples=[], live_again=0, outcomes={}
    )


def test_the_report_says_how_it_went() -> None:
    received = receiver()
    for sequence in (1, 2, 2):
        received.take("/before", *webhook(sequence))
    figures = Figures(
        outcomes=Counter({"success: ANSWER b": 305, "failed: BUSY b busy": 5}),
        tasks=Counter({"completed": 9, "failed": 1}),
        deliveries=Counter({"delivered": 2, "expired": 1}),
        before=counts(100, 5),
        after=counts(600, 20),
        seconds=21.4,
    )
    assert report(figures, received).splitlines() == [
        "300 people were called back, and 10 for tasks, in 21 s:",
        "    305  success: ANSWER b",
        "      5  failed: BUSY b busy",
        "Attempts: 500, 190 of them retries, 0 of them dialled twice, as the phone network counted them",
        "Most calls at once: 20 there; the limits are 12 + 8 = 20",
        "Webhooks: 2 of 3 delivered; 2 verified, 0 refused, 1 repeated, 0 out of order",
        "Tasks carried out: 9 completed, 1 failed",
    ]
