"""The import contracts of pyproject.toml hold, and each rejects one forbidden import."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "infrastructure", "interfaces")
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]
# Each planted file breaks one contract and no other: file, forbidden import.
PLANTS = {
    "Dependencies point inwards": ("application/planted_upward.py", "import interfaces.config.settings"),
    "Only the composition root imports infrastructure": (
        "interfaces/planted.py",
        "import infrastructure.postgres.connections",
    ),
    "Postgres and eventsourcing stay in infrastructure": ("application/planted_sql.py", "import psycopg"),
    "HTTP and command line libraries stay in interfaces": ("infrastructure/planted.py", "import litestar"),
    "Read models do not import one another": (
        "infrastructure/read_models/task_list/planted.py",
        "import infrastructure.read_models.audit_trail.query",
    ),
    "Product code does not import tests": ("domain/planted.py", "import hypothesis"),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Check a copy that contains all forbidden imports; return the verdict of each contract."""
    copy = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, forbidden in PLANTS.values():
        (copy / file).write_text(f"{forbidden}\n")
    return _verdicts(copy)


def test_the_contracts_hold() -> None:
    assert _verdicts(ROOT) == dict.fromkeys(CONTRACTS, "KEPT")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_contract_closes(contract: str, planted: dict[str, str]) -> None:
    assert contract in PLANTS, "plant an import that this new contract forbids"
    assert planted[contract] == "BROKEN"


def _verdicts(root: Path) -> dict[str, str]:
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", found.stdout, re.MULTILINE))
    assert verdicts, found.stdout
    return verdicts
