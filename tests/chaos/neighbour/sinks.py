"""A process that accepts requests on every address of this machine and never responds; it prints its port."""

import asyncio
import resource

from interfaces.processes.parent_watch import end_with_parent


class Sink(asyncio.Protocol):
    """A protocol that reads and forgets."""


async def main() -> None:
    """Listen until killed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = await asyncio.get_running_loop().create_server(Sink, "0.0.0.0", 0, backlog=4096)  # noqa: S104 - on all of 127.0.0.0/8
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(main())
