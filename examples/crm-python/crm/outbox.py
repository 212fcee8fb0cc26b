"""The outbox: a loop that sends pending requests from the table to perezvon, and continues after `kill -9`."""

import logging
from random import uniform
from threading import Event
from time import sleep

from .customers import Customer, Customers, State
from .perezvon import Perezvon, RequestRefused, TryLater

LONGEST_PAUSE_S = 60

log = logging.getLogger("crm.outbox")


class Outbox:
    """The sender of pending requests: one at a time, in the order of the customers."""

    def __init__(self, customers: Customers, perezvon: Perezvon) -> None:
        """Prepare; `run` starts to send."""
        self._customers = customers
        self._perezvon = perezvon
        self._wake = Event()

    def wake(self) -> None:
        """Notify the loop that the table has changed. Any thread may call it."""
        self._wake.set()

    def run(self) -> None:
        """Send forever. An unexpected exception ends the program, so that its supervisor restarts it."""
        failures = 0
        while True:
            self._wake.clear()
            try:
                while customer := self._customers.next_unfinished():
                    self._take_next_step(customer)
                    failures = 0
            except TryLater as later:
                pause = _pause_s(failures, later.retry_after_s)
                failures += 1
                log.warning("perezvon: %s; trying again in %.1f s", later, pause)
                sleep(pause)
            else:
                self._wake.wait()

    def _take_next_step(self, customer: Customer) -> None:
        try:
            if customer.state != State.PENDING:
                self._close_task(customer)
            elif customer.task_id is None:
                self._customers.record_task(customer.id, self._perezvon.file_task(customer))
            else:
                self._customers.record_callback(customer.id, self._perezvon.place_callback(customer))
        except RequestRefused as refusal:
            log.warning("customer %s was refused: %s", customer.id, refusal)
            self._customers.record_refusal(customer.id, str(refusal))

    def _close_task(self, customer: Customer) -> None:
        try:
            self._perezvon.close_task(str(customer.task_id), customer.state, customer.reason)
        except RequestRefused as refusal:
            log.warning("the task of customer %s stays open: %s", customer.id, refusal)
        self._customers.record_task_closed(customer.id)


def _pause_s(failures: int, retry_after_s: float | None) -> float:
    """Return seconds to wait: as perezvon requests, else exponential backoff, both with jitter."""
    backoff = min(LONGEST_PAUSE_S, 2**failures) * uniform(0.5, 1)  # noqa: S311 - jitter is no cryptography
    return backoff if retry_after_s is None else retry_after_s + uniform(0, 0.2)  # noqa: S311 - as above
