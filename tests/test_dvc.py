"""dvc.yaml against the code: every stage depends on what its command imports, and on no more of the
test bed than its own stages do. DVC follows no imports, so nothing else would tell."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PIPELINE, DEMO = ROOT / "dvc.yaml", ROOT / "data/demo/dvc.yaml"
CODE = ("cache", "stages", "pipeline")
SHARED = re.compile(r"(stages/\w+|pipeline/cli|[\w/]+/__init__)\.py")
"""Settings, paths, progress and the like: every command imports them. A stage depends on its
parameters instead, which dvc.yaml lists one by one."""


def stages(file: Path) -> dict[str, dict]:
    return yaml.safe_load(file.read_text())["stages"]


STAGES = [(file, name) for file in (PIPELINE, DEMO) for name in stages(file)]
EACH = pytest.mark.parametrize(
    ("file", "name"), STAGES, ids=[f"{f.parent.name}:{n}" for f, n in STAGES]
)


def code_dependencies(file: Path, name: str) -> list[str]:
    return [dep for dep in stages(file)[name]["deps"] if dep.split("/")[0] in CODE]


def module_file(module: str) -> str | None:
    """The project's file of a module, relative to the project; None of anything else."""
    path = Path(*module.split("."))
    if path.parts[0] in CODE:
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if (ROOT / found).exists():
                return found.as_posix()
    return None


@cache
def imports(file: str) -> frozenset[str]:
    """The project's files that a file imports, inside functions too; not for types alone."""
    tree = ast.parse((ROOT / file).read_text())
    unread = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found for name in names if (found := module_file(name)))


def all_imports(file: str) -> set[str]:
    """Those of a file, and theirs in turn; shared modules are not followed."""
    found, left = set(), [file]
    while left:
        here = left.pop()
        if here not in found and not SHARED.fullmatch(here):
            found.add(here)
            left += imports(here)
    return found


def commands(file: Path, name: str) -> list[str]:
    said = stages(file)[name]["cmd"]
    text = " ".join(said) if isinstance(said, list) else said
    return [f"pipeline/{step}.py" for step in re.findall(r"-m pipeline\.(\w+)", text)]


def covers(dependency: str, file: str) -> bool:
    return file == dependency or file.startswith(f"{dependency}/")


@EACH
def test_a_stage_depends_on_all_that_its_commands_import(file, name):
    needed = set().union(*(all_imports(command) for command in commands(file, name)))
    assert len(needed) > 2
    there = code_dependencies(file, name)
    assert sorted(f for f in needed if not any(covers(dep, f) for dep in there)) == []


@EACH
def test_a_stage_depends_on_no_code_that_its_commands_leave_alone(file, name):
    needed = set().union(*(all_imports(command) for command in commands(file, name)))
    there = code_dependencies(file, name)
    assert [dep for dep in there if not any(covers(dep, f) for f in needed)] == []


@EACH
def test_every_dependency_on_code_exists(file, name):
    there = code_dependencies(file, name)
    assert there
    assert [dep for dep in there if not (ROOT / dep).exists()] == []
    assert len(set(there)) == len(there)


def test_a_name_from_the_parameters_is_quoted_in_every_command():
    for name in stages(PIPELINE):
        assert "--dataset '${item.dataset}'" in stages(PIPELINE)[name]["cmd"], name


def test_only_the_test_beds_own_stages_depend_on_it():
    for name in stages(PIPELINE):
        for dep in code_dependencies(PIPELINE, name):
            assert not covers("stages/demo", dep), (name, dep)
            assert not dep.startswith("pipeline/demo"), (name, dep)
            assert dep != "stages", name


def test_an_edit_of_the_report_makes_the_report_alone_stale():
    stale = [n for n in stages(PIPELINE) if "stages/report" in code_dependencies(PIPELINE, n)]
    assert stale == ["report"]
