"""The staff of the demo's call centre."""

from collections.abc import Sequence

import msgspec

from application.callers import Request
from application.ids import new_request_id
from application.organizations import OrganizationsAdmin, SettingsPatch
from domain.permissions import Role

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
    """The organisation, its admin token, and the operator id and member token of each line."""

    organization_id: int
    admin: str
    operators: Sequence[str]
    tokens: Sequence[str]


async def hire(organizations: OrganizationsAdmin, numbers: Sequence[str]) -> Staff:
    """Create the organisation, its members, lines and tokens. Raises StorageUnavailable, SchemaTooOld.

    ``numbers`` are the numbers of the lines; the last line, a robot, has none.
    """
    request = Request(request_id=new_request_id())
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
        worker = place or 0  # the supervisor processes the tasks of the robot
        role = _MEMBERS[worker][1]
        tokens.append((await organizations.issue_token(created.id, role, request, member_id=members[worker])).token)
    return Staff(organization_id=created.id, admin=created.token, operators=operators, tokens=tokens)
