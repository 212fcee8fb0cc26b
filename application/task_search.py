"""Use case of searching tasks: who sees and searches personal data, and how a phone number is matched."""

from msgspec.structs import replace

from application.callers import Caller
from application.errors import Forbidden, OrganizationNotFound
from application.phones import e164
from application.ports.directory import Directory
from application.queries.task_list import TaskListFilter
from domain.permissions import Permission


def sees_personal_data(caller: Caller) -> bool:
    """Return whether lists show personal data to the caller; it is masked for anyone else."""
    return caller.may(Permission.READ_PERSONAL)


async def search_filter(requested: TaskListFilter, caller: Caller, directory: Directory) -> TaskListFilter:
    """Return the requested filter as the task list applies it: an empty search is none, a phone number is in E.164.

    A national number is read as of the organisation's region. Raises Forbidden when the caller searches in personal data
    but may not read it, InvalidField on ``caller_phone``, and OrganizationNotFound.
    """
    searches_personal = requested.search is not None or requested.caller_phone is not None
    if searches_personal and not sees_personal_data(caller):
        raise Forbidden
    phone = requested.caller_phone
    if phone is not None:
        organization = await directory.organization(caller.organization_id)
        if organization is None:
            raise OrganizationNotFound
        phone = e164(phone, organization.settings.region, "caller_phone")
    return replace(requested, search=requested.search or None, caller_phone=phone)
