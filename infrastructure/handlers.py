"""All that follow the log."""

from infrastructure.policies import POLICIES, policies
from infrastructure.policy import Handler
from infrastructure.projections import PROJECTIONS

HANDLERS = (*PROJECTIONS, *POLICIES)
"""The names of all projections and policies."""


def handlers() -> dict[str, Handler]:
    """Answer all projections and policies by name, to run on one database."""
    return {**PROJECTIONS, **policies()}
