"""Kill -9 of the worker and of a real Asterisk, and a cut link between them, with calls up: `./run chaos --asterisk`."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from random import Random

import msgspec
import psycopg
from msgspec.structs import replace

from domain.callback.events import CallbackScheduled
from infrastructure.postgres.migrations import migrate
from tests.asterisk.real_switch import real_switch
from tests.asterisk.tree import found
from tests.chaos.asterisk_verdict import History, ScenarioResult, Seen, judge
from tests.chaos.call_centre import CallCentre, call_centre
from tests.chaos.calls_verdict import left_behind
from tests.chaos.fault_scenarios import FAULT_SCENARIOS, FaultScenario
from tests.chaos.phones import planner
from tests.chaos.processes import CLI, Postgres, log, throw_away_folder
from tests.chaos.verdict import read_streams
from tests.support.waiting import eventually

_DIALS_AGAIN = ("-m", "tests.chaos.dials_again")
_PATIENCE_S = 30.0
_COLUMNS = ("callbacks", "up", "adopted", "ledger", "lost", "dialled", "twice", "back_after_s")


def main(*, runs: int, seed: int, dial_again: bool, as_json: bool) -> int:
    """Run each scenario ``runs`` times and print the results; return 0 if every promise held, 2 without Asterisk."""
    if (tree := found()) is None:
        log("there is no Asterisk: get it with ./run asterisk --fetch")
        return 2
    began, folder = time.monotonic(), throw_away_folder()
    postgres = Postgres(folder)
    postgres.start()
    migrate(postgres.dsn)
    program = _DIALS_AGAIN if dial_again else CLI
    with real_switch(tree) as real, call_centre(real, postgres.dsn, folder, program) as centre:
        found_each = [*go_through(centre, runs, Random(seed))]
    faults = [fault for one in found_each for fault in one.faults]
    show(found_each, faults, seconds=time.monotonic() - began, as_json=as_json)
    return 1 if faults else 0


def go_through(centre: CallCentre, runs: int, random: Random) -> Iterator[ScenarioResult]:
    """Run the scenarios in turn, and yield the result of each."""
    people = planner()
    for number in range(1, runs + 1):
        for scenario in FAULT_SCENARIOS.values():
            one = undergo(centre, scenario(centre, people, random))
            log(f"{number:3} {line_of(one)}")
            yield one


def undergo(centre: CallCentre, scenario: FaultScenario) -> ScenarioResult:
    """Wait until every callback has finished, and judge."""
    centre.over()
    comments = eventually(lambda: comments_of(centre, scenario.queues), timeout=_PATIENCE_S)
    wanted = {one.a for one in scenario.people}
    rung: dict[str, list[float]] = {}
    for invite in centre.phones.invites():
        rung.setdefault(invite.number, []).append(invite.at)
    histories = {a: history for a, history in histories_of(centre.dsn).items() if a in wanted}
    verdict = judge(scenario, Seen(histories=histories, comments=comments, rung=rung, rows=centre.ledger()))
    with psycopg.connect(centre.dsn) as connection:
        return replace(verdict, faults=[*verdict.faults, *left_behind(connection)])


def comments_of(centre: CallCentre, queues: Iterable[int]) -> dict[str, str | None]:
    """Return the finish comment of each callback by A's number; empty until all have finished."""
    comments = {a: comment for queue in queues for a, comment in centre.desk.comments(queue).items()}
    return {} if None in comments.values() else comments


def histories_of(dsn: str) -> dict[str, History]:
    """Return the recorded history of each callback, by A's number."""
    found_at: dict[str, History] = {}
    for history in read_streams(dsn, "callback/").values():
        scheduled = history[0].fact
        assert isinstance(scheduled, CallbackScheduled)
        found_at[scheduled.personal.a_number] = history
    return found_at


def show(found_each: Sequence[ScenarioResult], faults: Sequence[str], *, seconds: float, as_json: bool) -> None:
    """Print the verdict: one JSON object, or lines for people."""
    if as_json:
        ordeals = [msgspec.to_builtins(one) for one in found_each]
        verdict = {"ordeals": ordeals, "faults": faults, "seconds": round(seconds, 1), "clean": not faults}
        sys.stdout.write(json.dumps(verdict, ensure_ascii=False) + "\n")
        return
    for line in faults[:20]:
        log(f"FAULT {line}")
    log(f"dialled twice: {sum(one.twice for one in found_each)}")
    log(f"{'NOT CLEAN' if faults else 'clean'}, after {seconds:.0f} s")


def line_of(one: ScenarioResult) -> str:
    """Return the result as a line for people."""
    return f"{one.kind:14} " + " ".join(f"{name} {getattr(one, name):<4}" for name in _COLUMNS)
