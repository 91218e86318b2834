"""Who may import whom. The table is the contract; a package that it does not name fails."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.commands import COMMANDS
from tests.support.imports import cycle, folded, imports_of, violations
from tests.support.tiny_world import tiny_world

ROOT = Path(__file__).parents[1]
PROJECT = ("cache", "stages", "pipeline")

BASIS = "limits section lazy paths problems progress shown unicode device allocator further share"
RUNS = f"{BASIS} extract_settings config datasets features graph heads ranking training rerank"
# What each package and module of `stages` may import of it: packages, or single modules of one.
# All may import `cache`, and none `pipeline`. A row names earlier rows only, so nothing can go in a
# circle.
MAY_IMPORT = {
    **dict.fromkeys(BASIS.split(), ""),
    "datasets": BASIS,
    "features": BASIS,
    # The features as a type: no store, no path, no JSON (HEADS_NEVER).
    "heads": "section lazy device progress further features.features features.names "
    "features.neighborhood",
    # The sections of the parameters, and the names that they are checked against.
    "extract_settings": BASIS,
    "train_settings": f"{BASIS} extract_settings heads.settings heads.variants heads.presets",
    "config": f"{BASIS} heads.settings train_settings extract_settings datasets.sources",
    "encode": f"{BASIS} extract_settings config datasets",
    "graph": f"{BASIS} config features",
    "ranking": f"{BASIS} config features heads",
    "training": f"{BASIS} config features heads ranking",
    "rerank": f"{BASIS} config features heads ranking",
    "runs": RUNS,
    "linking": f"{RUNS} encode runs",
    "ablation": f"{RUNS} encode runs",
    "report": f"{RUNS} encode runs",
    "standards": f"{RUNS} runs",
    "serving": f"{RUNS} encode runs linking standards",
    "verify": f"{RUNS} encode runs linking ablation report",
    "demo": f"{RUNS} encode runs linking ablation report",
}
HEADS_NEVER = ("json", "pathlib", "zarr")
HEADS_MAY_IMPORT_OF_CACHE = ("cache.errors",)

EVERY = imports_of(ROOT, PROJECT)
RUNNING = imports_of(ROOT, PROJECT, run_time_only=True)


def test_the_table_names_every_package_and_module_of_stages():
    packages = {path.parent.name for path in ROOT.glob("stages/*/__init__.py")}
    modules = {path.stem for path in ROOT.glob("stages/*.py")} - {"__init__"}
    assert packages | modules == MAY_IMPORT.keys()


def test_the_table_goes_downwards():
    earlier: set[str] = set()
    for name, row in MAY_IMPORT.items():
        assert {other.split(".")[0] for other in row.split()} <= earlier, name
        earlier.add(name)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_package_imports_what_its_row_allows(name):
    allowed = ["cache", *(f"stages.{other}" for other in MAY_IMPORT[name].split())]
    assert violations(EVERY, f"stages.{name}", allowed, PROJECT) == []


def test_the_store_knows_nothing_of_the_project_and_no_torch():
    assert violations(EVERY, "cache", [], PROJECT) == []
    assert violations(EVERY, "cache", [], ("torch", "transformers")) == []


def test_the_heads_know_no_store_no_path_and_no_json():
    assert violations(EVERY, "stages.heads", [], HEADS_NEVER) == []
    assert violations(EVERY, "stages.heads", HEADS_MAY_IMPORT_OF_CACHE, ("cache",)) == []


def test_only_the_commands_import_the_test_bed():
    others = {module: names for module, names in EVERY.items() if "stages.demo" not in module}
    bed = [m for m in others if any(n.startswith("stages.demo") for n in others[m])]
    assert bed == [module for module in bed if module.startswith("pipeline.")]
    assert bed  # or the table is about nothing


@pytest.mark.parametrize("package", ["cache", "stages"])
def test_no_click_and_no_dvc_below_the_commands(package):
    assert violations(EVERY, package, [], ("click", "dvc")) == []


def test_no_cycle_between_packages():
    nodes = ["cache", "pipeline", *(f"stages.{name}" for name in MAY_IMPORT)]
    assert cycle(folded(EVERY, nodes)) == []


def test_no_cycle_between_files():
    """Imports within a function count; see `imports_of` for the two kinds that do not."""
    files = RUNNING.keys()
    assert cycle({file: names & files for file, names in RUNNING.items()}) == []


@pytest.mark.parametrize("package", PROJECT)
def test_nothing_prints(package):
    """Commands echo, what is below them logs."""
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert calls == []


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"
"""Python then raises ModuleNotFoundError at `import torch`."""


def run_without_torch(code: str, folder: Path = ROOT) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]


def test_parameters_and_registries_are_read_without_torch():
    """Help and a mistyped key answer at once; torch takes seconds to load."""
    run_without_torch("import pipeline.cli, stages.config, stages.heads.variants")


def test_a_finished_extraction_is_recognised_without_torch(tmp_path_factory):
    root = tiny_world(tmp_path_factory.getbasetemp())
    run_without_torch("from pipeline.extract import main; main(['--dataset', 'tiny'])", root)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_checks_see_what_they_are_for(tmp_path):
    """A planted import of each kind: in a file, in a function, for types, by name."""
    late = "def f():\n    from stages.b import two\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stages.b.two\n"
    named = 'from stages.lazy import lazily\nmake = lazily("stages.b.two:Two")\n'
    for text in ("from stages.b.two import Two\n", late, typed, named):
        write(tmp_path, {"stages/a/one.py": text, "stages/b/two.py": "import stages.a.one\n"})
        every = imports_of(tmp_path, ["stages"])
        assert violations(every, "stages.a", ["stages.lazy"], ["stages"]) == [
            "stages.a.one imports stages.b.two"
        ]
        assert violations(every, "stages.a", ["stages.lazy", "stages.b"], ["stages"]) == []
        assert set(cycle(folded(every, ["stages.a", "stages.b"]))) == {"stages.a", "stages.b"}
        running = cycle(imports_of(tmp_path, ["stages"], run_time_only=True))
        assert bool(running) == (text not in (typed, named))


def test_every_command_says_what_it_does(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert len(COMMANDS) > 10
    for name in COMMANDS:
        main = import_module(f"pipeline.{name}").main
        assert main.help
        assert {"params", "assignments", "debug", "dataset"} <= {p.name for p in main.params}
        assert [p.name for p in main.params if not getattr(p, "help", None)] == [], name


def test_a_service_is_up_before_torch_is_imported():
    run_without_torch("import pipeline.serve, stages.serving.app")
