"""DVC keeps what people have: an experiment on one data set leaves every file of another, with or
without a committed dvc.lock; nothing that a step makes is DVC's to remove or replace."""

import os
from pathlib import Path

import pytest
import yaml

from tests.support.dvc_project import KINDS, ROOT, DvcProject, ran

ON_A = ("-S", "datasets=[a]", "-S", "train.weight_decay=0.02")
TRAINED = ["train@a-melov-0", "evaluate@a-melov-0", "report@a"]
STAGES_OF_ONE = 7

UNDECLARED = (
    "data/b/features.zarr/texts/c.0",
    "runs/b/mimic-s7/model.safetensors",
    "ablations/b/grid/table.txt",
    "indexes/b/melov-s0/index.json",
)
"""What no stage declares."""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """Everything of both data sets is made, and dvc.lock is not committed."""
    made = DvcProject(tmp_path_factory.mktemp("dvc") / "project")
    assert len(made.repro()) == 2 * STAGES_OF_ONE
    for name in UNDECLARED:
        path = made.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return made


@pytest.fixture
def project(complete: DvcProject, tmp_path: Path) -> DvcProject:
    return complete.copy(tmp_path / "project")


def test_every_output_is_left_alone_by_dvc():
    for file in (ROOT / "dvc.yaml", ROOT / "data/demo/dvc.yaml"):
        for name, stage in yaml.safe_load(file.read_text())["stages"].items():
            for out in (out for kind in KINDS for out in stage.get(kind, [])):
                (options,) = out.values()
                assert options["cache"] is False, (name, out)
                assert options["persist"] is True, (name, out)


@pytest.mark.parametrize(
    "lock", ["committed", "not committed", pytest.param("lost", marks=pytest.mark.slow)]
)
def test_an_experiment_on_one_data_set_leaves_every_file_of_the_other(project, lock):
    if lock == "committed":
        project.commit("lock")
    elif lock == "lost":
        project.call("git", "rm", "--quiet", "--force", "dvc.lock")
    before, own = project.files_of("b"), project.files_of("a").keys()
    assert before.keys() >= {*UNDECLARED, "reports/b/file.txt", "metrics/b/melov-s0.json"}

    out = project.dvc("exp", "run", "--name", "one", *ON_A)
    assert ran(out)[-3:] == TRAINED
    assert len(ran(out)) == (STAGES_OF_ONE if lock == "lost" else 3)
    assert project.files_of("b") == before
    assert project.files_of("a").keys() == own

    project.call("git", "checkout", "--quiet", "params.yaml")
    project.dvc("checkout")
    project.dvc("exp", "apply", "one")
    assert project.files_of("b") == before
    assert project.files_of("a").keys() == own


@pytest.mark.slow
@pytest.mark.parametrize("kind", [["--temp"], ["--queue"]], ids=lambda kind: kind[0])
def test_an_experiment_apart_leaves_every_file_of_both_and_gives_its_figures(project, kind):
    project.dvc("add", *(f"data/{name}/{part}" for name in "ab" for part in ("raw", "encoder")))
    project.commit("a copy of the project gets raw data and encoders from DVC's cache")
    before = {name: project.files_of(name) for name in "ab"}
    made = project.dvc("exp", "run", *kind, "--name", "apart", *ON_A)
    if kind == ["--queue"]:
        made = project.dvc("exp", "run", "--run-all")
        made += project.dvc("queue", "logs", "apart")
    assert set(TRAINED) <= set(ran(made))
    assert {name: project.files_of(name) for name in "ab"} == before
    refs = project.call("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = (ref for ref in refs if ref.endswith("/apart"))
    figures = project.call("git", "show", f"{ref}:metrics/a/melov-s0.json")
    assert figures.startswith('{"made"')
    assert figures != (project.folder / "metrics/a/melov-s0.json").read_text()


def test_what_dvc_add_writes_is_tracked_at_once_so_that_apply_removes_nothing(project):
    """`dvc exp apply` removes the folder of an untracked file, also what Git ignores in it."""
    project.dvc("exp", "run", "--name", "one", *ON_A)
    project.dvc("add", "data/b/raw")
    assert "A  data/b/raw.dvc" in project.call("git", "status", "--short")
    before = project.files_of("b")
    project.dvc("exp", "apply", "one")
    kept = project.files_of("b")
    assert {name: kept.get(name) for name in before} == before


@pytest.mark.slow
def test_a_project_of_an_older_layout_is_safe_once_dvc_forgot_its_links(project):
    """There, outputs were cached; DVC removes what it linked and no stage declares any more."""
    now = project.folder / "dvc.yaml"
    text = now.read_text()
    now.write_text(text.replace("cache: false", "cache: true"))
    project.dvc("commit", "--force")
    now.write_text(text)
    before = project.files_of("b")
    (project.folder / ".dvc/tmp/btime").unlink()
    project.dvc("exp", "run", *ON_A)
    assert project.files_of("b") == before


def test_other_weights_in_a_local_folder_run_extraction_again(project):
    weights = project.folder / "data/a/encoder/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert project.repro()[:2] == ["encoders@a", "extract@a"]
    assert project.repro() == []


def test_a_link_to_an_encoder_moves_with_the_project(project):
    link = project.folder / "data/a/encoders/text"
    assert not Path(os.readlink(link)).is_absolute()
    assert link.resolve() == (project.folder / "data/a/encoder").resolve()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_with_the_real_commands(tmp_path):
    project = DvcProject(tmp_path / "project", real=True)
    assert len(project.repro()) == 2 * STAGES_OF_ONE
    before = project.files_of("b")
    assert ran(project.dvc("exp", "run", *ON_A)) == TRAINED
    assert project.files_of("b") == before
    assert project.repro() == []
