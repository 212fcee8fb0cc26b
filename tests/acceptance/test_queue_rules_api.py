"""``/v1/queues/{queue_id}/rules``: calling rules of a queue, beyond docs/contracts/task_scheduler.md."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.permissions import Role
from tests.support.office import QUEUES, Office
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

POLICY = {
    "outcomes": {"busy": {"retry": True, "pause": 180}, "invalid_number": {"retry": False, "pause": None}},
    "jitter_percent": 15,
    "free_congestions": 20,
}
NO_POLICY = {"outcomes": {}, "jitter_percent": 0, "free_congestions": 0}
OTHER = {**NO_POLICY, "jitter_percent": 5}
OF_THE_CONTRACT = {"retry_policy": NO_POLICY, "source": "contract"}
NONE = {"retry_policy": None, "client_leg": None}


async def rules_of_new_queue(office: Office) -> str:
    """Create a queue and return the path of its rules."""
    return f"/v1/queues/{(await office.create_queue()).rpartition('/')[2]}/rules"


async def put(office: Office, path: str, rules: Any) -> httpx.Response:
    return await office.client.put(path, json=rules, headers=office.admin)


async def chosen(office: Office, path: str, **rules: Any) -> dict[str, Any]:
    response = await put(office, path, {**NONE, **rules})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_queue_that_chose_nothing_calls_as_the_contract_has_it(office: Office) -> None:
    response = await office.get(await rules_of_new_queue(office))
    assert (response.status_code, response.json()) == (200, {**NONE, "effective": OF_THE_CONTRACT})


async def test_rules_are_chosen_whole_and_answered_as_they_are(office: Office) -> None:
    path = await rules_of_new_queue(office)
    least = {"outcomes": {"busy": {"pause": 180}, "invalid_number": {"retry": False}}}
    given = {**least, "jitter_percent": 15, "free_congestions": 20}
    response = await put(office, path, {"retry_policy": given, "client_leg": "b"})
    own = {"retry_policy": POLICY, "client_leg": "b", "effective": {"retry_policy": POLICY, "source": "queue"}}
    assert (response.status_code, response.json()) == (200, own)
    shown = await office.get(path)
    assert shown.json() == own
    assert shown.headers["Perezvon-Position"] == response.headers["Perezvon-Position"]
    assert await chosen(office, path, client_leg="a") == {**NONE, "client_leg": "a", "effective": OF_THE_CONTRACT}


async def test_the_policy_that_the_documentation_advises_is_taken(office: Office) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    (advised,) = re.findall(r"/rules\".*?--json '(.*?)'\n", page, re.DOTALL)
    response = await put(office, await rules_of_new_queue(office), json.loads(advised))
    assert response.status_code == 200, response.text
    assert response.json()["effective"]["source"] == "queue"


async def test_the_same_rules_again_record_nothing(office: Office) -> None:
    path = await rules_of_new_queue(office)
    responses = [await put(office, path, {"retry_policy": POLICY, "client_leg": None}) for _ in range(2)]
    assert len({response.headers["Perezvon-Position"] for response in responses}) == 1
    assert responses[0].json() == responses[1].json()


async def test_what_is_in_force_is_the_queues_else_the_organisations_else_the_contracts(office: Office) -> None:
    path = await rules_of_new_queue(office)

    async def in_force() -> Any:
        return (await office.get(path)).json()["effective"]

    async def default(policy: Any) -> None:
        settings = {"retry_policy": policy}
        response = await office.client.patch("/v1/organization/settings", json=settings, headers=office.admin)
        assert response.json()["retry_policy"] == policy

    await default(OTHER)
    assert await in_force() == {"retry_policy": OTHER, "source": "organization"}
    await chosen(office, path, retry_policy=POLICY)
    assert await in_force() == {"retry_policy": POLICY, "source": "queue"}
    await chosen(office, path, retry_policy={})
    assert await in_force() == {"retry_policy": NO_POLICY, "source": "queue"}
    await chosen(office, path)
    assert await in_force() == {"retry_policy": OTHER, "source": "organization"}
    await default(None)
    assert await in_force() == OF_THE_CONTRACT


@pytest.mark.parametrize(
    ("rules", "pointers"),
    [
        ({}, ["/retry_policy", "/client_leg"]),
        ({"client_leg": "b"}, ["/retry_policy"]),
        ({**NONE, "client_leg": "c"}, ["/client_leg"]),
        ({**NONE, "slots": 5}, ["/slots"]),
        ({**NONE, "retry_policy": []}, ["/retry_policy"]),
        ({**NONE, "retry_policy": {"jitter_percent": 21}}, ["/retry_policy/jitter_percent"]),
        ({**NONE, "retry_policy": {"free_congestions": -1}}, ["/retry_policy/free_congestions"]),
        ({**NONE, "retry_policy": {"outcomes": {"lost": {}}}}, ["/retry_policy/outcomes/lost"]),
        ({**NONE, "retry_policy": {"outcomes": {"success": {}}}}, ["/retry_policy/outcomes/success"]),
        ({**NONE, "retry_policy": {"outcomes": {"busy": {"retry": "no"}}}}, ["/retry_policy/outcomes/busy/retry"]),
        (
            {**NONE, "retry_policy": {"outcomes": {"busy": {"pause": 604_801}, "rejected": {"after": 5}}}},
            ["/retry_policy/outcomes/busy/pause", "/retry_policy/outcomes/rejected/after"],
        ),
        ([], [""]),
    ],
)
async def test_rules_that_cannot_be_are_pointed_at_and_change_nothing(
    office: Office, rules: Any, pointers: list[str]
) -> None:
    path = await rules_of_new_queue(office)
    before = await chosen(office, path, retry_policy=POLICY)
    response = await put(office, path, rules)
    assert (response.status_code, response.headers["Content-Type"]) == (422, "application/problem+json")
    assert [error["pointer"] for error in response.json()["errors"]] == pointers
    assert (await office.get(path)).json() == before


async def test_a_queue_that_is_deleted_or_never_was_has_no_rules(office: Office) -> None:
    path = await rules_of_new_queue(office)
    deleted = await office.client.delete(f"{QUEUES}{path.split('/')[3]}", headers=office.admin)
    assert deleted.status_code == 204
    for gone in (path, "/v1/queues/64000001/rules"):
        for response in (await office.get(gone), await put(office, gone, NONE)):
            assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("queue_id", ["0", "-1", "x", str(10**18)])
async def test_what_cannot_be_a_queues_number_is_named(office: Office, queue_id: str) -> None:
    response = await office.get(f"/v1/queues/{queue_id}/rules")
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == ["queue_id"]


async def test_contract_2_knows_nothing_of_rules(office: Office) -> None:
    path = await rules_of_new_queue(office)
    queue = f"{QUEUES}{path.split('/')[3]}"
    before = (await office.get(queue)).json()
    await chosen(office, path, retry_policy=POLICY, client_leg="b")
    assert (await office.get(queue)).json() == before
    listed = (await office.get(QUEUES)).json()
    assert [row for row in listed if row["id"] == before["id"]] == [before]


async def test_an_auditor_reads_who_chose_which_rules(office: Office) -> None:
    path = await rules_of_new_queue(office)
    await chosen(office, path, retry_policy=POLICY, client_leg="b")
    stream = f"queue/{path.split('/')[3]}"

    async def rows() -> list[dict[str, Any]]:
        response = await office.get("/v1/audit-trail", office.bearers[Role.AUDITOR], stream=stream)
        return [row for row in response.json()["items"] if row["type"] == "queue.rules_chosen.v1"]

    (row,) = await eventually_async(rows)
    assert row["actor"].startswith("token/")
