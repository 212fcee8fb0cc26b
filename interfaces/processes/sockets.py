"""Listening sockets of the API."""

import socket

_BACKLOG = 2048


class CannotListen(Exception):
    """The process cannot listen on an address; the message gives the reason."""

    code = "cannot_listen"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any free port.

    Raises CannotListen when the port is in use, the host is not an address of this machine, or permission is missing.
    """
    reserved = reserve(host, port)
    try:
        reserved.listen(_BACKLOG)
    except OSError as error:
        reserved.close()
        raise _cannot_listen(host, port, error) from error
    return reserved


def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that is bound as ``listen`` does; clients are refused until it listens, instead of waiting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise _cannot_listen(host, port, error) from error
    return made


def _cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    why = error.strerror or error
    return CannotListen(f"Cannot listen on {host} port {port}: {why}. Choose another with --host and --port.")


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
