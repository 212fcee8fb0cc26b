"""Settings of the processes, read once from the environment (docs/settings.md)."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, inspect

from domain.limits import OWN_LIMIT_MAX
from domain.organization.limits import Limits

_HOST_AND_PORT = (
    r"([^:/]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
ADDRESS = rf"^({_HOST_AND_PORT}|[^:]*/.+)$"  # a host and a port, or the path of a Unix socket
SIMULATOR = "127.0.0.1:8078"

OTHER_VARIABLES = frozenset({"PEREZVON_DB_PASSWORD", "PEREZVON_APP_PASSWORD"})
"""Variables of this prefix that other programs read, such as Docker Compose."""

_PREFIX = "PEREZVON_"
_NETWORKS = ("trusted_proxies", "webhook_allow_nets", "webhook_deny_nets")
_SECRET = {"database_url", "owner_url", "secrets_key", "asterisk_secret"}  # never shown in a representation

GatewayName = Literal["simulated", "asterisk"]
Rate = Annotated[float, Meta(gt=0, le=OWN_LIMIT_MAX)]
Burst = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0, le=OWN_LIMIT_MAX)]
Positive = Annotated[int, Meta(ge=1, le=OWN_LIMIT_MAX)]
PathPrefix = Annotated[
    str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="a path such as /perezvon, without a slash at its end")
]
SimulatorAddress = Annotated[
    str, Meta(pattern=ADDRESS, description="a host and a port, such as 127.0.0.1:8078, or the path of a Unix socket")
]
MetricsAddress = Annotated[
    str, Meta(pattern=f"^{_HOST_AND_PORT}$", description="a host and a port, such as 127.0.0.1:9464 or [::1]:9464")
]

_LIMITS = Limits()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a deployment: each is an environment variable ``PEREZVON_…`` of the same name."""

    database_url: str | None = None
    owner_url: str | None = None
    allow_owner: bool = False
    log_level: str = "info"
    log_format: str = "auto"
    rate_limits: bool = True
    operator_rate: Rate = 20.0
    operator_burst: Burst = 300
    token_rate: Rate = 200.0
    token_burst: Burst = 2000
    address_rate: Rate = 50.0
    address_burst: Burst = 500
    queues: Count = _LIMITS.queues
    members: Count = _LIMITS.members
    operators: Count = _LIMITS.operators
    tokens: Count = _LIMITS.tokens
    waiting: Count = _LIMITS.waiting
    organization_rate: Positive = _LIMITS.organization_rate
    organization_burst: Positive = _LIMITS.organization_burst
    connections: Annotated[int, Meta(ge=10)] = 1000
    connections_per_address: Annotated[int, Meta(ge=1)] = 200
    calls_per_day: Count = _LIMITS.calls_per_day
    attempts_per_number_hour: Count | None = None
    open_per_number: Count | None = None
    trusted_proxies: str = ""
    path_prefix: PathPrefix = ""
    ready_lag_seconds: Annotated[float, Meta(ge=0)] = 10.0
    shutdown_seconds: Annotated[int, Meta(ge=0)] = 10
    metrics_address: MetricsAddress | None = None
    secrets_key: str | None = None
    webhook_allow_nets: str = ""
    webhook_deny_nets: str = ""
    webhook_timeout_seconds: Annotated[float, Meta(ge=1, le=30)] = 15.0
    webhook_before_seconds: Annotated[float, Meta(ge=0, le=3)] = 3.0
    gateway: GatewayName | None = None
    calls_per_second: Annotated[float, Meta(gt=0, le=1000)] | None = None
    channels: Annotated[int, Meta(ge=2)] | None = None
    asterisk_address: str = "127.0.0.1:5038"
    asterisk_user: str = "perezvon"
    asterisk_secret: str | None = None
    asterisk_trunk: str = "trunk"
    asterisk_tls: str | None = None
    simulator_address: SimulatorAddress | None = None
    simulated_speed: Annotated[float, Meta(gt=0, le=1e9)] = 1.0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = msgspec.structs.asdict(self).items()
        return [(name, value) for name, value in values if name not in _SECRET or value is None]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class BadSetting(ValueError):
    """A setting has an invalid value; the message names the setting."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; an empty variable counts as unset. Raises BadSetting, which names every invalid variable."""
    given = {
        field.name: environment[_variable(field.name)]
        for field in msgspec.structs.fields(Settings)
        if environment.get(_variable(field.name), "") != ""
    }
    kinds = get_type_hints(Settings, include_extras=True)
    invalid = [_complaint(name, kinds[name], text) for name, text in given.items() if not _fits(text, kinds[name])]
    invalid += [complaint for name in _NETWORKS if (complaint := _complaint_about_networks(name, given.get(name, "")))]
    if invalid:
        raise BadSetting("\n".join(invalid))
    return msgspec.convert(given, Settings, strict=False)


def unknown_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return the variables ``PEREZVON_…`` that are no settings, each with the setting that its writer may have meant."""
    known = {_variable(field.name) for field in msgspec.structs.fields(Settings)} | OTHER_VARIABLES
    unknown = [name for name in environment if name.startswith(_PREFIX) and name not in known]
    return {name: next(iter(get_close_matches(name, known, 1, cutoff=0.8)), None) for name in sorted(unknown)}


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _fits(text: str, kind: Any) -> bool:
    try:
        return msgspec.convert(text, kind, strict=False) is not None  # the text null
    except msgspec.ValidationError:
        return False


def _complaint_about_networks(name: str, text: str) -> str | None:
    """Return the complaint about the first of the networks that is none; proxies may also be `*`."""
    if name == "trusted_proxies" and text == "*":
        return None
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            ip_network(part)
        except ValueError as error:
            expected = "addresses and networks such as 10.1.0.7,10.2.0.0/16,fd00::/8"
            return f"{_variable(name)}: expected {expected}, not {part!r}: {error}"
    return None


def _complaint(name: str, kind: Any, text: str) -> str:
    shown = "another text" if name in _SECRET else repr(text)
    return f"{_variable(name)}: expected {_allowed(inspect.type_info(kind))}, not {shown}"


def _allowed(kind: inspect.Type) -> str:
    """Return a description of the values of a type."""
    match kind:
        case inspect.UnionType(types=types):
            return " or ".join(_allowed(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case _:
            return "another text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = {"greater than": kind.gt, "of at least": kind.ge, "less than": kind.lt, "at most": kind.le}
    return " and".join(f" {words} {bound:,.10g}" for words, bound in bounds.items() if bound is not None)
