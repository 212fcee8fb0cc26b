"""Old shapes of facts, brought up to date when they are read; what is stored never changes."""

from collections.abc import Callable

Upcaster = Callable[[bytes], tuple[str, bytes]]

UPCASTERS: dict[str, Upcaster] = {}
"""For each old tag: from its stored JSON to the tag and the JSON that stand for it now."""
