"""Who imports whom: cache <- stages <- pipeline, and no click or DVC below the commands."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("cache", {"stages", "pipeline", "click", "dvc", "torch", "transformers"}),
        ("stages", {"pipeline", "click", "dvc"}),
    ],
)
def test_a_package_imports_nothing_of_what_stands_above_it(package, never):
    files = sorted((PROJECT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(f.relative_to(PROJECT)): imported(f) & never for f in files}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_command_of_the_pipeline_says_what_it_does(monkeypatch):
    from importlib import import_module

    monkeypatch.chdir(PROJECT)
    modules = {path.stem for path in (PROJECT / "pipeline").glob("*.py")} - {"__init__", "cli"}
    commands = (
        "demo demo_encoder demo_vilt prepare validate extract graph train evaluate ablate link"
    )
    assert modules == {*commands.split(), "export", "joint", "load", "nearness", "report"}
    for name in modules:
        main = import_module(f"pipeline.{name}").main
        assert main.help
        assert {"params", "assignments", "debug", "dataset"} <= {p.name for p in main.params}
        assert [p.name for p in main.params if not getattr(p, "help", None)] == [], name
