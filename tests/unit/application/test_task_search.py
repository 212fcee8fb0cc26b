"""The filter of a task search: permissions and normalisation."""

from typing import Any, cast

import pytest

from application.callers import Caller
from application.errors import Forbidden, OrganizationNotFound
from application.ports.directory import Directory, OrganizationRow
from application.queries.task_list import TaskListFilter
from application.task_search import search_filter
from domain.errors import InvalidField
from domain.organization.events import Settings
from domain.permissions import Role
from domain.task.task import Status
from tests.support.histories import START

pytestmark = pytest.mark.anyio


class OneOrganization:
    """A directory with one organisation at most."""

    def __init__(self, region: str | None) -> None:
        self.region = region
        self.looked_up = 0

    async def organization(self, organization_id: int) -> OrganizationRow | None:
        self.looked_up += 1
        if self.region is None:
            return None
        return OrganizationRow(id=organization_id, name="Acme", created_at=START, settings=Settings(region=self.region))


async def asked(requested: TaskListFilter, role: Role = Role.AGENT, directory: Any = None) -> TaskListFilter:
    caller = Caller(organization_id=1, token_id="t", role=role)
    return await search_filter(requested, caller, cast("Directory", directory or OneOrganization("KZ")))


@pytest.mark.parametrize(
    "requested", [TaskListFilter(search="x"), TaskListFilter(search=""), TaskListFilter(caller_phone="1")]
)
async def test_who_may_not_read_personal_data_may_not_search_in_it(requested: TaskListFilter) -> None:
    with pytest.raises(Forbidden):
        await asked(requested, Role.ANALYST)


async def test_every_other_filter_is_open_to_who_may_list() -> None:
    requested = TaskListFilter(status=Status.FAILED, include_cancelled=True, assigned_user_id="m1")
    assert await asked(requested, Role.ANALYST) == requested


async def test_an_empty_search_is_none() -> None:
    assert (await asked(TaskListFilter(search=""))).search is None
    assert (await asked(TaskListFilter(search="x"))).search == "x"


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("KZ", "8 701 123 45 67", "+77011234567"),
        ("DE", "030 123456", "+4930123456"),
        ("DE", "+77011234567", "+77011234567"),
    ],
)
async def test_a_number_is_searched_for_as_it_is_stored(region: str, text: str, number: str) -> None:
    found = await asked(TaskListFilter(caller_phone=text), directory=OneOrganization(region))
    assert found.caller_phone == number


async def test_what_is_no_number_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidField) as refusal:
        await asked(TaskListFilter(caller_phone="12"))
    assert refusal.value.field == "caller_phone"


async def test_a_number_of_an_unknown_organisation_is_not_found() -> None:
    with pytest.raises(OrganizationNotFound):
        await asked(TaskListFilter(caller_phone="12"), directory=OneOrganization(None))


async def test_without_a_number_nothing_is_looked_up() -> None:
    directory = OneOrganization("KZ")
    await asked(TaskListFilter(search="x"), directory=directory)
    assert directory.looked_up == 0
