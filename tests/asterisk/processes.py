"""Child processes: they end with their parent, and use ports that are free on this machine."""

import random
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PORTS = range(10_000, 20_000)  # below the ephemeral ports
_PATIENCE_S = 20.0
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def launch(command: Sequence[str | Path], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a folder; it is killed when the thread that started it ends."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process, and kill it when it does not end."""
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, and wait until it has ended."""
    process.kill()
    process.wait()


def free_port(*, together: int = 1) -> int:
    """Return the first of ``count`` consecutive ports that are free, by TCP and by UDP.

    They are this process's until it ends, also while what uses them is down: no other run of tests is given them.
    """
    while True:
        first = random.choice(_PORTS)
        ports = range(first, first + together)
        if all(map(_reserve, ports)) and all(is_free(port, kind) for port in ports for kind in _KINDS):
            return first


def _reserve(port: int) -> bool:
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0perezvon-test-port-{port}")  # in Linux's abstract namespace: no file, and gone with us
    except OSError:
        mark.close()
        return False
    mark.detach()
    return True


def is_free(port: int, kind: socket.SocketKind) -> bool:
    """Return whether a port of this machine's loopback address is free."""
    with socket.socket(type=kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
