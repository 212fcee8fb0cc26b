"""Caller ids: the numbers that the phones of a callback show as the caller's."""

from application.phones import split_extension
from domain.limits import EXTENSION_MAX


def caller_ids(a_number: str, b_number: str, own: str | None) -> tuple[str, str]:
    """Return the numbers that A and B see. ``own`` is the caller id of the organisation, if it is set.

    B sees ``own``, else A's number. An extension on leg A, a number of at most EXTENSION_MAX digits, sees B's number. Any
    other phone on leg A sees ``own``, because carriers reject numbers that are not their customer's; without ``own`` it
    sees B's number. No phone sees the extension behind a number.
    """
    (a_number, _), (b_number, _) = split_extension(a_number), split_extension(b_number)
    if own is None or len(a_number) <= EXTENSION_MAX:
        return b_number, own or a_number
    return own, own
