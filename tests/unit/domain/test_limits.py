"""Limits of an organisation: the deployment's, or its own."""

import pytest

from domain.errors import InvalidField, LimitReached
from domain.organization.limits import LIMIT_NAMES, Limits, check_own_limits


def test_an_own_limit_replaces_the_deployments_lower_or_higher() -> None:
    deployment = Limits(queues=10, waiting=10)
    assert deployment.with_own({}) == deployment
    assert deployment.with_own({"queues": 3, "waiting": 99}) == Limits(queues=3, waiting=99)


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_what_exceeds_a_limit_is_refused_by_name_and_number(name: str) -> None:
    limits = Limits(**{name: 5})
    limits.require_room(name, 4)
    limits.require_room(name, 0, 5)
    with pytest.raises(LimitReached, match=f"`{name}` of the organisation is 5, and 4 are in use") as refused:
        limits.require_room(name, 4, 2)
    assert (refused.value.code, refused.value.name, refused.value.limit) == ("limit_reached", name, 5)


@pytest.mark.parametrize(
    ("own", "field"),
    [
        ({"cows": 1}, "limits"),
        ({"waiting": -1}, "limits.waiting"),
        ({"organization_rate": 0}, "limits.organization_rate"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(own: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_own_limits(own)
    assert refused.value.field == field


def test_a_limit_may_be_none_of_anything() -> None:
    check_own_limits({"waiting": 0, "tokens": 10**9})
