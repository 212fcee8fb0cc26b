"""Who works in the call centre of the demo."""

from collections.abc import Sequence

import msgspec

from application.callers import Request
from application.ids import uuid7
from application.organizations import OrganizationsAdmin, SettingsPatch
from domain.values import Role

NAME = "Алатау Техно (demo)"
TIMEZONE = "Asia/Almaty"
_MEMBERS = (
    ("Гульнара Ахметова", Role.SUPERVISOR),
    ("Айгерим Садыкова", Role.AGENT),
    ("Сергей Волошин", Role.AGENT),
    ("Нурсултан Абенов", Role.AGENT),
    ("Megan Clarke", Role.AGENT),
)
_LINES = (("Доставка", 1), ("Сервис", 2), ("Магазин", 3), ("English line", 4))
_ROBOT = ("Голосовой робот", None)


class Staff(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes part: the organisation, its admin's token, and for each line its operator id and who works for it."""

    organization_id: int
    admin: str
    operators: Sequence[str]
    tokens: Sequence[str]


async def hire(organizations: OrganizationsAdmin, numbers: Sequence[str]) -> Staff:
    """Make the organisation, its members, lines and tokens. Raises StorageUnavailable, SchemaTooOld.

    Each line is a number, but for the last one, a robot, which has none.
    """
    request = Request(request_id=uuid7())
    created = await organizations.create(NAME, request)
    patch = SettingsPatch(timezone=TIMEZONE)
    await organizations.change_settings(created.id, patch, request)
    members = [await organizations.add_member(created.id, name, role, request) for name, role in _MEMBERS]
    operators: list[str] = []
    tokens: list[str] = []
    for (name, place), number in zip((*_LINES, _ROBOT), (*numbers, None), strict=True):
        member = None if place is None else members[place]
        operators.append(
            (await organizations.add_operator(created.id, name, request, number=number, member_id=member)).id
        )
        worker = place or 0  # what the robot files, the supervisor works on
        role = _MEMBERS[worker][1]
        tokens.append((await organizations.issue_token(created.id, role, request, member_id=members[worker])).token)
    return Staff(organization_id=created.id, admin=created.token, operators=operators, tokens=tokens)
