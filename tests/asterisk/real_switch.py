"""A real Asterisk and the phones behind it, as one thing to start and end."""

import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from tests.asterisk.phones import Phones
from tests.asterisk.server import Asterisk
from tests.asterisk.tree import Tree


class RealSwitch(msgspec.Struct, frozen=True):
    """A running Asterisk with its phones."""

    asterisk: Asterisk
    phones: Phones


@contextmanager
def real_switch(tree: Tree, *, talk_s: float = 1.0) -> Generator[RealSwitch]:
    """Yield both, on ports and in a folder of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        phones = Phones(tree, folder / "phones", talk_s=talk_s)
        stack.callback(phones.end)
        phones.start()
        asterisk = Asterisk(tree, folder / "switch", phones.port)
        stack.callback(asterisk.kill)  # an orderly stop may take 17 s when an id was sent twice
        asterisk.start()
        yield RealSwitch(asterisk, phones)
