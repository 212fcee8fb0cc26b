"""All subscribers of the log: projections and policies."""

from infrastructure.policies.registry import POLICIES, policies
from infrastructure.read_models.registry import PROJECTIONS, VIEWS
from infrastructure.subscriptions.handler import Handler

HANDLERS = VIEWS | POLICIES
"""The summary of each projection and policy, one line for the command line, by its name."""


def handlers() -> dict[str, Handler]:
    """Return all projections and policies by name, to run on one database."""
    return {**PROJECTIONS, **policies()}
