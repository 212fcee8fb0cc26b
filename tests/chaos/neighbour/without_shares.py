"""A build in which one organisation may take every place: `./run chaos --neighbour --without-shares` must find it out."""

import sys
from collections.abc import Hashable

from application.fair_share import FairShare
from interfaces.cli import main


def everything_that_is_free(self: FairShare, owner: Hashable) -> int:
    """Return all free places, although the owner holds some already."""
    return self.free


if __name__ == "__main__":
    FairShare.room = everything_that_is_free
    sys.exit(main())
