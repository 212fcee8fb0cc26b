"""Settings, read from environment variables. README.md describes each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingInvalid(Exception):
    """An environment variable is missing or cannot be read. The text says which."""


@dataclass(frozen=True)
class Config:
    """Settings of the CRM."""

    perezvon_url: str
    token: str
    operator_key: str
    queue_id: int
    webhook_secret: str
    agent_number: str
    tries: int
    pause_s: int
    host: str
    port: int
    public_url: str
    database: Path


def read_config(environment: Mapping[str, str]) -> Config:
    """Return the settings. Raises SettingInvalid."""

    def text(name: str, default: str | None = None) -> str:
        value = environment.get(name) or default
        if value is None:
            raise SettingInvalid(f"{name} is not set; README.md describes the settings")
        return value

    def integer(name: str, default: str | None = None) -> int:
        value = text(name, default)
        if not value.isdecimal():
            raise SettingInvalid(f"{name} is {value!r}; a whole number is expected")
        return int(value)

    host, port = text("CRM_HOST", "127.0.0.1"), integer("CRM_PORT", "8090")
    return Config(
        perezvon_url=text("CRM_PEREZVON_URL", "http://127.0.0.1:8080"),
        token=text("CRM_TOKEN"),
        operator_key=text("CRM_OPERATOR_KEY"),
        queue_id=integer("CRM_QUEUE_ID"),
        webhook_secret=text("CRM_WEBHOOK_SECRET"),
        agent_number=text("CRM_AGENT_NUMBER", "1001"),
        tries=integer("CRM_TRIES", "3"),
        pause_s=integer("CRM_PAUSE_SECONDS", "300"),
        host=host,
        port=port,
        public_url=text("CRM_PUBLIC_URL", f"http://{host}:{port}"),
        database=Path(text("CRM_DATABASE", "crm.sqlite")),
    )
