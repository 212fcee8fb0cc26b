"""The workflow runs .ci/run with pinned actions and least rights; templates and settings of tools can be parsed."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(path for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml") if path.name != "config.yml")
_PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_has_least_rights(path: Path) -> None:
    assert [*unpinned(path.read_text())] == []
    assert [*broad_rights(read(path))] == []


def test_the_workflow_runs_what_every_change_must_pass() -> None:
    workflow = read(GITHUB / "workflows/ci.yml")
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert job["timeout-minutes"] <= 90
    assert workflow["concurrency"]["group"]
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request"}


@pytest.mark.parametrize(
    "line",
    [
        "uses: actions/checkout@v7",
        "uses: actions/checkout@v7.0.1 # v7.0.1",
        "uses: actions/checkout@3d3c42e # v7.0.1",
        "uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
        "uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # latest",
        "uses: docker://python:3.11",
        "uses: ./local",
    ],
)
def test_an_unpinned_action_is_refused(line: str) -> None:
    assert [*unpinned(f"    steps:\n      - {line}\n")] == [f"- {line}"]


@pytest.mark.parametrize(
    "workflow",
    [
        {"jobs": {}},
        {"permissions": "read-all", "jobs": {}},
        {"permissions": {"contents": "read"}, "jobs": {}},
        {"permissions": {}, "jobs": {"ci": {}}},
        {"permissions": {}, "jobs": {"ci": {"permissions": "write-all"}}},
        {"permissions": {}, "jobs": {"ci": {"permissions": {"contents": "write"}}}},
        {"permissions": {}, "jobs": {"ci": {"permissions": {"contents": "read", "issues": "read"}}}},
        {True: {"pull_request_target": None}, "permissions": {}, "jobs": {}},
    ],
)
def test_broad_rights_are_refused(workflow: dict[Any, Any]) -> None:
    assert [*broad_rights(workflow)] != []


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_github_requires(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_issues_start_from_a_form() -> None:
    assert {path.stem for path in FORMS} == {"bug", "feature"}
    assert read(GITHUB / "ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}


def test_dependabot_leaves_the_lock_files_to_uv() -> None:
    config = read(GITHUB / "dependabot.yml")
    assert config["version"] == 2
    assert {update["package-ecosystem"] for update in config["updates"]} == {"github-actions", "docker"}


def test_pre_commit_calls_the_tools_of_the_environment_and_no_network() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_the_dev_container_makes_the_environment() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"] == "./run --help"
    assert ":3.11" in container["image"]


def test_the_last_step_of_ci_holds_coverage_against_a_minimum() -> None:
    coverage = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert coverage["run"]["branch"]
    assert coverage["report"]["fail_under"] >= 80
    assert "coverage=(--coverage)" in (ROOT / ".ci/run").read_text().rpartition("\nstep ")[2]


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_a_page_is_complete(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text
    assert not re.search(r"\[INSERT|TODO|@example|mailto:", text)


def unpinned(workflow: str) -> Iterator[str]:
    """Yield the lines that use an action without its full commit and, in a comment, its version."""
    for line in map(str.strip, workflow.splitlines()):
        if re.match(r"(- )?uses:", line) and not _PINNED.fullmatch(line.removeprefix("- ")):
            yield line


def broad_rights(workflow: dict[Any, Any]) -> Iterator[str]:
    """Yield the places where a workflow has more rights than to read the repository."""
    if "pull_request_target" in (workflow.get(True) or {}):
        yield "on: pull_request_target"
    if workflow.get("permissions") != {}:
        yield "permissions"
    for name, job in workflow["jobs"].items():
        if job.get("permissions") not in ({}, {"contents": "read"}):
            yield f"jobs.{name}.permissions"
