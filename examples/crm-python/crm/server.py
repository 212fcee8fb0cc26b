"""HTTP server: `POST /customers`, `GET /customers`, `POST /webhooks`."""

import json
import logging
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .config import Config
from .customers import Customers
from .outbox import Outbox
from .webhooks import WebhookForged, verify

LARGEST_BODY = 64 * 1024

log = logging.getLogger("crm.server")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class RequestInvalid(Exception):
    """A request is invalid; the response has this status and text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        """Store the status; `text` says what is wrong."""
        super().__init__(text)
        self.status = status


def make_server(config: Config, customers: Customers, outbox: Outbox) -> ThreadingHTTPServer:
    """Return a listening server; `serve_forever` starts it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 15  # seconds for which a slow client may occupy a thread

        def do_GET(self) -> None:
            if self.path == "/customers":
                self._respond(HTTPStatus.OK, [asdict(customer) for customer in customers.all()])
            else:
                self._respond(HTTPStatus.NOT_FOUND, {"error": "not found"})

        def do_POST(self) -> None:
            try:
                if self.path == "/customers":
                    self._add_customer(self._body())
                elif self.path == "/webhooks":
                    self._receive_webhook(self._body())
                else:
                    self._respond(HTTPStatus.NOT_FOUND, {"error": "not found"})
            except RequestInvalid as error:
                self._respond(error.status, {"error": str(error)})

        def _add_customer(self, body: bytes) -> None:
            try:
                fields = json.loads(body)
                name, phone = fields["name"], fields["phone"]
            except (ValueError, KeyError, TypeError) as error:
                raise RequestInvalid(HTTPStatus.BAD_REQUEST, "name and phone are expected, as JSON") from error
            if not (isinstance(name, str) and isinstance(phone, str)):
                raise RequestInvalid(HTTPStatus.BAD_REQUEST, "name and phone must be strings")
            customer = customers.add(name, phone)
            outbox.wake()
            self._respond(HTTPStatus.CREATED, asdict(customer))

        def _receive_webhook(self, body: bytes) -> None:
            """Commit the webhook, then respond: perezvon repeats unconfirmed ones. The outbox does the slow work."""
            try:
                webhook = verify(config.webhook_secret, dict(self.headers.items()), body)
            except WebhookForged as error:
                log.warning("webhook refused: %s", error)
                raise RequestInvalid(HTTPStatus.UNAUTHORIZED, "the signature or the time is wrong") from error
            if customers.record_webhook(webhook):
                outbox.wake()
            self._respond(HTTPStatus.NO_CONTENT)

        def _body(self) -> bytes:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                raise RequestInvalid(HTTPStatus.LENGTH_REQUIRED, "Content-Length is required")
            if int(length) > LARGEST_BODY:
                raise RequestInvalid(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY} bytes are allowed")
            return self.rfile.read(int(length))

        def _respond(self, status: HTTPStatus, content: Any = None) -> None:
            body = b"" if content is None else json.dumps(content, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it
            log.debug(format, *args)

    return _Server((config.host, config.port), Handler)
