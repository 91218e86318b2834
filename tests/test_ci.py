"""Every place that checks the project calls the Makefile's own targets."""

from pathlib import Path

import pytest
import yaml

from tests.support.makefile import calls, targets

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def commands(place: str) -> list[str]:
    if place == "workflow":
        steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
        return [step["run"] for step in steps if "run" in step]
    if place == "hooks":
        return [hook["entry"] for repo in HOOKS for hook in repo["hooks"]]
    lines = (ROOT / ".ci/run").read_text().splitlines()
    return [line for line in lines if line.startswith("make")]


@pytest.mark.parametrize("place", ["workflow", "hooks", "script"])
def test_it_runs_existing_targets_and_nothing_else(place):
    found = commands(place)
    assert found
    for command in found:
        assert command.startswith("make "), command
        called, assigned = calls(command)
        assert called, command
        assert called <= targets(), command
        assert not assigned, command


def test_the_workflow_and_the_script_run_the_same_commands():
    assert commands("workflow") == commands("script")


def test_the_workflow_covers_the_supported_versions_of_python():
    pythons = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    classifiers = (ROOT / "pyproject.toml").read_text()
    assert pythons == ["3.11", "3.12", "3.13"]
    assert all(f"Python :: {version}" in classifiers for version in pythons)


FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda p: p.stem)
def test_an_issue_form_is_one_that_the_forge_shows(path):
    """The keys that it must have, fields that are told apart, something that must be filled in."""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form.keys() <= {"name", "description", "title", "labels", "assignees", "body"}
    assert form["name"]
    assert form["description"]
    fields = form["body"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_hooks_fetch_nothing():
    assert {repo["repo"] for repo in HOOKS} == {"local"}
