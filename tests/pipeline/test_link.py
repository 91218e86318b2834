import contextlib
import json
import shutil

import pytest
from click.testing import CliRunner

from pipeline.link import main as link
from pipeline.train import main as train
from tests.support.tiny_world import tiny_world


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tiny_world(tmp_path_factory.getbasetemp())
    with contextlib.chdir(root):
        command = ["--dataset", "tiny", "--variant", "no-intra", "--seed", "3"]
        result = CliRunner().invoke(train, [*command, "--set", "train.epochs=1"])
    assert result.exit_code == 0, result.output
    return root


def run(root, *arguments, variant="no-intra", seed="3", stdin=None):
    with contextlib.chdir(root):
        command = ["--dataset", "tiny", "--variant", variant, "--seed", seed, *arguments]
        return CliRunner().invoke(link, command, input=stdin)


def test_a_single_mention_is_shown_with_every_score(root):
    result = run(root, "--mention", "Ada", "--sentence", "Ada at the river", "--top", "3")
    assert result.exit_code == 0, result.output
    assert "vision" in result.stdout
    assert "fusion" in result.stdout
    assert len([line for line in result.stdout.splitlines() if "cross" in line]) == 3


def test_json_lines_in_and_out_row_by_row(root, tmp_path):
    said = [{"mention": "Ada", "id": "x"}, {"mention": "Bö", "image": "nowhere.png"}]
    text = "".join(json.dumps(one) + "\n" for one in said)
    file = tmp_path / "in.jsonl"
    file.write_text(text)
    piped = run(root, "--input", "-", stdin=text)
    assert piped.exit_code == 0, piped.output
    to_file = run(root, "--input", str(file), "--output", str(tmp_path / "out.jsonl"))
    assert to_file.exit_code == 0, to_file.output
    assert (tmp_path / "out.jsonl").read_text() == piped.stdout
    first, second = map(json.loads, piped.stdout.splitlines())
    assert (first["id"], second["id"]) == ("x", "2")
    assert [e["rank"] for e in first["entities"]] == [1, 2, 3, 4, 5]
    assert set(first["entities"][0]["units"]) == {"text", "vision", "cross"}
    assert set(first["alpha"]) == {"original", "generated"}
    assert second["mention"] == "Bö"
    assert "nowhere.png" in second["warnings"][0]
    single = run(root, "--mention", "Ada", "--json")
    assert json.loads(single.stdout)["entities"][0]["id"] == first["entities"][0]["id"]


def test_the_index_is_written_by_the_first_call_and_changes_no_answer(root):
    shutil.rmtree(root / "indexes", ignore_errors=True)
    without = run(root, "--mention", "Ada", "--json", "--no-index")
    assert not (root / "indexes").exists()
    first, second = (run(root, "--mention", "Ada", "--json") for _ in range(2))
    assert list((root / "indexes" / "tiny" / "no-intra-s3").glob("*.zarr"))
    assert without.exit_code == first.exit_code == second.exit_code == 0
    assert without.stdout == first.stdout == second.stdout


def test_a_malformed_line_fails_with_its_place_and_leaves_no_output(root, tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text('{"mention": "a"}\n{"mention"}\n')
    result = run(root, "--input", str(file), "--output", str(tmp_path / "out.jsonl"))
    assert result.exit_code == 1
    assert f"{file}:2" in result.output
    assert not (tmp_path / "out.jsonl").exists()


def test_a_run_that_is_not_there_fails_with_the_command_that_makes_it(root):
    result = run(root, "--mention", "Ada", variant="mimic", seed="9")
    assert result.exit_code == 1
    assert "python -m pipeline.train --dataset tiny --variant mimic --seed 9" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--mention", "a", "--input", "-"],
        ["--input", "-", "--sentence", "b"],
        ["--mention", "a", "--variant", "melof"],
        ["--mention", "a", "--top", "0"],
    ],
)
def test_wrong_usage_exits_with_2(root, arguments):
    assert run(root, *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"", "empty"), (b"<svg/>", "SVG"), (b"\xff\xd8\xff", "corrupt")],
)
def test_a_wrong_picture_of_a_single_mention_is_an_error(root, tmp_path, content, said):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    result = run(root, "--mention", "Ada", "--image", str(path))
    assert result.exit_code == 1
    assert said in result.output
    assert str(path) in result.output
    assert result.output.count("error: ") == 1
