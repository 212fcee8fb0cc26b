"""Settings of the processes, read once from the environment (docs/settings.md)."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ADDRESS = (
    r"^([^:/]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}|.*/.+)$"  # a host and a port, or the path of a Unix socket
)
SIMULATOR = "127.0.0.1:8078"

_SECRET = {"database_url", "secrets_key", "asterisk_secret"}  # never shown in a representation

GatewayName = Literal["simulated", "asterisk"]
Rate = Annotated[float, Meta(gt=0)]
Burst = Annotated[int, Meta(ge=1)]
SimulatorAddress = Annotated[str, Meta(pattern=ADDRESS)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a deployment: each is an environment variable ``PEREZVON_…`` of the same name."""

    database_url: str | None = None
    log_level: str = "info"
    log_format: str = "auto"
    rate_limits: bool = True
    operator_rate: Rate = 20.0
    operator_burst: Burst = 300
    token_rate: Rate = 200.0
    token_burst: Burst = 2000
    address_rate: Rate = 50.0
    address_burst: Burst = 500
    trusted_proxies: str = ""
    ready_lag_seconds: Annotated[float, Meta(ge=0)] = 10.0
    shutdown_seconds: Annotated[int, Meta(ge=0)] = 10
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    secrets_key: str | None = None
    webhook_allow_nets: str = ""
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
    """Read the settings; an empty variable counts as unset. Raises BadSetting."""
    given = {
        field.name: environment[f"PEREZVON_{field.name.upper()}"]
        for field in msgspec.structs.fields(Settings)
        if environment.get(f"PEREZVON_{field.name.upper()}", "") != ""
    }
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSetting(f"PEREZVON settings: {error}") from error
