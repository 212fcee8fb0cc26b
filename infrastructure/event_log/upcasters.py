"""Old shapes of facts, converted to the present ones when they are read; what is stored never changes."""

from collections.abc import Callable

Upcaster = Callable[[bytes], tuple[str, bytes]]

UPCASTERS: dict[str, Upcaster] = {}
"""For each old tag: a function from its stored JSON to the present tag and JSON."""
