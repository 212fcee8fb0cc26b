"""The verdict of `./run chaos --database`: each request answered in time, nothing lost, nothing dialled twice."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from tests.chaos.calls_verdict import CallsVerdict
from tests.chaos.processes import log

ANSWER_S = 5.0
HEALTH_S = 1.0
RECOVERY_S = 15.0
PATIENCE_S = 120.0
_SLACK_S = 0.5  # of a machine that also runs the load
_STATUSES = frozenset({200, 503})


class Answer(msgspec.Struct, frozen=True):
    """A response, or the lack of one (status 0): what was asked, from when to when."""

    path: str
    status: int
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """The time without an answer."""
        return self.ended - self.began


class Ordeal(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of one fault. Times are in seconds; ``recovered_s`` and ``dialled_s`` count from its end on.

    They are None where requests did not succeed, or no call was dialled, within two minutes.
    """

    fault: str
    longest_s: float = 0.0
    health_s: float = 0.0
    recovered_s: float | None = 0.0
    dialled_s: float | None = 0.0
    statuses: dict[str, int] = {}
    impossible: str = ""

    @property
    def faults(self) -> Iterator[str]:
        """Yield the promises that were broken; ``longest_s`` includes ``health_s``."""
        if self.longest_s > ANSWER_S + _SLACK_S:
            yield f"{self.fault}: no answer for {self.longest_s:.1f} s"
        if self.health_s > HEALTH_S + _SLACK_S:
            yield f"{self.fault}: no answer about health for {self.health_s:.1f} s"
        for what, seconds in (("recovery", self.recovered_s), ("new call dialled", self.dialled_s)):
            if seconds is None or seconds > RECOVERY_S:
                yield f"{self.fault}: no {what} within {RECOVERY_S:g} s"
        for what, count in self.statuses.items():
            if int(what.split()[1]) not in _STATUSES:
                yield f"{self.fault}: {count} times {what}"


def ordeal_of(fault: str, answers: Sequence[Answer], recovered_s: float | None, dialled_s: float | None) -> Ordeal:
    """Sum up the answers that clients received during a fault and until the service had recovered."""
    health = max((one.seconds for one in answers if "/health/" in one.path), default=0.0)
    statuses = Counter(f"{one.path.split()[0]} {one.status}" for one in answers if "/health/" not in one.path)
    return Ordeal(
        fault=fault,
        longest_s=round(max((one.seconds for one in answers), default=0.0), 2),
        health_s=round(health, 2),
        recovered_s=None if recovered_s is None else round(recovered_s, 2),
        dialled_s=None if dialled_s is None else round(dialled_s, 2),
        statuses=dict(statuses),
    )


def faults_of(ordeals: Sequence[Ordeal], calls: CallsVerdict, filed: Sequence[str], kept: set[str]) -> Iterator[str]:
    """Yield all broken promises: ``filed`` are the tasks that were acknowledged, ``kept`` those that the log has."""
    for ordeal in ordeals:
        yield from ordeal.faults
    yield from calls.faults
    if calls.lost:
        yield f"{calls.lost} tries were spent without a ring"
    if not filed:
        yield "no task was filed"
    if lost := [task for task in filed if task not in kept]:
        yield f"{len(lost)} acknowledged tasks are lost, such as {lost[0]}"


def show(ordeals: Sequence[Ordeal], calls: CallsVerdict, faults: Sequence[str], *, filed: int, as_json: bool) -> int:
    """Print the verdict: one JSON object, or lines for people; return 0 if every promise was kept."""
    if as_json:
        found = {
            "ordeals": msgspec.to_builtins(ordeals),
            "calls": msgspec.to_builtins(calls),
            "filed": filed,
            "faults": faults,
            "clean": not faults,
        }
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    for ordeal in ordeals:
        if ordeal.impossible:
            log(f"NOT TESTED: {ordeal.fault}: {ordeal.impossible}")
    log(f"{filed} tasks filed; most dials of a call: {calls.most_dials}")
    log(
        f"{calls.attempts} attempts, {calls.lost} tries spent without a ring, {calls.not_dialled} not dialled and free of"
        " charge"
    )
    for line in faults[:20]:
        log(f"FAULT {line}")
    log("NOT CLEAN" if faults else "clean")
    return 1 if faults else 0
