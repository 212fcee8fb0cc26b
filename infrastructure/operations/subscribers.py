"""All that follow the log."""

from infrastructure.policies.registry import POLICIES, policies
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.subscriptions.handler import Handler

HANDLERS = (*PROJECTIONS, *POLICIES)
"""The names of all projections and policies."""


def handlers() -> dict[str, Handler]:
    """Answer all projections and policies by name, to run on one database."""
    return {**PROJECTIONS, **policies()}
