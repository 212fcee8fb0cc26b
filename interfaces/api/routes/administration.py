"""``/v1``: an organisation's administration, for its admins.

Unknown keys are refused here. An Idempotency-Key is refused too: most answers show a secret once, and what is not kept
cannot be shown again.
"""

import re
from datetime import datetime
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
from domain.values import Permission, Role
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.field_types import Id, Line, Name
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.request_errors import FieldError, InvalidRequest
from interfaces.api.web.routers import v1_router
from interfaces.api.web.times import to_utc
from interfaces.config.retry_policies import ChosenPolicy

_NUMBER_MAX = 2**31 - 1
_TOKEN_ID = re.compile(r"^[0-9A-Za-z]{1,64}$")
_ADMINS = {"permission": Permission.ADMINISTER}
_ADMINS_CHANGING = {**_ADMINS, "errors": {409}}
_ADMINS_CHANGING_ONE = {**_ADMINS, "errors": {404, 409}}


class SettingsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to change; what is left out stays."""

    region: Annotated[str, Meta(pattern="^[A-Za-z]{2}$", examples=["KZ"])] | UnsetType = UNSET
    timezone: Annotated[str, Meta(pattern="^[A-Za-z0-9/_+-]{1,64}$", examples=["Asia/Almaty"])] | UnsetType = UNSET
    open_intake: bool | UnsetType = UNSET
    callback_queue: Annotated[int, Meta(ge=1, le=2**53 - 1)] | UnsetType | None = UNSET
    callback_tries: Annotated[int, Meta(ge=1, le=TRIES_MAX)] | UnsetType = UNSET
    callback_pause: Annotated[int, Meta(ge=0, le=PAUSE_MAX_S, description="Seconds.")] | UnsetType = UNSET
    caller_id: Annotated[Line, Meta(description="The number that calls seem to come from.")] | UnsetType | None = UNSET
    retry_policy: ChosenPolicy | UnsetType | None = UNSET


class NewMemberBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person who joins; ``role`` is the most that any token of theirs may do."""

    name: Name
    role: Role = Role.AGENT


class NewOperatorBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line or voice bot that may file tasks, for a member if one is named.

    ``number`` is the phone number or the extension of 2 to 8 digits where a callback rings first.
    """

    name: Name
    number: Line | None = None
    member_id: Id | None = None


class NewTokenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An access token; its role is at most its member's, and one without a member is a service's."""

    role: Role
    name: Name | None = None
    member_id: Id | None = None
    expires_at: Annotated[datetime, Meta(description="Without a zone: UTC.")] | None = None


class NewOperatorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's number on record, and the ``operator_id`` that files tasks: it is shown only now."""

    id: int
    operator_id: str


class NewTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A token's id, and the token itself: it is shown only now."""

    id: str
    token: str


class MembersResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The members, by id."""

    items: list[MemberRow]


class OperatorsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The operators, by their number on record."""

    items: list[OperatorRow]


class TokensResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens, revoked ones too, by id; never their secrets."""

    items: list[TokenRow]


async def no_idempotency_key(request: AnyRequest) -> None:
    """Refuse an Idempotency-Key rather than seem to honour it. Raises RequestInvalid."""
    if b"idempotency-key" in context_of(request).headers:
        message = "Not honoured here: the answer may show a secret, once"
        raise InvalidRequest([FieldError(("header", "Idempotency-Key"), message, "not_supported")])


@get("/organization", opt=_ADMINS, operation_id="getOrganization", summary="The token's organisation")
async def get_organization(request: JsonRequest) -> OrganizationRow:
    """Answer the organisation and its settings."""
    context = context_of(request)
    organization = await context.api.services.directory.organization(context.organization_id)
    if organization is None:
        raise OrganizationNotFound
    return organization


@patch(
    "/organization/settings",
    opt=_ADMINS_CHANGING,
    operation_id="changeSettings",
    summary="Change the organisation's settings",
)
async def change_settings(request: JsonRequest, data: JSONBody[SettingsBody]) -> Settings:
    """Change the settings that are named, and answer them all."""
    context = context_of(request)
    given = msgspec.convert(msgspec.to_builtins(data), SettingsPatch)
    return await context.api.services.organizations.change_settings(
        context.organization_id, given, context.command_request()
    )


@get("/members", opt=_ADMINS, operation_id="listMembers", summary="The organisation's members")
async def list_members(request: JsonRequest) -> MembersResponse:
    """Answer all members."""
    context = context_of(request)
    return MembersResponse(items=list(await context.api.services.directory.members(context.organization_id)))


@post(
    "/members",
    opt={**_ADMINS_CHANGING, "checks": [no_idempotency_key]},
    operation_id="addMember",
    summary="Add a member",
)
async def add_member(request: JsonRequest, data: JSONBody[NewMemberBody]) -> MemberRow:
    """Add a person to the organisation."""
    context = context_of(request)
    member_id = await context.api.services.organizations.add_member(
        context.organization_id, data.name, data.role, context.command_request()
    )
    return MemberRow(id=member_id, name=data.name.strip(), role=data.role)


@get("/operators", opt=_ADMINS, operation_id="listOperators", summary="The organisation's operators")
async def list_operators(request: JsonRequest) -> OperatorsResponse:
    """Answer all operators, never their keys."""
    context = context_of(request)
    return OperatorsResponse(items=list(await context.api.services.directory.operators(context.organization_id)))


@post(
    "/operators",
    opt={**_ADMINS_CHANGING, "checks": [no_idempotency_key]},
    operation_id="addOperator",
    summary="Add an operator",
)
async def add_operator(request: JsonRequest, data: JSONBody[NewOperatorBody]) -> NewOperatorResponse:
    """Add a line or voice bot, and show the key with which it files tasks: only now."""
    context = context_of(request)
    added = await context.api.services.organizations.add_operator(
        context.organization_id, data.name, context.command_request(), number=data.number, member_id=data.member_id
    )
    return NewOperatorResponse(id=added.number, operator_id=added.id)


@post(
    "/operators/{operator_number:str}/renew",
    opt={**_ADMINS_CHANGING_ONE, "checks": [no_idempotency_key]},
    status_code=200,
    operation_id="renewOperator",
    summary="Give an operator a new key",
)
async def renew_operator(
    request: JsonRequest, operator_number: Annotated[int, PathParameter(ge=1, le=_NUMBER_MAX)]
) -> NewOperatorResponse:
    """Show a new key, only now; the old one is void."""
    context = context_of(request)
    renewed = await context.api.services.organizations.renew_operator_key(
        context.organization_id, operator_number, context.command_request()
    )
    return NewOperatorResponse(id=renewed.number, operator_id=renewed.id)


@delete(
    "/operators/{operator_number:str}",
    opt=_ADMINS_CHANGING_ONE,
    operation_id="removeOperator",
    summary="Remove an operator",
)
async def remove_operator(
    request: JsonRequest, operator_number: Annotated[int, PathParameter(ge=1, le=_NUMBER_MAX)]
) -> None:
    """Void the operator's key; what it filed stays."""
    context = context_of(request)
    await context.api.services.organizations.remove_operator(
        context.organization_id, operator_number, context.command_request()
    )


@get("/tokens", opt=_ADMINS, operation_id="listTokens", summary="The organisation's tokens")
async def list_tokens(request: JsonRequest) -> TokensResponse:
    """Answer all tokens with their last use, never their secrets."""
    context = context_of(request)
    return TokensResponse(items=list(await context.api.services.directory.tokens(context.organization_id)))


@post(
    "/tokens",
    opt={**_ADMINS_CHANGING, "checks": [no_idempotency_key]},
    operation_id="issueToken",
    summary="Issue a token",
)
async def issue_token(request: JsonRequest, data: JSONBody[NewTokenBody]) -> NewTokenResponse:
    """Issue a token, and show it: only now."""
    context = context_of(request)
    (expires_at,) = to_utc(expires_at=data.expires_at)
    issued = await context.api.services.organizations.issue_token(
        context.organization_id,
        data.role,
        context.command_request(),
        member_id=data.member_id,
        name=data.name and data.name.strip(),
        expires_at=expires_at,
    )
    return NewTokenResponse(id=issued.id, token=issued.token)


@delete(
    "/tokens/{token_id:str}",
    opt=_ADMINS_CHANGING_ONE,
    operation_id="revokeToken",
    summary="Revoke a token",
)
async def revoke_token(
    request: JsonRequest, token_id: Annotated[str, PathParameter(schema_extra={"pattern": _TOKEN_ID.pattern})]
) -> None:
    """Void the token at once, on every process."""
    context = context_of(request)
    if not _TOKEN_ID.fullmatch(token_id):
        raise TokenNotFound
    await context.api.services.organizations.revoke_token(
        token_id, context.command_request(), organization_id=context.organization_id
    )


def administration_router() -> Router:
    """Answer the routes of administration."""
    return v1_router(
        "administration",
        get_organization,
        change_settings,
        list_members,
        add_member,
        list_operators,
        add_operator,
        renew_operator,
        remove_operator,
        list_tokens,
        issue_token,
        revoke_token,
    )
