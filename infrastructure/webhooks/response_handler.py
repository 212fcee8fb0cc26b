"""Responses whose status counts even if the body is malformed."""

import re
from typing import Any

from aiohttp.client_proto import ResponseHandler

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LONGEST_END = 3
_FIRST_FINAL_STATUS = 200


class StatusFirstHandler(ResponseHandler):
    """Hands the status and headers over before the parser sees the body.

    aiohttp's parser raises for a whole segment, so that a 204 with a body, or a bad chunk, would hide the status that
    arrived with it. Here the error ends the body only.
    """

    _has_status = False
    _last = b""

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next response."""
        self._has_status, self._last = False, b""
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take a parsed head; after one of the status 1xx another follows."""
        self._has_status = data[0].code >= _FIRST_FINAL_STATUS
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes up to the end of the head, then the rest."""
        while not self._has_status and (end := _END_OF_HEAD.search(self._last + data)):
            head = end.end() - len(self._last)
            self._last = b""
            super().data_received(data[:head])
            data = data[head:]
            if self.exception() or not data:
                return
        if not self._has_status:
            self._last = (self._last + data)[-_LONGEST_END:]
        super().data_received(data)
