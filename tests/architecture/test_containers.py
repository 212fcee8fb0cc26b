"""Properties of the Dockerfile and the compose file, checked without a container engine."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from interfaces.config.settings import Settings

_OWNERS = {"PEREZVON_OWNER_URL", "PEREZVON_ALLOW_OWNER"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def stages() -> list[list[str]]:
    """Return the instructions of the Dockerfile, one list for each stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found: list[list[str]] = []
    for line in filter(None, map(str.strip, re.sub(r"(?m)^#.*$", "", text).splitlines())):
        if line.startswith("FROM "):
            found.append([])
        if found:
            found[-1].append(line)
    return found


def test_the_image_runs_as_nobody_in_particular(stages: list[list[str]]) -> None:
    assert "USER 10001" in stages[-1]


def test_the_image_holds_no_checkout(stages: list[list[str]]) -> None:
    copies = [line for line in stages[-1] if line.startswith(("COPY", "ADD"))]
    assert len(stages) == 2
    assert copies
    assert [line for line in copies if "--from=" not in line] == []


def test_the_image_takes_hashed_wheels_alone(stages: list[list[str]]) -> None:
    installs = [line for stage in stages for line in stage if "pip" in line and "install" in line]
    assert any("--require-hashes --only-binary=:all: -r requirements.image.lock" in line for line in installs)


def test_the_database_keeps_its_data_where_postgres_18_puts_it(services: dict[str, Any]) -> None:
    assert services["db"]["image"] == "postgres:18"
    assert services["db"]["volumes"][0] == "pgdata:/var/lib/postgresql"


def test_the_database_is_healthy_only_once_it_answers_over_tcp(services: dict[str, Any]) -> None:
    assert services["db"]["healthcheck"]["test"][:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_there_is_no_password_to_forget(services: dict[str, Any]) -> None:
    assert services["db"]["environment"]["POSTGRES_PASSWORD"].startswith("${PEREZVON_DB_PASSWORD:?")
    assert services["worker"]["environment"]["PEREZVON_SECRETS_KEY"].startswith("${PEREZVON_SECRETS_KEY:?")


def test_only_migrations_run_with_the_login_of_the_owner_and_nothing_as_a_superuser(services: dict[str, Any]) -> None:
    (script,) = [Path(mount.split(":")[0]) for mount in services["db"]["volumes"] if "docker-entrypoint" in mount]
    text = (ROOT / script).read_text()
    assert {"CREATE ROLE perezvon LOGIN", "CREATE ROLE perezvon_app LOGIN"} <= set(
        re.findall(r"CREATE ROLE \w+ LOGIN", text)
    )
    assert "ALTER ROLE postgres PASSWORD NULL" in text
    assert "SUPERUSER" not in text
    assert services["migrate"]["environment"]["PEREZVON_OWNER_URL"].startswith(
        "postgresql://perezvon:${PEREZVON_DB_PASSWORD:?"
    )
    for name in ("api", "worker"):
        address = services[name]["environment"]["PEREZVON_DATABASE_URL"]
        assert address.startswith("postgresql://perezvon_app:${PEREZVON_APP_PASSWORD:?")
        assert "PEREZVON_OWNER_URL" not in services[name]["environment"]


@pytest.mark.parametrize("service", ["api", "worker"])
def test_every_setting_can_be_given_to_the_containers(services: dict[str, Any], service: str) -> None:
    passed_on = services[service]["environment"].keys()
    assert {f"PEREZVON_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} - _OWNERS <= passed_on


def test_the_api_is_for_this_machine_only(services: dict[str, Any]) -> None:
    assert services["api"]["ports"] == ["127.0.0.1:8080:8080"]


def test_api_and_worker_wait_for_the_schema(services: dict[str, Any]) -> None:
    assert services["migrate"]["command"] == ["perezvon", "migrate"]
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["restart"] == "unless-stopped"


def test_no_phone_rings_and_no_network_pretends_to_unless_somebody_asks(services: dict[str, Any]) -> None:
    assert services["worker"]["environment"]["PEREZVON_GATEWAY"] == "${PEREZVON_GATEWAY:-}"
    assert services["simulator"]["profiles"] == ["simulator"]
    address = services["worker"]["environment"]["PEREZVON_SIMULATOR_ADDRESS"]
    assert address == f"simulator:{services['simulator']['command'][-1].rpartition(':')[2]}"
