"""A relay to a server that can be closed, opened and silenced: the server becomes unreachable without being stopped."""

import socket
import threading
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Relay:
    """A relay to the server of an address or of a Postgres connection string; closed until `open` is called."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._host, self._server_port = str(parts["host"]), int(str(parts.get("port", "5432")))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._carries: list[threading.Event] = []
        self._is_silent = False
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self.port)

    def open(self) -> None:
        self._is_silent = False
        listener = socket.create_server(("127.0.0.1", self.port))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def lead_to(self, other: "Relay") -> None:
        """Lead new connections to the server of another relay."""
        self._host, self._server_port = other._host, other._server_port

    def shut(self) -> None:
        """Refuse connections from now on, and cut the existing ones."""
        while self._sockets:
            with suppress(OSError), self._sockets.pop() as one:
                one.shutdown(socket.SHUT_RDWR)

    def silence(self, *, also_new: bool = False) -> None:
        """Carry no more data over the existing connections, which stay open; new ones work, or are silent too."""
        self._is_silent = also_new
        while self._carries:
            self._carries.pop().clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = self._to_server()
                except OSError:  # the server is unreachable, as its own clients would see it
                    client.close()
                    continue
                self._sockets += (client, server)
                carries = threading.Event()
                if not self._is_silent:
                    carries.set()
                self._carries.append(carries)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(*pair, carries), daemon=True).start()

    def _to_server(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._server_port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._server_port}")
        return server


def _pump(source: socket.socket, target: socket.socket, carries: threading.Event) -> None:
    try:
        while data := source.recv(65536):
            if carries.is_set():
                target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # a server that closes with input unread resets the connection: the other side must see that too
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
