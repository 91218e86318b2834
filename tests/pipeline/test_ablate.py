import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from cache.errors import MelovError
from pipeline.ablate import main as ablate
from pipeline.defaults import grid
from pipeline.train import main as train
from stages import config as config_module
from stages.ablation import run as ablation
from stages.config import load_params
from stages.datasets.records import read_digest
from stages.paths import DatasetPaths
from stages.report.grids import load_grids
from stages.runs import dataset as datasets
from stages.runs import fit as runs
from tests.support.resealed import reseal
from tests.support.tiny_world import tiny_world

PROJECT = Path(__file__).parents[2]
GRID = """
seeds: [0, 1]
runs:
  - {name: mimic, train: {units: [text]}}
  - {name: melov}
  - {name: cosine, graph: {metric: cosine}}
  - {name: d_z=2, variant: no-intra, train: {d_z: 2, epochs: 8}}
"""
FILES = (
    "model.safetensors", "config.json", "history.csv", "metrics.json", "ranks.npz",
    "probabilities.npz", "predictions.csv",
)  # fmt: skip
NOTED = "timings.json"
"""Written beside them, and read by nothing."""
TABLES = ("table.csv", "table.md", "table.parquet", "runs.parquet")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny_world(tmp_path_factory.getbasetemp())


def of(root):
    """The data set's paths, and the digest of its records."""
    paths = DatasetPaths("tiny", root)
    return paths, read_digest(paths.records)


def write_grid(root, name, more=""):
    (root / f"{name}.yaml").write_text(GRID + more)


def run(root, name, *arguments):
    with contextlib.chdir(root):
        command = ["--dataset", "tiny", "--grid", f"{name}.yaml", *arguments]
        return CliRunner().invoke(ablate, command)


@dataclass
class Straight:
    """A grid run without a break: what it printed, where it lies, the graphs that it built."""

    stdout: str
    folder: Path
    graphs: list[str]


@pytest.fixture(scope="module")
def straight(root):
    write_grid(root, "straight")
    graphs, build = [], datasets.build_graph

    def counted(features, pictures, config):
        graphs.append(config.metric)
        return build(features, pictures, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "build_graph", counted)
        result = run(root, "straight")
    assert result.exit_code == 0, result.output
    return Straight(result.stdout, root / "ablations/tiny/straight", graphs)


def test_every_run_leaves_its_files_and_the_table_is_printed(straight):
    folder = straight.folder
    names = [f"{name}-s{seed}" for name in ("mimic", "melov", "cosine", "d_z=2") for seed in (0, 1)]
    for name in names:
        found = sorted(path.name for path in (folder / name).iterdir())
        with_gcn = ["training.npz"] if name.startswith(("melov", "cosine")) else []
        assert found == sorted([*FILES, NOTED, *with_gcn])
    assert (folder / "table.md").read_text() in straight.stdout
    assert not (folder / ".partial").exists()
    said = json.loads((folder / "d_z=2-s1" / "metrics.json").read_text())
    assert (said["dataset"], said["variant"], said["seed"]) == ("tiny", "no-intra", 1)
    assert json.loads((folder / "d_z=2-s1" / "config.json").read_text())["heads"]["d_z"] == 2
    for run, metric in (("melov-s0", "kernel"), ("cosine-s0", "cosine")):
        said = json.loads((folder / run / "metrics.json").read_text())
        assert said["graph"]["metric"] == metric  # the report's sweeps read it


@pytest.mark.slow
def test_a_killed_ablation_resumes_and_ends_as_a_straight_one(root, straight, tmp_path):
    # Without the straight grid's runs beside it, which would be taken.
    root = shutil.copytree(root, tmp_path / "alone", ignore=shutil.ignore_patterns("ablations"))
    write_grid(root, "killed")
    folder = root / "ablations/tiny/killed"
    command = [
        sys.executable,
        "-m",
        "pipeline.ablate",
        "--dataset",
        "tiny",
        "--grid",
        "killed.yaml",
    ]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 120
        while not list(folder.glob(".partial/d_z=2-s0/*/state.pt")):  # in the middle of a run
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")}
    assert {path.parent.name for path in finished} >= {"mimic-s0", "melov-s1", "cosine-s1"}
    assert not (folder / "table.csv").exists()

    result = run(root, "killed")
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for name in TABLES:
        assert (folder / name).read_bytes() == (straight.folder / name).read_bytes()


def test_a_finished_grid_trains_nothing_and_a_changed_run_alone_is_repeated(
    root, straight, monkeypatch
):
    folder = root / "ablations/tiny/changed"
    shutil.copytree(straight.folder, folder)
    write_grid(root, "changed")
    trained = []

    def counted(data, heads, config, *rest):
        trained.append((heads.variant, config.d_z))
        return original(data, heads, config, *rest)

    original = runs.train
    monkeypatch.setattr(runs, "train", counted)
    assert run(root, "changed").exit_code == 0
    assert trained == []
    grid = root / "changed.yaml"
    grid.write_text(grid.read_text().replace("d_z: 2", "d_z: 3").replace("[0, 1]", "[1]"))
    assert run(root, "changed").exit_code == 0
    assert trained == [("no-intra", 3)]


def test_a_finished_grid_that_is_worked_on_again_is_no_longer_called_finished(
    root, straight, monkeypatch, tmp_path
):
    root = shutil.copytree(root, tmp_path / "copy")
    folder = root / "ablations/tiny/again"
    shutil.copytree(straight.folder, folder)
    write_grid(root, "again")
    grid = root / "again.yaml"
    grid.write_text(grid.read_text().replace("d_z: 2", "d_z: 4"))
    original, made = ablation.execute, []

    def killed_after_one(*arguments):
        made.append(original(*arguments) if not made else 1 / 0)
        return made[-1]

    monkeypatch.setattr(ablation, "execute", killed_after_one)
    assert run(root, "again").exit_code == 1
    grids = load_grids(*of(root))
    assert grids.left_out["again"] == "has runs that were made again since its tables"


def test_a_run_that_another_grid_has_finished_is_taken_from_there(
    root, straight, monkeypatch, tmp_path
):
    root = shutil.copytree(root, tmp_path / "copy")
    (root / "other.yaml").write_text("seeds: [1]\nruns: [{name: kernel, variant: melov}]\n")
    monkeypatch.setattr(runs, "train", None)  # not to be called
    result = run(root, "other")
    assert result.exit_code == 0, result.output
    taken, source = root / "ablations/tiny/other/kernel-s1", straight.folder / "melov-s1"
    for name in set(FILES) - {"metrics.json"}:
        assert (taken / name).read_bytes() == (source / name).read_bytes()
    said, theirs = (json.loads((f / "metrics.json").read_text()) for f in (taken, source))
    assert said.pop("seal") != theirs.pop("seal")
    assert said == {**theirs, "run": "kernel"}
    # One that was made from something else is not taken.
    shutil.rmtree(taken)
    for metrics in root.glob("ablations/tiny/*/melov-s1/metrics.json"):
        reseal(metrics, lambda content: {**content, "digest": "another"})
    assert run(root, "other").exit_code == 1


def test_a_run_of_a_grid_is_the_run_that_train_makes(root, straight):
    with contextlib.chdir(root):
        result = CliRunner().invoke(
            train, ["--dataset", "tiny", "--variant", "melov", "--seed", "1"]
        )
    assert result.exit_code == 0, result.output
    alone = load_file(root / "runs/tiny/melov-s1/model.safetensors")
    gridded = load_file(straight.folder / "melov-s1/model.safetensors")
    assert all(alone[name].equal(gridded[name]) for name in alone | gridded)


def test_the_seed_and_the_graph_change_the_course(straight):
    def contents(run, name):
        return (straight.folder / run / name).read_bytes()

    assert contents("melov-s0", "model.safetensors") != contents("melov-s1", "model.safetensors")
    assert contents("melov-s0", "history.csv") != contents("cosine-s0", "history.csv")


def test_a_graph_is_built_once_and_the_stored_one_never(straight):
    assert straight.graphs == ["cosine"]


def test_settings_that_do_not_go_together_are_found_before_any_training(root):
    write_grid(root, "late", "  - {name: low, variant: melov, train: {tau_init: 0.01}}\n")
    result = run(root, "late")
    assert result.exit_code == 1
    assert "tau_init" in result.output
    assert not (root / "ablations/tiny/late").exists()


def test_a_grid_that_is_not_there_fails_with_one_message(root):
    result = run(root, "nowhere")
    assert result.exit_code == 1
    assert result.output.startswith("error: nowhere.yaml: no such grid")
    assert "the package's own: figure3, " in result.output


@pytest.mark.parametrize("name", ["figure3", "figure3.yaml", "grids/figure3.yaml"])
def test_a_grid_of_the_package_is_known_by_its_name_where_there_is_no_such_file(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    packaged = grid(Path(name))
    assert packaged.read_bytes() == (PROJECT / "grids/figure3.yaml").read_bytes()
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("")
    assert grid(Path(name)) == Path(name)


@pytest.mark.parametrize("name", ["figure", "elsewhere/figure3.yaml", "figure3.yml"])
def test_another_name_is_none_of_the_packages_grids(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MelovError, match="no such grid"):
        grid(Path(name))


def test_a_graph_beyond_what_exact_can_do_is_known_by_the_backend_that_made_it(root, monkeypatch):
    monkeypatch.setattr(config_module, "EXACT_MENTIONS", 10)
    (root / "large.yaml").write_text("runs: [{name: melov, train: {epochs: 1}}]")
    result = run(root, "large")
    assert result.exit_code == 0, result.output
    said = json.loads((root / "ablations/tiny/large/melov-s0/config.json").read_text())
    graph = load_params(root / "params.yaml", "tiny").graph
    wanted = graph.model_copy(update={"backend": "faiss"}).digest
    assert said["provenance"]["graph"] == wanted != graph.digest


@pytest.mark.parametrize("name", [*FILES, "tables.json"])
def test_what_a_grids_run_lacks_is_made_again_by_the_command_that_the_report_names(
    root, straight, tmp_path, name
):
    root = shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns("ablations"))
    folder = root / "ablations/tiny/straight"
    shutil.copytree(straight.folder, folder)
    lost = folder / name if name == "tables.json" else folder / "mimic-s0" / name
    before = {path.name: path.read_bytes() for path in lost.parent.iterdir() if path.is_file()}
    lost.unlink()
    with contextlib.suppress(MelovError):  # a file that the report does not read is not missed
        found = load_grids(*of(root))
        assert found.finished or "straight" in found.left_out
    result = run(root, "straight")
    assert result.exit_code == 0, result.output
    found = load_grids(*of(root))
    assert [grid.name for grid in found.finished] == ["straight"]
    assert found.left_out == {}
    for file in FILES if lost.parent != folder else ():
        assert (lost.parent / file).read_bytes() == before[file], file
