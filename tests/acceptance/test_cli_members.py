"""``perezvon member``: another role, and removal."""

from tests.support.shell import Shell

pytest_plugins = ["tests.support.shells"]


def test_a_member_gets_another_role_and_is_removed(shell: Shell, acme: str) -> None:
    added = shell.json("member", "add", "Айгуль", "--organization", acme, "--role", "supervisor")["id"]
    issued = shell.json("token", "issue", "--organization", acme, "--member", added, "--role", "supervisor")["id"]
    words = ("--organization", acme)
    assert shell.json("member", "set-role", added, "--role", "agent", *words) == {"id": added, "role": "agent"}
    assert [row["role"] for row in shell.json("member", "list", *words)["items"]] == ["agent"]
    assert shell.json("member", "remove", added, *words) == {"id": added}
    assert shell.json("member", "list", *words) == {"items": []}
    tokens = {row["id"]: row["revoked_at"] for row in shell.json("token", "list", *words)["items"]}
    assert tokens[issued] is not None
    assert shell.refusal("member", "remove", added, *words) == (
        2,
        {"code": "no_such_member", "message": f"No member {added} in this organisation"},
    )
