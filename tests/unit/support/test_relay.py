"""The relay between the service and a server."""

import socket

from tests.support.relay import Relay


def test_a_client_sees_that_a_server_closed_with_input_unread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = Relay(f"host=127.0.0.1 port={server.getsockname()[1]}")
        relay.open()
        client = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
        behind, _ = server.accept()
        client.sendall(b"never read")
        arrived = behind.recv(1, socket.MSG_PEEK)
        behind.close()
        assert (arrived, client.recv(1)) == (b"n", b"")
        client.close()
        relay.shut()
