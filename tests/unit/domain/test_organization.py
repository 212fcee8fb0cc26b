"""Given the facts of an organisation, when an admin requests a change, then these facts follow or the change is refused."""

import pytest
from msgspec.structs import replace

from domain.errors import MemberNotFound, RoleTooHigh, UnknownMember, UnknownOperator, UnknownToken
from domain.model import Snapshot
from domain.organization.events import (
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    OperatorAdded,
    OperatorDetails,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    OrganizationFact,
    PersonName,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
)
from domain.organization.organization import Organization, evolve, replay
from domain.permissions import Permission, Role
from tests.support.histories import recorded

CREATED = OrganizationCreated(name="Колл-центр", settings=Settings())
MEMBER = MemberAdded(member_id="m1", role=Role.AGENT, personal=PersonName(subject="m1", name="Айгуль"))
OPERATOR = OperatorAdded(operator_number=1, key_hash="aa", personal=OperatorDetails(subject="m1", name="Line 1"))
TOKEN = TokenIssued(token_id="t1", role=Role.AGENT, secret_hash="bb", member_id="m1")


def given(*facts: OrganizationFact) -> Organization:
    """Return the organisation after its creation and these facts."""
    organization = replay(recorded([CREATED, *facts], stream="organization/65", organization_id=65))
    assert organization is not None
    return organization


def test_an_organisation_is_named_by_its_stream() -> None:
    assert (given().id, given().name, given().version) == (65, "Колл-центр", 1)


def test_operators_are_numbered_and_a_number_is_never_given_twice() -> None:
    decided = given(MEMBER, OPERATOR, OperatorRemoved(operator_number=1)).add_operator("cc", "Line 2", member_id="m1")
    details = OperatorDetails(subject="m1", name="Line 2")
    assert decided == [OperatorAdded(operator_number=2, key_hash="cc", member_id="m1", personal=details)]


def test_an_operator_is_for_a_member_of_the_organisation() -> None:
    with pytest.raises(UnknownMember):
        given().add_operator("cc", "Line 1", member_id="m1")


def test_an_operators_key_is_renewed_and_its_right_taken() -> None:
    organization = given(OPERATOR)
    assert organization.renew_operator_key(1, "dd") == [OperatorKeyRenewed(operator_number=1, key_hash="dd")]
    assert organization.remove_operator(1) == [OperatorRemoved(operator_number=1)]
    gone = given(OPERATOR, OperatorRemoved(operator_number=1))
    for decision in (lambda: gone.renew_operator_key(1, "ee"), lambda: gone.remove_operator(1)):
        with pytest.raises(UnknownOperator):
            decision()


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("members_role", list(Role))
def test_a_token_may_do_no_more_than_its_member(members_role: Role, role: Role) -> None:
    member = MemberAdded(member_id="m1", role=members_role, personal=PersonName(subject="m1", name="A"))
    organization = given(member)
    if role.permissions <= members_role.permissions:
        assert organization.issue_token("t2", "cc", role, member_id="m1")
    else:
        with pytest.raises(RoleTooHigh):
            organization.issue_token("t2", "cc", role, member_id="m1")


def test_a_token_without_a_member_is_a_service_token_of_any_role() -> None:
    assert given().issue_token("t2", "cc", Role.ADMIN) == [
        TokenIssued(token_id="t2", role=Role.ADMIN, secret_hash="cc")
    ]


def test_a_token_is_revoked_once() -> None:
    assert given(MEMBER, TOKEN).revoke_token("t1") == [TokenRevoked(token_id="t1")]
    with pytest.raises(UnknownToken):
        given(MEMBER, TOKEN, TokenRevoked(token_id="t1")).revoke_token("t1")


def test_the_same_settings_again_record_nothing() -> None:
    assert given().change_settings(Settings()) == []
    assert given().change_settings(Settings(region="RU")) == [SettingsChanged(settings=Settings(region="RU"))]


def test_an_auditor_changes_nothing_and_an_analyst_sees_nothing_personal() -> None:
    changing = {Permission.FILE_TASKS, Permission.CHANGE_TASKS, Permission.CHANGE_QUEUES, Permission.ADMINISTER}
    assert not changing & Role.AUDITOR.permissions
    assert Role.ANALYST.permissions == {Permission.LIST_TASKS, Permission.READ_BOARD}
    assert Role.OPERATOR.permissions == {Permission.FILE_TASKS}
    assert Role.ADMIN.permissions == set(Permission)


def test_a_members_role_changes_and_limits_new_tokens() -> None:
    changed = MemberRoleChanged(member_id="m1", role=Role.AUDITOR)
    assert given(MEMBER).change_member_role("m1", Role.AUDITOR) == [changed]
    assert given(MEMBER, changed).change_member_role("m1", Role.AUDITOR) == []
    with pytest.raises(RoleTooHigh):
        given(MEMBER, changed).issue_token("t2", "cc", Role.AGENT, member_id="m1")
    with pytest.raises(MemberNotFound):
        given().change_member_role("m1", Role.AUDITOR)


def test_a_member_is_removed_with_what_gives_access() -> None:
    other = MemberAdded(member_id="m2", role=Role.AGENT, personal=PersonName(subject="m2", name="Ерлан"))
    line = OperatorAdded(operator_number=2, key_hash="dd", member_id="m1", personal=OPERATOR.personal)
    service = TokenIssued(token_id="t2", role=Role.AGENT, secret_hash="cc")
    theirs = TokenIssued(token_id="t3", role=Role.AGENT, secret_hash="ee", member_id="m2")
    organization = given(MEMBER, other, OPERATOR, line, TOKEN, service, theirs)
    removed = organization.remove_member("m1")
    assert removed == [
        TokenRevoked(token_id="t1"),
        OperatorRemoved(operator_number=2),
        MemberRemoved(member_id="m1"),
    ]
    after = given(MEMBER, other, OPERATOR, line, TOKEN, service, theirs, *removed)
    assert (set(after.members), set(after.operators), set(after.tokens)) == ({"m2"}, {1}, {"t2", "t3"})
    for decision in (lambda: after.remove_member("m1"), lambda: after.change_member_role("m1", Role.ADMIN)):
        with pytest.raises(MemberNotFound):
            decision()


def test_the_fold_leaves_a_snapshot_and_earlier_states_as_they_were() -> None:
    before = given(MEMBER, TOKEN)
    (snapshot, removed) = recorded(
        [CREATED, MemberRemoved(member_id="m1")], stream="organization/65", organization_id=65
    )
    after = replay([replace(snapshot, fact=Snapshot(state=before, bytes=1)), removed])
    assert after is not None
    assert (after.members, before.members) == ({}, {"m1": Role.AGENT})
    assert evolve(before, removed).members == {}
    assert before.members == {"m1": Role.AGENT}
