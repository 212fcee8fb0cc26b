"""The callbacks of the demo: its numbers, its receiver of webhooks, its display and its report."""

import base64
import io
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from application.phones import e164, line
from application.queries.queue_board import Idle, QueueBoardRow
from application.webhook_targets import check_target
from domain.callback_queue.events import QueueStatus
from infrastructure.gateways.asterisk.kind import AsteriskGatewayKind
from infrastructure.gateways.asterisk.options import AsteriskOptions
from interfaces.config.settings import BadSetting, from_environment
from interfaces.config.webhooks import webhook_options
from interfaces.demo.environment import demo_environment
from interfaces.demo.figures import Figures, NetworkCalls, attempts_of
from interfaces.demo.plan import Cast, callbacks
from interfaces.demo.progress import cells, showing
from interfaces.demo.receiver import Receiver
from interfaces.demo.report import report
from interfaces.demo.simulated_cast import simulated_cast
from interfaces.demo.switch_cast import switch_cast, warning

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = 1_795_305_600
CAST, ON_SWITCH = simulated_cast(), switch_cast()
PLACED = [task for tasks in callbacks(CAST, Receiver(SECRET)) for task in tasks]


def test_three_hundred_people_are_called_whose_numbers_are_nobodys() -> None:
    assert [len(tasks) for tasks in callbacks(CAST, Receiver(SECRET))] == [plan.callbacks for plan in CAST.plans]
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
    assert sum("start_time_utc" in task for task in PLACED) == sum(plan.later for plan in CAST.plans) > 0


def test_on_a_real_switch_only_extensions_of_four_digits_are_dialled_and_none_begins_as_an_emergency_number() -> None:
    placed = [task for tasks in callbacks(ON_SWITCH, Receiver(SECRET)) for task in tasks]
    assert len(placed) == 60
    dialled = {*(task[key] for task in placed for key in ("a_number", "b_number")), *ON_SWITCH.example}
    assert not ON_SWITCH.customers_of_tasks
    assert all(re.fullmatch("[0-9]{4}", number) for number in dialled)
    assert all(line(number, "KZ", "b_number") == number for number in dialled)
    assert not any(number.startswith(("101", "102", "103", "104", "112")) for number in dialled)
    assert {number[:2] for number in dialled} == {"10", "11", "20", "30", "31", "40", "50", "60", "70"}


def test_before_a_real_switch_dials_all_numbers_and_the_trunk_are_told() -> None:
    options = AsteriskOptions(host="::1", port=5038, user="u", secret="s3cret", trunk="carrier")
    text = warning(ON_SWITCH, AsteriskGatewayKind(options))
    assert "trunk carrier of the Asterisk at [::1]:5038" in " ".join(text.split())
    dialled = set(re.findall(r"[0-9]{4}", text.partition("these extensions")[2]))
    assert dialled == {*ON_SWITCH.agents, *ON_SWITCH.customers}
    assert "s3cret" not in text


@pytest.mark.parametrize("cast", [CAST, ON_SWITCH], ids=["simulated", "switch"])
def test_somebody_in_the_first_queue_cannot_be_had_at_once(cast: Cast) -> None:
    first = callbacks(cast, Receiver(SECRET))[0]
    assert any(task["b_number"][-4] == cast.tried_again for task in first)


def test_its_environment_opens_this_machine_and_what_was_open_before() -> None:
    opened = webhook_options(from_environment(demo_environment({}))).targets
    check_target("http://127.0.0.1:1/after", opened)
    assert [str(network) for network in opened.allowed] == ["127.0.0.1/32"]
    given = {"PEREZVON_WEBHOOK_ALLOW_NETS": "10.0.0.0/8", "PEREZVON_SIMULATED_SPEED": "3"}
    settings = from_environment(demo_environment(given))
    assert [str(network) for network in webhook_options(settings).targets.allowed] == ["10.0.0.0/8", "127.0.0.1/32"]
    assert settings.simulated_speed == 3
    assert from_environment(demo_environment({})).simulated_speed == 20


def test_on_a_real_switch_it_dials_only_when_it_is_told_to_and_not_faster_than_is_set() -> None:
    with pytest.raises(BadSetting, match="--asterisk"):
        demo_environment({"PEREZVON_GATEWAY": "asterisk"})
    chosen = demo_environment({"PEREZVON_GATEWAY": "asterisk"}, on_switch=True)
    assert from_environment(chosen).calls_per_second == 10
    slow = demo_environment({"PEREZVON_CALLS_PER_SECOND": "0.5"}, on_switch=True)
    assert from_environment(slow).calls_per_second == 0.5
    assert from_environment(demo_environment({})).calls_per_second is None


def webhook(sequence: int = 1, *, secret: str = SECRET, age_s: int = 0) -> tuple[dict[str, str], bytes]:
    """Return a webhook signed by an independent implementation."""
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


def board_row(idle: Idle | None) -> QueueBoardRow:
    return QueueBoardRow(
        id=1, name="Q", status=QueueStatus.ON, concurrent_task_limit=8, taken=3, waiting=20, delayed=5, running=3, succeeded=6,
        failed=4, answer_rate=0.456, oldest_due=None, idle=idle,
    )  # fmt: skip


@pytest.mark.parametrize("idle", Idle)
def test_a_queue_is_shown_with_the_reason_why_nothing_starts(idle: Idle) -> None:
    shown = cells(board_row(idle))
    assert shown[:-1] == ("Q", "20", "5", "3 of 8", "10", "46%")
    assert shown[-1]
    assert cells(board_row(None))[-1] == ""


def test_without_a_terminal_there_are_few_and_plain_lines() -> None:
    stream = io.StringIO()
    with showing(stream) as show:
        for _ in range(100):
            show([board_row(Idle.OFF)], 7)
    line_of_queue = "Q: 20 waiting, 5 delayed, 3 of 8 calls, 10 finished, 46% answered; idle because it is off"
    assert stream.getvalue() == f"{line_of_queue}\nwebhooks: 7 verified\n"


def test_on_a_terminal_the_table_is_drawn_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    with showing(stream) as show:
        for webhooks in (7, 8):
            show([board_row(Idle.LIMIT_REACHED)], webhooks)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "webhooks verified: 7" in drawn
    assert "webhooks verified: 8" in drawn
    assert drawn.count("3 of 8") >= 2


def test_the_report_says_how_it_went() -> None:
    received = receiver()
    for sequence in (1, 2, 2):
        received.take("/before", *webhook(sequence))
    figures = Figures(
        outcomes=Counter({"success: ANSWER b": 305, "failed: BUSY b busy": 5}),
        tasks=Counter({"completed": 9, "failed": 1}),
        deliveries=Counter({"delivered": 2, "expired": 1}),
        calls=NetworkCalls(count=500, repeated=0, most=20),
        seconds=21.4,
    )
    assert report(figures, CAST, received).splitlines() == [
        "300 people were called back, and 10 for tasks, in 21 s:",
        "    305  success: ANSWER b",
        "      5  failed: BUSY b busy",
        "Attempts: 500, 190 of them retries, 0 of them dialled twice, as the phone network counted them",
        "Most calls at once: 20 there; the limits are 12 + 8 = 20",
        "Webhooks: 2 of 3 delivered; 2 verified, 0 refused, 1 repeated, 0 out of order",
        "Tasks carried out: 9 completed, 1 failed",
    ]


def attempt(position: int, kind: str, **end: str) -> dict[str, object]:
    return {"position": position, "type": f"callback.{kind}.v1", "data": {"end": end} if end else {}}


def test_the_report_of_a_real_switch_tells_what_stands_on_record() -> None:
    busy = {"outcome": "busy", "leg": "b", "sip": "SIP 486 Busy Here"}
    events = [
        attempt(7, "attempt_started"),
        attempt(9, "attempt_failed", **busy),
        attempt(12, "attempt_started"),
        attempt(13, "attempt_succeeded"),
        attempt(20, "call_ended", outcome="success"),
        attempt(8, "attempt_started"),
        attempt(10, "attempt_failed", **busy),
    ]
    calls = attempts_of(events)
    assert (calls.count, calls.most, calls.ends) == (3, 2, {"b: busy (SIP 486 Busy Here)": 2, "joined": 1})
    figures = Figures(
        outcomes=Counter({"success: ANSWER b": 1, "failed: BUSY b busy": 1}),
        calls=calls,
        tasks=Counter(),
        deliveries=Counter(),
        seconds=3,
    )
    assert report(figures, ON_SWITCH, receiver()).splitlines() == [
        "60 people were called back, in 3 s:",
        "      1  success: ANSWER b",
        "      1  failed: BUSY b busy",
        "Attempts: 3, 1 of them retries, by the outcome that the switch reported:",
        "      2  b: busy (SIP 486 Busy Here)",
        "      1  joined",
        "Most calls at once: 2 recorded; the limits are 6 + 4 = 10",
        "Webhooks: 0 of 0 delivered; 0 verified, 0 refused, 0 repeated, 0 out of order",
    ]
