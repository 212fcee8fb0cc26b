"""Start the CRM: `python -m crm`."""

import logging
import os
import sys
from threading import Thread

from .config import SettingInvalid, read_config
from .customers import Customers
from .outbox import Outbox
from .perezvon import Perezvon
from .server import make_server

log = logging.getLogger("crm")


def main() -> None:
    """Serve requests in threads, and run the outbox in this thread.

    No cleanup runs at exit: everything is committed before it is confirmed, so that `kill -9` loses nothing.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = read_config(os.environ)
    except SettingInvalid as error:
        sys.exit(str(error))
    customers = Customers(config.database)
    outbox = Outbox(customers, Perezvon(config))
    server = make_server(config, customers, outbox)
    Thread(target=server.serve_forever, daemon=True).start()
    log.info("ready http://%s:%d", config.host, config.port)
    outbox.run()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
