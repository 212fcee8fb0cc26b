"""Which numbers the phones of a callback show as the caller's."""

from domain.limits import EXTENSION_MAX

"""A number of so many digits or fewer is an extension of the call centre's own."""


def caller_ids(a_number: str, b_number: str, own: str | None) -> tuple[str, str]:
    """Answer what A sees and what B sees. ``own`` is the number that the organisation shows, if it set one.

    B sees it, else A's number. An extension on leg A sees with whom it will speak; any other phone sees what B sees,
    for carriers refuse numbers that are not their customer's. Without a number of its own the organisation shows A B's.
    """
    if own is None or len(a_number) <= EXTENSION_MAX:
        return b_number, own or a_number
    return own, own
