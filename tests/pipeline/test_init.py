from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.init import main as init
from pipeline.prepare import main as prepare
from stages.config import load_params

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((PROJECT / "params.yaml").read_text())
    return tmp_path


def run(*arguments, dataset="mine"):
    return CliRunner().invoke(init, ["--dataset", dataset, *arguments])


def test_a_block_is_added_and_no_other_line_changes(project):
    before = Path("params.yaml").read_text().splitlines()
    result = run("--text-encoder", "some/encoder", "--image-encoder", "none")
    assert result.exit_code == 0, result.output
    after = Path("params.yaml").read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 6
    params = load_params("params.yaml", "mine")
    assert params.extract.text_encoder == "some/encoder"
    assert params.extract.image_encoder == "none"
    one, other = (load_params(path, "demo") for path in ("params.yaml", PROJECT / "params.yaml"))
    assert one.model_dump(exclude={"overrides"}) == other.model_dump(exclude={"overrides"})
    said = yaml.safe_load(Path("params.yaml").read_text())["overrides"]["mine"]
    assert list(said) == ["prepare", "extract", "graph", "train", "evaluate"]


def test_the_steps_that_it_names_work_once_the_files_are_there(project):
    assert "python -m pipeline.prepare --dataset mine" in run().output
    raw = Path("data/mine/raw")
    (raw / "entities.csv").write_text("id;name\na;Ann\n")
    (raw / "mentions.csv").write_text("mention;answer\nA;a\n")
    result = CliRunner().invoke(prepare, ["--dataset", "mine"])
    assert result.exit_code == 0, result.output


def test_a_data_set_that_has_a_block_keeps_it(project):
    before = Path("params.yaml").read_text()
    result = run(dataset="wikimel")
    assert result.exit_code == 1
    assert "overrides.wikimel is there already" in result.output
    assert Path("params.yaml").read_text() == before


def test_a_parameter_file_without_overrides_or_without_anything_gets_some(project):
    for text in ("", "seeds: [0]\n", "overrides:\n    a: {}\n\nseeds: [0]\n"):
        Path("params.yaml").write_text(text)
        result = run()
        assert result.exit_code == 0, (text, result.output)
        assert "mine" in yaml.safe_load(Path("params.yaml").read_text())["overrides"]


def test_overrides_on_one_line_are_left_alone(project):
    Path("params.yaml").write_text("overrides: {a: {}}\n")
    result = run()
    assert result.exit_code == 1
    assert "write them one key a line" in result.output
    assert Path("params.yaml").read_text() == "overrides: {a: {}}\n"


def test_a_value_that_cannot_be_is_refused_and_nothing_is_written(project):
    before = Path("params.yaml").read_text()
    result = run("--text-encoder", "a\x01b")
    assert result.exit_code == 1
    assert "text_encoder" in result.output
    assert Path("params.yaml").read_text() == before
    assert not Path("data/mine").exists()
    assert run("--source", "csv").exit_code == 2


def test_the_name_may_stand_alone(project):
    result = CliRunner().invoke(init, ["mine", "--image-encoder", "none"])
    assert result.exit_code == 0, result.output
    assert load_params("params.yaml", "mine").extract.image_encoder == "none"
    assert Path("data/mine/raw").is_dir()


def test_in_a_folder_without_parameters_it_begins_a_project_with_all_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(init, ["mine", "--image-encoder", "none"])
    assert result.exit_code == 0, result.output
    given = (PROJECT / "params.yaml").read_text().splitlines()
    assert Path("params.yaml").read_text().splitlines()[: len(given)] == given
    assert load_params("params.yaml", "mine").extract.image_encoder == "none"
    assert Path("data/mine/raw").is_dir()


def test_a_new_project_may_begin_with_a_data_set_of_which_the_defaults_speak(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = run("--source", "mimic", dataset="wikimel")
    assert "overrides.wikimel is there already" in refused.output
    assert not Path("params.yaml").exists()
    assert run(dataset="wikimel").exit_code == 0
    assert Path("params.yaml").read_bytes() == (PROJECT / "params.yaml").read_bytes()
    assert Path("data/wikimel/raw").is_dir()
    assert run(dataset="wikimel").exit_code == 1


def test_a_begun_project_says_how_the_demo_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(dataset="demo").output
    assert "python -m pipeline.demo --dataset demo\n" in said
    assert "put the source" not in said


def test_parameters_that_are_named_must_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("--params", "nowhere.yaml")
    assert result.exit_code == 1
    assert "nowhere.yaml: no such parameter file" in result.output
    assert list(tmp_path.iterdir()) == []
