"""Responses whose status counts even if the rest is malformed."""

import re
from typing import Any

from aiohttp.client_proto import ResponseHandler

from infrastructure.webhooks.outgoing_request import CURRENT, OutgoingRequest

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LONGEST_END = 3
_SUCCESS = re.compile(rb"HTTP/1\.[01] (2[0-9][0-9])[ \r\n]")
_STATUS_BYTES = len(b"HTTP/1.1 200 ")
_FIRST_FINAL_STATUS = 200


class StatusFirstHandler(ResponseHandler):
    """Hands the status and headers over before the parser sees the body, and a status 2xx before it sees the headers.

    aiohttp's parser raises for a whole segment, so that a 204 with a body, a bad chunk or a malformed header would hide the
    status that arrived with it. Here the error ends the body only; the sender finds a status 2xx at its request.
    """

    _request: OutgoingRequest | None = None
    _has_status = False
    _start = _last = b""

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the response to the request of the current task."""
        self._request = CURRENT.get()
        self._has_status, self._start, self._last = False, b"", b""
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take a parsed head; after one of the status 1xx another follows."""
        self._has_status = data[0].code >= _FIRST_FINAL_STATUS
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes up to the end of the head, then the rest."""
        while not self._has_status and (end := _END_OF_HEAD.search(self._last + data)):
            head = end.end() - len(self._last)
            self._note_success(data[:head])
            self._start = self._last = b""
            super().data_received(data[:head])
            data = data[head:]
            if self.exception() or not data:
                return
        if not self._has_status:
            self._note_success(data)
            self._last = (self._last + data)[-_LONGEST_END:]
        super().data_received(data)

    def _note_success(self, data: bytes) -> None:
        if len(self._start) < _STATUS_BYTES:
            self._start += data[:_STATUS_BYTES]
            if self._request and (found := _SUCCESS.match(self._start)):
                self._request.succeeded_with = int(found[1])
