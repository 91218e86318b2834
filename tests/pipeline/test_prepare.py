import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.prepare import main as prepare
from pipeline.validate import main as validate
from stages.datasets.records import Records

COMMANDS = pytest.mark.parametrize("command", [prepare, validate], ids=["prepare", "validate"])


def entity(id, **fields):
    return {"id": id, "entity_name": f"E{id}", "attr": "", "image_list": [], **fields}


def mention(answer, **fields):
    return {"mentions": "E", "sentence": f"{answer}.", "imgPath": "", "answer": answer, **fields}


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """data/tiny/raw in the MIMIC layout, below a working directory with an empty params.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    folder = Path("data/tiny/raw")
    for name in ("kb_image", "mention_images"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "mention_images" / "a.jpg")
    write(folder, "kb_entity", [entity(0), entity(1)])
    write(folder, "qid2id", {"Q0": 0, "Q1": 1})
    write(folder, "T_train", [mention("Q0", imgPath="a.jpg"), mention("nil")])
    write(folder, "T_dev", [mention("Q1")])
    write(folder, "T_test", [mention("Q0")])
    return folder


def write(folder, name, value):
    (folder / f"{name}.json").write_text(json.dumps(value))


def run(command, *arguments, dataset="tiny"):
    return CliRunner().invoke(command, ["--dataset", dataset, *arguments])


def test_prepare_writes_records_and_prints_counts_and_findings(raw):
    result = run(prepare)
    assert result.exit_code == 0, result.output
    records = Records.load(Path("data/tiny/records"))
    assert records.image_root == "data/tiny/raw"
    assert [table.num_rows for table in records.mentions.values()] == [1, 1, 1]
    assert (Path(records.image_root) / records.pictures["path"][0].as_py()).exists()
    assert "nil-mention" in result.output
    assert "entities" in result.output
    assert Path("data/tiny/.partial/picture-keys.parquet").exists()


def test_preparing_twice_gives_the_same_bytes(raw):
    run(prepare)
    first = {file.name: file.read_bytes() for file in Path("data/tiny/records").iterdir()}
    run(prepare)
    second = {file.name: file.read_bytes() for file in Path("data/tiny/records").iterdir()}
    assert first == second
    assert len(first) == 7


def test_validate_writes_nothing(raw):
    before = sorted(Path().rglob("*"))
    result = run(validate)
    assert result.exit_code == 0, result.output
    assert "nil-mention" in result.output
    assert "pictures opened: 1" in result.output
    assert "pictures opened" not in run(validate, "--no-pictures").output
    assert sorted(Path().rglob("*")) == before


DAMAGES = {
    "a missing file": (lambda raw: (raw / "qid2id.json").unlink(), "qid2id.json: no such file"),
    "no list": (lambda raw: write(raw, "kb_entity", {}), "expected a list of entities"),
    "an empty KB": (lambda raw: write(raw, "kb_entity", []), "the knowledge base is empty"),
    "a gap": (
        lambda raw: write(raw, "kb_entity", [entity(0), entity(2)]), "id 2 where id 1 is due",
    ),
    "an unknown answer": (lambda raw: write(raw, "T_test", [mention("Q9")]), "answer 'Q9'"),
    "a duplicate QID": (
        lambda raw: (raw / "qid2id.json").write_text('{"Q0": 0, "Q0": 1}'), "duplicate key 'Q0'",
    ),
    "a path out of the folder": (
        lambda raw: write(raw, "kb_entity", [entity(0, image_list=["../x"]), entity(1)]),
        "out of the image folder",
    ),
}  # fmt: skip


@COMMANDS
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_source_that_cannot_be_read_ends_with_code_1_and_one_message(raw, command, damage):
    spoil, message = DAMAGES[damage]
    spoil(raw)
    result = run(command)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.startswith("error: ")
    assert "Traceback" not in result.output
    assert not Path("data/tiny/records/records.json").exists()


@COMMANDS
def test_a_missing_input_ends_with_code_1(raw, command):
    result = run(command, dataset="other")
    assert result.exit_code == 1
    assert "data/other/raw: no such folder" in result.output


@COMMANDS
def test_an_unknown_source_is_wrong_usage(raw, command):
    assert run(command, "--source", "csv").exit_code == 2


def test_odd_but_readable_data_ends_with_code_0_and_every_oddity_counted(raw):
    (raw / "mention_images" / "zero.jpg").touch()
    rows = [mention("Q0", mentions="x" * 10_000), mention("Q0", mentions="東京%20Київ")]
    rows += [mention("Q0", imgPath=name) for name in ("zero.jpg", "gone.jpg")]
    write(raw, "T_train", rows)
    result = run(prepare)
    assert result.exit_code == 0, result.output
    for code in ("mention-long", "picture-empty", "picture-missing", "mention-image-missing"):
        assert code in result.output
    words = Records.load(Path("data/tiny/records")).mentions["train"]["words"].to_pylist()
    assert [len(words[0]), *words[1:]] == [10_000, "東京 Київ", "E", "E"]


def test_an_unknown_answer_can_be_dropped_by_a_parameter(raw):
    write(raw, "T_test", [mention("Q9"), mention("Q0")])
    result = run(prepare, "--set", "prepare.missing_answer=drop")
    assert result.exit_code == 0, result.output
    assert Records.load(Path("data/tiny/records")).mentions["test"].num_rows == 1


def test_the_source_of_the_parameters_is_used_and_the_option_beats_it(raw):
    rows = {"1": {"sentence": "s", "mentions": "m", "entities": "T", "answer": "Q5"}}
    Path("bench.json").write_text(json.dumps(rows))
    result = run(prepare, "--input", "bench.json", "--set", "prepare.source=melbench")
    assert result.exit_code == 0, result.output
    assert Records.load(Path("data/tiny/records")).source == "melbench"
    assert run(prepare, "--source", "mimic", "--set", "prepare.source=melbench").exit_code == 0
    assert Records.load(Path("data/tiny/records")).source == "mimic"


def test_own_json_lines_are_prepared(raw):
    folder = Path("own")
    folder.mkdir()
    (folder / "entities.jsonl").write_text('{"id": "e", "name": "E"}\n')
    (folder / "mentions.jsonl").write_text('{"mention": "E", "answer": "e"}\n')
    result = run(prepare, "--source", "jsonl", "--input", "own")
    assert result.exit_code == 0, result.output
    assert Records.load(Path("data/tiny/records")).entities["id"].to_pylist() == ["e"]


def test_the_format_is_recognised_and_the_input_remembered(raw):
    assert run(prepare).exit_code == 0
    assert Records.load(Path("data/tiny/records")).source == "mimic"
    raw.rename("elsewhere")
    again = run(prepare)  # there is no raw, and nothing was told but by this move
    assert again.exit_code == 1
    assert "data/tiny/raw: no such folder" in again.output
    assert run(prepare, "--input", "elsewhere").exit_code == 0
    assert Records.load(Path("data/tiny/records")).input == "elsewhere"
    write(Path("elsewhere"), "kb_entity", [entity(0), entity(1, attr="new")])
    assert run(prepare).exit_code == 0
    records = Records.load(Path("data/tiny/records"))
    assert records.entities["text"].to_pylist() == ["", "new"]
    assert (records.source, records.input) == ("mimic", "elsewhere")
