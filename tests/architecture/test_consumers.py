"""Each consumer of the log names the facts that it handles and the facts that it ignores; none is ignored silently."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from application import call_history
from domain.callback.events import CallbackFact
from domain.callback_queue.events import QueueFact
from domain.catalogue import FACTS, AnyFact
from domain.organization.events import OrganizationFact
from domain.task.events import TaskFact
from infrastructure.access_directory import projection as access_directory
from infrastructure.event_log.reader import Topics
from infrastructure.event_log.upcasters import UPCASTERS
from infrastructure.operations.subscribers import handlers
from infrastructure.subscriptions.handler import FactTypes, fact_types

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "infrastructure", "interfaces")
UNIONS = {
    "task/": fact_types(TaskFact),
    "organization/": fact_types(OrganizationFact),
    "queue/": fact_types(QueueFact),
    "callback/": fact_types(CallbackFact),
}
# One invented event is added to each union, to find the consumers that do not name it.
PLANTS = {
    "domain/task/events.py": "TaskFact",
    "domain/organization/events.py": "OrganizationFact",
    "domain/callback_queue/events.py": "QueueFact",
    "domain/callback/events.py": "CallbackFact",
}
MADE_UP = """

class MadeUp{union}(Fact, frozen=True, kw_only=True, tag="made_up.{union}.v1"):
    pass


{union} = {union} | MadeUp{union}
"""


def consumers() -> Mapping[str, tuple[FactTypes, FactTypes]]:
    """Return the facts that each consumer handles, and those that it ignores, by its name."""
    return {
        **{name: (handler.handled, handler.ignored) for name, handler in handlers().items()},
        "call_record": (fact_types(call_history.Handled), fact_types(call_history.Ignored)),
        "access_directory": (fact_types(access_directory.Handled), fact_types(access_directory.Ignored)),
    }


def unnamed() -> dict[str, list[str]]:
    """Return, for each consumer, the facts that it does not name, of the unions of which it names one."""
    return {
        name: sorted(fact.__name__ for fact in _followed(handled | ignored) if not _is_named(fact, handled | ignored))
        for name, (handled, ignored) in consumers().items()
    }


def _followed(named: FactTypes) -> FactTypes:
    unions = (union for union in UNIONS.values() if any(_is_named(fact, named) for fact in union))
    return frozenset().union(*unions)


def _is_named(fact: type, named: FactTypes) -> bool:
    return any(issubclass(fact, one) for one in named)


def test_each_consumer_names_every_fact_of_the_streams_that_it_follows() -> None:
    assert {name: facts for name, facts in unnamed().items() if facts} == {}


def test_no_consumer_both_handles_and_ignores_a_fact() -> None:
    assert [name for name, (handled, ignored) in consumers().items() if handled & ignored] == []


@pytest.mark.parametrize("name", handlers())
def test_a_handler_subscribes_to_what_it_names(name: str) -> None:
    handler = handlers()[name]
    match handler.subscription:
        case Topics(tags=tags):
            assert {FACTS[tag] for tag in tags & FACTS.keys()} == handler.handled
        case str() | tuple() as prefixes:
            streams = prefixes if isinstance(prefixes, tuple) else (prefixes,)
            followed = [union for stream, union in UNIONS.items() if stream.startswith(streams)]
            assert _followed(handler.handled | handler.ignored) == frozenset().union(*followed)


def test_the_unions_are_all_that_there_is() -> None:
    assert frozenset().union(*UNIONS.values()) == frozenset(get_args(AnyFact))


def test_an_upcaster_keeps_the_name_of_the_fact() -> None:
    # Subscriptions are derived from it: ``callback.delayed.v1`` is selected with ``callback.delayed.v2``.
    names = {tag.rpartition(".v")[0] for tag in FACTS}
    assert [tag for tag in UPCASTERS if tag.rpartition(".v")[0] not in names] == []


def test_a_made_up_event_lists_all_consumers_that_do_not_name_it(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "test_consumers.py").write_text(Path(__file__).read_text())
    for file, union in PLANTS.items():
        with (tmp_path / file).open("a") as source:
            source.write(MADE_UP.format(union=union))
    found = subprocess.run(
        [sys.executable, "-c", "import json, test_consumers; print(json.dumps(test_consumers.unnamed()))"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {
        name: [event for event in events if event.startswith("MadeUp")]
        for name, events in json.loads(found.stdout).items()
    }
    assert listed == {name: _made_up_events(handled | ignored) for name, (handled, ignored) in consumers().items()}
    assert listed["retry_callbacks"] == ["MadeUpCallbackFact"]
    assert listed["carry_out_callback_tasks"] == ["MadeUpCallbackFact", "MadeUpTaskFact"]
    assert listed["access_directory"] == ["MadeUpOrganizationFact"]
    assert listed["audit_trail"] == []  # it copies the envelopes of all facts


def _made_up_events(named: FactTypes) -> list[str]:
    """Return the made-up events that a consumer has to name: one for each union that it follows, if it names facts."""
    unions = [union for facts, union in zip(UNIONS.values(), PLANTS.values(), strict=True) if facts & named]
    return sorted(f"MadeUp{union}" for union in unions)


def test_no_match_over_facts_ends_silently() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in ROOT.glob(f"{package}/**/*.py")
        for line in silent_matches(path.read_text())
    }
    assert found == set()


_ARMS = "match fact:\n    case CallbackScheduled() | AttemptFailed(end=end):\n        pass\n"


@pytest.mark.parametrize("end", ["", "    case _:\n        pass", "    case _:\n        return None"])
def test_a_match_that_ends_silently_is_seen(end: str) -> None:
    assert [*silent_matches(_ARMS + end)] == [1]


def test_a_match_that_names_all_facts_passes() -> None:
    assert [*silent_matches(f"{_ARMS}    case _:\n        assert_never(fact)")] == []


def silent_matches(code: str) -> Iterator[int]:
    """Yield the lines of matches over facts whose last arm does not call ``assert_never``."""
    names = {fact.__name__ for fact in FACTS.values()}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Match):
            classes = (part.cls for case in node.cases for part in ast.walk(case) if isinstance(part, ast.MatchClass))
            over_facts = any(isinstance(one, ast.Name) and one.id in names for one in classes)
            if over_facts and "assert_never" not in ast.unparse(node.cases[-1].body[-1]):
                yield node.lineno
