"""Objects of the prepared process are not examined by garbage collection."""

import subprocess
import sys

_PROGRAM = """
import gc
from interfaces.processes.garbage_collection import limit_garbage_collection
kept = [[] for _ in range(1000)]
limit_garbage_collection()
print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000, gc.get_threshold()[0] > 10_000)
"""


def test_only_what_is_created_later_is_examined() -> None:
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "True True True\n"
