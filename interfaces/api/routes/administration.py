"""``/v1``: administration of an organisation, for its admins; auditors read it.

Unknown keys are refused here, and so is an Idempotency-Key: most responses contain a secret that is shown once, and that
is not stored for a second response.
"""

import re
from typing import Annotated

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from application.errors import OrganizationNotFound, TokenNotFound
from application.organizations import SettingsPatch
from application.ports.directory import MemberRow, OperatorRow, OrganizationRow, TokenRow
from domain.limits import PAUSE_MAX_S, TRIES_MAX
from domain.organization.events import Settings
from domain.permissions import Permission, Role
from interfaces.api.web.context import context_of
from interfaces.api.web.field_types import Id, Line, Name
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.preconditions import refuse_idempotency_key
from interfaces.api.web.routers import v1_router
from interfaces.api.web.times import RequestTime, utc_of
from interfaces.config.retry_policies import ChosenPolicy

_NUMBER_MAX = 2**31 - 1
_TOKEN_ID = re.compile(r"^[0-9A-Za-z]{1,64}$")
_NO_IDEMPOTENCY_KEY = refuse_idempotency_key("the response may contain a secret that is shown only once")
_MEMBER_ID = Annotated[str, PathParameter(schema_extra={"format": "uuid"})]
_READING = {"permission": Permission.READ_ORGANIZATION}
_CHANGING = {"permission": Permission.ADMINISTER, "errors": {409}}
_CHANGING_ONE = {"permission": Permission.ADMINISTER, "errors": {404, 409}}


class SettingsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to change; absent ones are not changed."""

    region: Annotated[str, Meta(pattern="^[A-Za-z]{2}$", examples=["KZ"])] | UnsetType = UNSET
    timezone: Annotated[str, Meta(pattern="^[A-Za-z0-9/_+-]{1,64}$", examples=["Asia/Almaty"])] | UnsetType = UNSET
    open_intake: bool | UnsetType = UNSET
    callback_queue: Annotated[int, Meta(ge=1, le=2**53 - 1)] | UnsetType | None = UNSET
    callback_tries: Annotated[int, Meta(ge=1, le=TRIES_MAX)] | UnsetType = UNSET
    callback_pause: Annotated[int, Meta(ge=0, le=PAUSE_MAX_S, description="Seconds between attempts.")] | UnsetType = (
        UNSET
    )
    caller_id: Annotated[Line, Meta(description="The caller id of outgoing calls.")] | UnsetType | None = UNSET
    retry_policy: ChosenPolicy | UnsetType | None = UNSET


class NewMemberBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new member; ``role`` limits the roles of their tokens."""

    name: Name
    role: Role = Role.AGENT


class MemberRoleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new role of a member."""

    role: Role


class NewOperatorBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new operator: a line or voice bot that may file tasks, which are assigned to the member ``member_id`` if given.

    ``number`` is the phone number, or the extension of 2 to 8 digits, that a callback calls first.
    """

    name: Name
    number: Line | None = None
    member_id: Id | None = None


class NewTokenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new access token. Its role may not exceed its member's; a token without a member belongs to a service."""

    role: Role
    name: Name | None = None
    member_id: Id | None = None
    expires_at: Annotated[RequestTime, Meta(description="A time without a zone is UTC.")] | None = None


class NewOperatorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's number, and the secret ``operator_id`` with which it files tasks; the secret is shown only once."""

    id: int
    operator_id: str


class NewTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A token's id, and the secret token, which is shown only once."""

    id: str
    token: str


class MembersResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All members, by id."""

    items: list[MemberRow]


class OperatorsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All operators, by number."""

    items: list[OperatorRow]


class TokensResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens, including revoked ones, by id, without their secrets."""

    items: list[TokenRow]


@get("/organization", opt=_READING, operation_id="getOrganization", summary="Get the organisation of the token")
async def get_organization(request: JsonRequest) -> OrganizationRow:
    """Return the organisation and its settings."""
    context = context_of(request)
    organization = await context.api.services.directory.organization(context.organization_id)
    if organization is None:
        raise OrganizationNotFound
    return organization


@patch(
    "/organization/settings",
    opt=_CHANGING,
    operation_id="changeSettings",
    summary="Change the organisation's settings",
)
async def change_settings(request: JsonRequest, data: JSONBody[SettingsBody]) -> Settings:
    """Change the given settings, and return all of them."""
    context = context_of(request)
    patch = msgspec.convert(msgspec.to_builtins(data), SettingsPatch)
    return await context.api.services.organizations.change_settings(
        context.organization_id, patch, context.command_request()
    )


@get("/members", opt=_READING, operation_id="listMembers", summary="List the organisation's members")
async def list_members(request: JsonRequest) -> MembersResponse:
    """Return all members."""
    context = context_of(request)
    return MembersResponse(items=list(await context.api.services.directory.members(context.organization_id)))


@post(
    "/members",
    opt={**_CHANGING, "checks": [_NO_IDEMPOTENCY_KEY]},
    operation_id="addMember",
    summary="Add a member",
)
async def add_member(request: JsonRequest, data: JSONBody[NewMemberBody]) -> MemberRow:
    """Add a member to the organisation."""
    context = context_of(request)
    member_id = await context.api.services.organizations.add_member(
        context.organization_id, data.name, data.role, context.command_request()
    )
    return MemberRow(id=member_id, name=data.name.strip(), role=data.role)


@patch(
    "/members/{member_id:str}",
    opt=_CHANGING_ONE,
    status_code=204,
    operation_id="changeMember",
    summary="Change a member's role",
)
async def change_member(request: JsonRequest, member_id: _MEMBER_ID, data: JSONBody[MemberRoleBody]) -> None:
    """Change the role of the member.

    It limits the member's tokens from the next request on, also those that were issued before: such a token permits what
    both roles permit.
    """
    context = context_of(request)
    await context.api.services.organizations.change_member_role(
        context.organization_id, member_id, data.role, context.command_request()
    )


@delete(
    "/members/{member_id:str}",
    opt=_CHANGING_ONE,
    operation_id="removeMember",
    summary="Remove a member",
)
async def remove_member(request: JsonRequest, member_id: _MEMBER_ID) -> None:
    """Remove the member, and revoke the member's tokens and operators immediately. The tasks of the member remain."""
    context = context_of(request)
    await context.api.services.organizations.remove_member(
        context.organization_id, member_id, context.command_request()
    )


@get("/operators", opt=_READING, operation_id="listOperators", summary="List the organisation's operators")
async def list_operators(request: JsonRequest) -> OperatorsResponse:
    """Return all operators, without their secrets."""
    context = context_of(request)
    return OperatorsResponse(items=list(await context.api.services.directory.operators(context.organization_id)))


@post(
    "/operators",
    opt={**_CHANGING, "checks": [_NO_IDEMPOTENCY_KEY]},
    operation_id="addOperator",
    summary="Add an operator",
)
async def add_operator(request: JsonRequest, data: JSONBody[NewOperatorBody]) -> NewOperatorResponse:
    """Add a line or voice bot, and return the secret `operator_id` with which it files tasks. It is shown only once."""
    context = context_of(request)
    added = await context.api.services.organizations.add_operator(
        context.organization_id, data.name, context.command_request(), number=data.number, member_id=data.member_id
    )
    return NewOperatorResponse(id=added.number, operator_id=added.id)


@post(
    "/operators/{operator_number:str}/renew",
    opt={**_CHANGING_ONE, "checks": [_NO_IDEMPOTENCY_KEY]},
    status_code=200,
    operation_id="renewOperator",
    summary="Renew an operator's operator_id",
)
async def renew_operator(
    request: JsonRequest, operator_number: Annotated[int, PathParameter(ge=1, le=_NUMBER_MAX)]
) -> NewOperatorResponse:
    """Return a new `operator_id`, which is shown only once. The old one is no longer accepted."""
    context = context_of(request)
    renewed = await context.api.services.organizations.renew_operator_key(
        context.organization_id, operator_number, context.command_request()
    )
    return NewOperatorResponse(id=renewed.number, operator_id=renewed.id)


@delete(
    "/operators/{operator_number:str}",
    opt=_CHANGING_ONE,
    operation_id="removeOperator",
    summary="Remove an operator",
)
async def remove_operator(
    request: JsonRequest, operator_number: Annotated[int, PathParameter(ge=1, le=_NUMBER_MAX)]
) -> None:
    """Revoke the operator's `operator_id`. The tasks that it filed remain."""
    context = context_of(request)
    await context.api.services.organizations.remove_operator(
        context.organization_id, operator_number, context.command_request()
    )


@get("/tokens", opt=_READING, operation_id="listTokens", summary="List the organisation's tokens")
async def list_tokens(request: JsonRequest) -> TokensResponse:
    """Return all tokens with their last use, without their secrets."""
    context = context_of(request)
    return TokensResponse(items=list(await context.api.services.directory.tokens(context.organization_id)))


@post(
    "/tokens",
    opt={**_CHANGING, "checks": [_NO_IDEMPOTENCY_KEY]},
    operation_id="issueToken",
    summary="Issue a token",
)
async def issue_token(request: JsonRequest, data: JSONBody[NewTokenBody]) -> NewTokenResponse:
    """Issue a token, and return it. It is shown only once."""
    context = context_of(request)
    issued = await context.api.services.organizations.issue_token(
        context.organization_id,
        data.role,
        context.command_request(),
        member_id=data.member_id,
        name=data.name,
        expires_at=utc_of(data.expires_at),
    )
    return NewTokenResponse(id=issued.id, token=issued.token)


@delete(
    "/tokens/{token_id:str}",
    opt=_CHANGING_ONE,
    operation_id="revokeToken",
    summary="Revoke a token",
)
async def revoke_token(
    request: JsonRequest, token_id: Annotated[str, PathParameter(schema_extra={"pattern": _TOKEN_ID.pattern})]
) -> None:
    """Revoke the token immediately, on every process."""
    context = context_of(request)
    if not _TOKEN_ID.fullmatch(token_id):
        raise TokenNotFound
    await context.api.services.organizations.revoke_token(
        token_id, context.command_request(), organization_id=context.organization_id
    )


def administration_router() -> Router:
    """Return the router of administration."""
    return v1_router(
        "administration",
        get_organization,
        change_settings,
        list_members,
        add_member,
        change_member,
        remove_member,
        list_operators,
        add_operator,
        renew_operator,
        remove_operator,
        list_tokens,
        issue_token,
        revoke_token,
    )
