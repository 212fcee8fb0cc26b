"""Code and pages use standard technical English, and each rule of the check is seen to close."""

from pathlib import Path

import pytest

from tests.language.docstrings import STARTERS, VERBS, check_docstrings
from tests.language.phrases import ALLOWANCES, PHRASES, is_allowed
from tests.language.references import check_references
from tests.language.repository import ROOT, check_repository, check_source


def test_the_repository_uses_standard_technical_english() -> None:
    assert [*map(str, check_repository([ROOT]))] == []


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Answer the queue."""\n',
        'def f():\n    """The queue."""\n',
        'async def f():\n    """Whether it runs."""\n',
        'class A:\n    @property\n    def f(self):\n        """Whether it runs."""\n',
        'class A:\n    """What is read of queues."""\n',
        'class A:\n    """Hears what comes in."""\n',
        'class A:\n    def __init__(self):\n        """``clock`` answers seconds."""\n',
        '"""Who asks, and whether they may."""\n',
        '"""Of each call."""\n',
        '@group.command("list")\ndef f():\n    """How queues stand."""\n',
        'def test_f():\n    """There is a queue."""\n',
    ],
)
def test_a_docstring_with_a_vague_start_is_refused(source: str) -> None:
    assert [*check_docstrings("a.py", source)] != []


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return the queue."""\n',
        'def f():\n    """Lease, dial, record."""\n',
        'def f():\n    """Connect."""\n',
        'class A:\n    @property\n    def f(self):\n        """The number of open calls."""\n',
        'class A:\n    @cached_property\n    def f(self):\n        """Return the number of open calls."""\n',
        '@group.command("list")\ndef f():\n    """Members: the people of an organisation."""\n',
        '@click.group()\ndef f():\n    """Operators of an organisation."""\n',
        '"""Whenever an attempt fails, schedule the next one."""\n',
        '"""Read models of callback queues: list, callbacks, live board."""\n',
        "def f():\n    return 1\n",
    ],
)
def test_a_plain_docstring_is_accepted(source: str) -> None:
    assert [*check_docstrings("a.py", source)] == []


def test_no_word_is_a_verb_and_a_vague_start() -> None:
    assert VERBS.isdisjoint(STARTERS)


@pytest.mark.parametrize(
    "words",
    [
        "refused, for it is not the version that stands",
        "the queue as it stands",
        "whoever waits is told",
        "what became of the call",
        "the switch is away",
        "while Postgres is away",
        "nobody else leads",
        "until it is over, then",
        "what is asked for\n    at the same time",
        "somebody was faster",
        "one bad event holds up others",
        "Postgres is at fault",
        "a lock in the hands of another",
        "is left alone for 30 s",
        "it tells its position",
        "heard before",
        "answers None at the end",
        "is answered with 409",
        "start at most so many",
        "made anew",
        "kept for ever",
        "through the door",
    ],
)
def test_a_banned_phrase_is_refused(words: str) -> None:
    found = check_source("a.py", f'"""Example.\n\n    {words}\n    """\n')
    assert [finding for finding in found if finding.rule == "phrase"] != []


@pytest.mark.parametrize(
    "words",
    [
        "an outdoor phone that is answered by a person",
        "AMI stands for Asterisk Manager Interface",
        "a hot standby stands by",
        "tell two retries apart",
        "the caller hears ringing",
        "the call was answered after 3 s",
        "over the connection; requests are retried over HTTP",
        "it is over 4 MB",
        "so many writers that commits are batched",
        "the identifier ``told`` and the table `answers`",
        "a dead letter",
        "the `nobody` user",
    ],
)
def test_technical_english_is_accepted(words: str) -> None:
    assert check_source("a.py", f'"""Example.\n\n    {words}\n    """\n') == []


@pytest.mark.parametrize(
    ("path", "source", "line"),
    [
        ("a.py", "x = 1\ny = 2  # as it stands\n", 2),
        ("a.py", "# one line\n# and what became\n# of it\n", 2),
        ("a.py", "x = (\n    'first '\n    'what became of it'\n)\n", 2),
        ("a.py", "x = f'{y} is told of it'\n", 1),
        ("a.py", "# What waits in a queue: sorted by time.\n", 1),
        ("run", "#!/usr/bin/env python3\nx = 'ask somebody'\n", 2),
        ("infrastructure/a.sql", "SELECT 1; -- left alone\n", 1),
        ("docs/asterisk/a.conf", "x=1\n; whoever asks\n", 2),
        ("examples/a.ts", "const url = 'https://nobody';\n/** Files tasks.\n * Told of calls. */\n", 3),
        ("examples/a.ts", "f(); // as it stands\n", 1),
        ("docs/a.md", "# Title\n\nIt is left\nalone.\n", 3),
        ("interfaces/a/docs.html", "<p>\nnobody\n", 2),
        ("interfaces/api/a.py", "# the answer is JSON\n", 1),
    ],
)
def test_each_kind_of_text_is_read_and_the_line_is_named(path: str, source: str, line: int) -> None:
    assert [(finding.path, finding.line) for finding in check_source(path, source)] == [(path, line)]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "nobody = getpwnam('nobody')\n"),
        ("a.py", "# Which index is used?\n# What does a page cost?\n"),
        ("a.sql", "SELECT nobody FROM told;\n"),
        ("gateways/a.py", "# the answer is delayed\n"),
    ],
)
def test_identifiers_and_questions_are_accepted(path: str, source: str) -> None:
    assert check_source(path, source) == []


def test_each_phrase_suggests_something_and_each_allowance_says_why() -> None:
    assert all(phrase.suggestion for phrase in PHRASES)
    assert all(len(allowance.reason.split()) >= 5 for allowance in ALLOWANCES)


def test_an_allowance_holds_for_its_files_and_words_only() -> None:
    assert is_allowed("docs/adr/0001-one-door-into-the-log.md", "the door")
    assert not is_allowed("docs/adr/0001-one-door-into-the-log.md", "nobody")
    assert not is_allowed("docs/adr/0002-access-is-written-inline.md", "the door")


@pytest.mark.parametrize(
    "line",
    [
        "the use cases of tasks (contract 1)",
        "contracts 1 and 2",
        "Contract 2 is served",
        "how a call ended (telephony, Outcomes)",
        "see telephony §4",
        "its counts (design.md §5)",
        "decoded strictly (http.md §2)",
        "lanes (webhooks.md, Tables)",
        "telephony.md has the table",
        "../shared/notes",
        "as docs/missing.md explains",
        "as docs/adr/9999-missing.md explains",
        "as docs/adr/9999 explains",
        "[the page](missing.md)",
    ],
)
def test_a_text_that_is_not_in_the_repository_is_refused(tmp_path: Path, line: str) -> None:
    assert [finding.line for finding in check_references("docs/page.md", f"\n{line}\n", tmp_path)] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "docs/webhooks.md, Signatures",
        "[webhooks.md](webhooks.md#signatures)",
        "[the decision](adr/0001-first.md)",
        "docs/adr/0001 and docs/adr/0001-first.md.",
        "docs/adr/NNNN-….md is a pattern",
        "https://example.com/docs/other.md",
        "[section](#section), [site](https://example.com)",
        "a contract with 2 parties about telephony, and its design",
    ],
)
def test_a_text_of_the_repository_is_accepted(tmp_path: Path, line: str) -> None:
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/webhooks.md").touch()
    (tmp_path / "docs/adr/0001-first.md").touch()
    assert [*check_references("docs/page.md", line, tmp_path)] == []
