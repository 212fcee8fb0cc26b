"""Use cases of administration: organisations, members, operators, tokens, settings."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from application.callers import Request
from application.command_handler import change
from application.dial_policy import check_dial_settings, policy_of
from application.errors import OrganizationNotFound, TokenNotFound
from application.ids import digest_of, new_operator_key, new_token_id, new_token_secret, shard_of, uuid7
from application.phones import known_region, line, split_extension
from application.ports.directory import Directory, Organizations
from domain.callback.retry_policy import RetryPolicy
from domain.errors import InvalidField, UnknownToken
from domain.limits import NAME_MAX, PAUSE_MAX_S, TRIES_MAX
from domain.model import Recorded
from domain.organization.events import OrganizationCreated, OrganizationFact, Settings, TokenIssued
from domain.organization.limits import Limits, check_own_limits
from domain.organization.organization import Organization, replay
from domain.permissions import Role

Decision = Callable[[Organization], list[OrganizationFact]]


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token, shown once: ``pz_<id>_<secret>``."""

    id: str
    token: str


class NewOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """A new organisation with its first token, which is an admin's and shown once."""

    id: int
    name: str
    token: str


class NewOperator(msgspec.Struct, frozen=True, kw_only=True):
    """A new operator. ``id`` is its key for filing tasks, shown once; ``number`` identifies it in the event log."""

    id: str
    number: int


class SettingsPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to change; a missing setting stays unchanged.

    The command line alone sets the second group. ``limits`` are limits of its own; None returns a limit to the
    deployment's. ``removed_caller_id`` is removed from the caller ids that may be chosen.
    """

    region: str | msgspec.UnsetType = msgspec.UNSET
    timezone: str | msgspec.UnsetType = msgspec.UNSET
    open_intake: bool | msgspec.UnsetType = msgspec.UNSET
    callback_queue: int | msgspec.UnsetType | None = msgspec.UNSET
    callback_tries: int | msgspec.UnsetType = msgspec.UNSET
    callback_pause: int | msgspec.UnsetType = msgspec.UNSET
    caller_id: str | msgspec.UnsetType | None = msgspec.UNSET
    retry_policy: RetryPolicy | msgspec.UnsetType | None = msgspec.UNSET

    limits: dict[str, int | None] | msgspec.UnsetType = msgspec.UNSET
    dial_regions: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    dial_types: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    extensions: str | msgspec.UnsetType | None = msgspec.UNSET
    only_extensions: bool | msgspec.UnsetType = msgspec.UNSET
    removed_caller_id: str | msgspec.UnsetType = msgspec.UNSET


class OrganizationsAdmin:
    """Use cases that create organisations and grant access to them."""

    def __init__(self, organizations: Organizations, directory: Directory, limits: Limits | None = None) -> None:
        """Record organisations in ``organizations``; ``directory`` is for readers, ``limits`` are the deployment's."""
        self._organizations = organizations
        self._limits = limits or Limits()
        self.directory = directory

    async def create(self, name: str, request: Request, *, region: str = "KZ") -> NewOrganization:
        """Create an organisation and its first admin token. Raises InvalidField on ``name`` and ``region``."""
        settings = Settings(region=region.upper())
        _check(settings)
        number = await self._organizations.new_id()
        token, issued = _new_token(number, Role.ADMIN, name="first admin")
        created = OrganizationCreated(name=_named(name), settings=settings)
        await self._organizations.append(number, 0, [created, issued], request.envelope(number, request.actor))
        return NewOrganization(id=number, name=created.name, token=token.token)

    async def change_settings(self, organization_id: int, patch: SettingsPatch, request: Request) -> Settings:
        """Change settings. Raises OrganizationNotFound, and InvalidField on the setting.

        A request with a token chooses a caller id among those that the command line has set, and does not change whose
        rules the dial policy follows (``home_region``).
        """
        given = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not msgspec.UNSET}
        if "region" in given:
            given["region"] = given["region"].upper()
        limits: dict[str, int | None] = given.pop("limits", {})
        removed: str | None = given.pop("removed_caller_id", None)
        is_trusted = request.caller is None

        def decide(organization: Organization) -> list[OrganizationFact]:
            before = organization.settings
            own = {name: n for name, n in (before.limits | limits).items() if n is not None}
            settings = replace(before, **given, limits=own)
            if "region" in given:
                settings = replace(settings, home_region=None if is_trusted else before.home_region or before.region)
            _check(settings)
            if isinstance(patch.caller_id, str):
                settings = _with_caller_id(settings, patch.caller_id, may_add=is_trusted)
            if removed is not None:
                settings = _without_caller_id(settings, removed)
            return organization.change_settings(settings)

        return (await self._change(organization_id, decide, request)).settings

    async def add_member(self, organization_id: int, name: str, role: Role, request: Request) -> str:
        """Add a member and return its id. Raises OrganizationNotFound, LimitReached, InvalidField on ``name``."""
        member_id, name = uuid7(), _named(name)

        def decide(organization: Organization) -> list[OrganizationFact]:
            self._limits_of(organization).require_room("members", len(organization.members))
            return organization.add_member(member_id, name, role)

        await self._change(organization_id, decide, request)
        return member_id

    async def change_member_role(self, organization_id: int, member_id: str, role: Role, request: Request) -> None:
        """Change the role of a member, which limits the member's tokens at once. Raises OrganizationNotFound, MemberNotFound."""
        await self._change(organization_id, lambda o: o.change_member_role(member_id, role), request)

    async def remove_member(self, organization_id: int, member_id: str, request: Request) -> None:
        """Remove a member; the member's tokens and operator keys are invalid at once.

        Raises OrganizationNotFound, MemberNotFound.
        """
        await self._change(organization_id, lambda o: o.remove_member(member_id), request)

    async def add_operator(
        self, organization_id: int, name: str, request: Request, *, number: str | None, member_id: str | None
    ) -> NewOperator:
        """Add an operator.

        Raises OrganizationNotFound, LimitReached, InvalidField on ``name`` and ``number``, UnknownMember.
        """
        key, name = new_operator_key(shard_of(organization_id)), _named(name)

        def decide(organization: Organization) -> list[OrganizationFact]:
            self._limits_of(organization).require_room("operators", len(organization.operators))
            settings = organization.settings
            dialled = line(number, settings.region, "number") if number else None
            if dialled:
                policy_of(settings).require(dialled, "number")
            return organization.add_operator(digest_of(key), name, number=dialled, member_id=member_id)

        organization = await self._change(organization_id, decide, request)
        return NewOperator(id=key, number=organization.next_operator - 1)

    async def renew_operator_key(self, organization_id: int, operator_number: int, request: Request) -> NewOperator:
        """Replace the key of an operator; the old key is invalid at once. Raises OrganizationNotFound, UnknownOperator."""
        key = new_operator_key(shard_of(organization_id))
        await self._change(organization_id, lambda o: o.renew_operator_key(operator_number, digest_of(key)), request)
        return NewOperator(id=key, number=operator_number)

    async def remove_operator(self, organization_id: int, operator_number: int, request: Request) -> None:
        """Remove an operator, so that it can no longer file tasks. Raises OrganizationNotFound, UnknownOperator."""
        await self._change(organization_id, lambda o: o.remove_operator(operator_number), request)

    async def issue_token(
        self,
        organization_id: int,
        role: Role,
        request: Request,
        *,
        member_id: str | None = None,
        name: str | None = None,
        expires_at: datetime | None = None,
    ) -> NewToken:
        """Issue a token. Expired tokens count against the limit until they are revoked.

        Raises OrganizationNotFound, LimitReached, UnknownMember, RoleTooHigh, and InvalidField for an ``expires_at`` that has
        passed.
        """
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidField("expires_at", "Expected a time in the future, or none for a token that does not expire")
        name = name and name.strip()
        token, issued = _new_token(organization_id, role, name=name)

        def decide(organization: Organization) -> list[OrganizationFact]:
            self._limits_of(organization).require_room("tokens", len(organization.tokens))
            return organization.issue_token(
                issued.token_id, issued.secret_hash, role, member_id=member_id, name=name, expires_at=expires_at
            )

        await self._change(organization_id, decide, request)
        return token

    async def revoke_token(self, token_id: str, request: Request, *, organization_id: int | None = None) -> None:
        """Revoke a token at once. ``organization_id``, if given, must be the token's. Raises TokenNotFound."""
        owner = await self._organizations.organization_of_token(token_id)
        if owner is None or organization_id not in {None, owner}:
            raise TokenNotFound
        try:
            await self._change(owner, lambda o: o.revoke_token(token_id), request)
        except UnknownToken as error:
            raise TokenNotFound from error

    async def _change(self, organization_id: int, decide: Decision, request: Request) -> Organization:
        envelope = request.envelope(organization_id, request.actor)
        handled = await change(
            lambda: self._events(organization_id),
            lambda events: decide(_organization(events)),
            lambda version, facts: self._organizations.append(organization_id, version, facts, envelope),
        )
        return _organization(handled.events)

    def _limits_of(self, organization: Organization) -> Limits:
        return self._limits.with_own(organization.settings.limits)

    async def _events(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        events = await self._organizations.read(organization_id)
        if not events:
            raise OrganizationNotFound
        return events


def _organization(events: Sequence[Recorded[OrganizationFact]]) -> Organization:
    organization = replay(events)
    if organization is None:
        raise OrganizationNotFound
    return organization


def _new_token(organization_id: int, role: Role, *, name: str | None) -> tuple[NewToken, TokenIssued]:
    token_id, secret = new_token_id(shard_of(organization_id)), new_token_secret()
    issued = TokenIssued(token_id=token_id, role=role, secret_hash=digest_of(secret), name=name)
    return NewToken(id=token_id, token=f"pz_{token_id}_{secret}"), issued


def _named(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or "\0" in name:
        raise InvalidField("name", f"Expected a name of 1 to {NAME_MAX} characters", "string_length")
    return name


def _with_caller_id(settings: Settings, text: str, *, may_add: bool) -> Settings:
    number = _caller_id(settings, text)
    if number in settings.caller_ids:
        return replace(settings, caller_id=number)
    if not may_add:
        known = (
            f"one of {', '.join(settings.caller_ids)}" if settings.caller_ids else "none: there are no caller ids yet"
        )
        raise InvalidField(
            "caller_id",
            f"Expected {known}. `perezvon organization set ID --caller-id NUMBER` adds a caller id",
            "unknown_caller_id",
        )
    return replace(settings, caller_id=number, caller_ids=[*settings.caller_ids, number])


def _without_caller_id(settings: Settings, text: str) -> Settings:
    number = _caller_id(settings, text)
    if number not in settings.caller_ids:
        raise InvalidField("caller_ids", f"{number} is not among the caller ids", "unknown_caller_id")
    return replace(
        settings,
        caller_ids=[other for other in settings.caller_ids if other != number],
        caller_id=None if settings.caller_id == number else settings.caller_id,
    )


def _caller_id(settings: Settings, text: str) -> str:
    number = line(text, settings.region, "caller_id")
    if split_extension(number)[1]:
        raise InvalidField("caller_id", "Expected a number without an extension behind it", "phone_number")
    return number


def _check(settings: Settings) -> None:
    if not known_region(settings.region):
        raise InvalidField("region", "Expected an ISO 3166 region code, such as KZ", "unknown_region")
    if settings.timezone != "UTC" and settings.timezone not in (known := _timezones()):
        allowed = "an IANA time zone, such as Asia/Almaty" if known else "UTC, for this machine has no package tzdata"
        raise InvalidField("timezone", f"Expected {allowed}", "unknown_timezone")
    if not 1 <= settings.callback_tries <= TRIES_MAX:
        raise InvalidField("callback_tries", f"Expected 1 to {TRIES_MAX}", "out_of_range")
    if not 0 <= settings.callback_pause <= PAUSE_MAX_S:
        raise InvalidField("callback_pause", f"Expected 0 to {PAUSE_MAX_S} seconds", "out_of_range")
    if settings.retry_policy:
        settings.retry_policy.check()
    check_own_limits(settings.limits)
    check_dial_settings(settings)


def _timezones() -> set[str]:
    from zoneinfo import available_timezones  # noqa: PLC0415 - reads hundreds of files, so only when it is needed

    return available_timezones()
