"""Listening sockets of the API."""

import socket


class CannotListen(Exception):
    """The process cannot listen on an address; the message gives the reason."""

    code = "cannot_listen"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any free port.

    Raises CannotListen when the port is in use, the host is not an address of this machine, or permission is missing.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = error.strerror or error
        raise CannotListen(
            f"Cannot listen on {host} port {port}: {why}. Choose another with --host and --port."
        ) from error


def adopt(descriptor: int) -> socket.socket:
    """Return the listening socket that the parent process passed on. Raises CannotListen."""
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise CannotListen(f"File descriptor {descriptor} is not a socket: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """Return the URL at which this machine reaches the socket."""
    bound: tuple[str, int] = listener.getsockname()[:2]
    host, port = bound
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
