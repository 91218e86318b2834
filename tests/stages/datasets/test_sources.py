import json
from pathlib import Path

import pytest

from stages.datasets.records import RecordsError
from stages.datasets.sources import SOURCES, recognised
from tests.support.mimic_folder import write_mimic

LOOKS = {
    "mimic": ["kb_entity.json", "qid2id.json", "T_train.json"],
    "jsonl": ["entities.csv"],
    "melbench": ["Richpedia-MEL.json"],
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_folder_is_recognised_by_its_files(tmp_path: Path, name: str):
    for file in [*LOOKS[name], ".hidden.json", "README.md"]:
        (tmp_path / file).touch()
    assert recognised(tmp_path) == name
    assert name in SOURCES


@pytest.mark.parametrize("file", ["entities.jsonl", "mentions.jsonl", "mentions.csv"])
def test_any_file_of_ones_own_is_enough(tmp_path: Path, file: str):
    (tmp_path / file).touch()
    (tmp_path / "other.json").touch()
    assert recognised(tmp_path) == "jsonl"


@pytest.mark.parametrize("name", ["x.json", "x.ZIP"])
def test_a_file_is_melbenchs(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    assert recognised(tmp_path / name) == "melbench"


def test_what_looks_like_no_format_names_what_is_there_and_what_was_expected(tmp_path: Path):
    for name in ("b.txt", ".a.json"):
        (tmp_path / name).touch()
    with pytest.raises(RecordsError, match=r"found \.a\.json, b\.txt") as caught:
        recognised(tmp_path)
    assert all(name in caught.value.hint for name in SOURCES)
    assert "kb_entity.json" in caught.value.hint
    with pytest.raises(RecordsError, match="a file of no format"):
        recognised(tmp_path / "b.txt")
    with pytest.raises(RecordsError, match="no such folder or file"):
        recognised(tmp_path / "c")


def test_a_mimic_release_is_not_taken_for_melbenchs_json(tmp_path: Path):
    folder = write_mimic(tmp_path)
    assert recognised(folder) == "mimic"
    (folder / "qid2id.json").unlink()  # the reader says what is missing
    assert recognised(folder) == "mimic"
    assert json.loads((folder / "kb_entity.json").read_text())
