"""Commands find their project from any working directory, and work on it alike."""

import contextlib
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.small_project import tree
from tests.support.tiny_world import tiny_world

RUN = ("--variant", "melov", "--seed", "0")
CHAIN = (
    ("prepare", "--source", "jsonl"),
    ("extract",),
    ("graph",),
    ("train", *RUN),
    ("evaluate", *RUN),
    ("report", "--set", "variants=[melov]", "--set", "seeds=[0]"),
    ("link", *RUN, "--mention", "Ada", "--sentence", "at the market", "--json", "--no-index"),
    ("validate", "--source", "jsonl"),
)
VOLATILE = {"timings.json", "picture-keys.parquet"}
"""They hold seconds, or absolute paths."""


def run(step: str, *arguments: str) -> Result:
    main = import_module(f"pipeline.{step}").main
    return CliRunner().invoke(main, ["--dataset", "tiny", *arguments])


def bare_project(source: Path, root: Path) -> Path:
    """A project of `source`'s raw data, parameters and encoder; nothing is done in it yet."""
    root.mkdir(parents=True)
    shutil.copytree(source / "data/tiny/raw", root / "data/tiny/raw")
    shutil.copytree(source / "clip", root / "clip")
    # Read of the records' findings too: a quirk of which the records name the place.
    with (root / "data/tiny/raw/mentions.jsonl").open("a") as file:
        file.write('{"mention": "Bo", "answer": "nil", "split": "train"}\n')
    shutil.copy(source / "params.yaml", root)
    return root


def chain(*options: str) -> dict[str, str]:
    """The output of each step."""
    said = {}
    for step, *arguments in CHAIN:
        result = run(step, *arguments, *options)
        assert result.exit_code == 0, (step, result.output)
        said[step] = result.output
    return said


def files(root: Path) -> dict[str, str]:
    return {name: key for name, key in tree(root).items() if Path(name).name not in VOLATILE}


def test_the_chain_from_elsewhere_gives_the_files_of_the_chain_from_inside(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    source = tiny_world(tmp_path_factory.getbasetemp())
    inside, elsewhere, below = (
        bare_project(source, tmp_path / name) for name in ("inside", "elsewhere", "far/below")
    )
    with contextlib.chdir(inside):
        said = chain()
    (tmp_path / "other").mkdir()
    with contextlib.chdir(tmp_path / "other"):
        chain("--project", "../elsewhere")
    with contextlib.chdir(tmp_path / "far"):
        from_above = chain("--project", "below")
    made = files(inside)
    for name in ("data/tiny/records/records.json", "data/tiny/graph/graph.json"):
        assert name in made
    for name in ("runs/tiny/melov-s0/metrics.json", "reports/tiny/report.html"):
        assert name in made
    assert files(elsewhere) == made
    assert files(below) == made
    assert list((tmp_path / "other").iterdir()) == []
    assert said["link"] == from_above["link"]
    assert "written: data/tiny/records\n" in said["prepare"]
    assert "written: below/data/tiny/records\n" in from_above["prepare"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One data set that is not prepared, with the working directory two folders inside."""
    root = tmp_path / "project"
    (root / "data/tiny/raw").mkdir(parents=True)
    (root / "params.yaml").write_text("prepare: {source: jsonl}\n")
    (root / "data/tiny/raw/entities.jsonl").write_text('{"id": "e", "name": "E"}\n')
    (root / "data/tiny/raw/mentions.jsonl").write_text('{"mention": "E", "answer": "e"}\n')
    monkeypatch.chdir(root / "data/tiny")
    return root


def test_the_nearest_folder_upwards_with_parameters_is_the_project(project):
    result = run("prepare")
    assert result.exit_code == 0, result.output
    assert (
        '"image_root": "data/tiny/raw"' in (project / "data/tiny/records/records.json").read_text()
    )


def test_without_a_project_the_message_names_the_option(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    result = run("prepare")
    assert result.exit_code == 1
    assert "no params.yaml here or in a folder above" in result.output
    assert "--project DIR" in result.output
    assert run("prepare", "--project", "project").exit_code == 0
    assert run("prepare", "--project", "nowhere").exit_code == 2


def test_a_project_without_parameters_says_which_file_is_missing(project):
    (project / "params.yaml").unlink()
    result = run("prepare", "--project", str(project))
    assert result.exit_code == 1
    assert "params.yaml: no such parameter file" in result.output


def test_what_a_user_types_is_relative_to_the_working_directory(project, monkeypatch):
    (project.parent / "own").mkdir()
    (project / "data/tiny/raw").rename(project.parent / "own/raw")
    (project.parent / "own/mine.yaml").write_text("prepare: {source: jsonl, seed: 5}\n")
    monkeypatch.chdir(project.parent / "own")
    options = ("--project", "../project", "--params", "mine.yaml", "--input", "raw")
    result = run("prepare", *options)
    assert result.exit_code == 0, result.output
    said = (project / "data/tiny/records/records.json").read_text()
    assert f'"image_root": "{project.parent}/own/raw"' in said


def test_a_message_shows_a_path_from_the_working_directory_on(project, monkeypatch):
    (project / "data/tiny/raw/entities.jsonl").unlink()
    monkeypatch.chdir(project)
    assert "error: data/tiny/raw: expected one of entities.jsonl" in run("prepare").output
    monkeypatch.chdir(project.parent)
    told = run("prepare", "--project", "project").output
    assert "error: project/data/tiny/raw: expected one of entities.jsonl" in told
