"""Sources in which a value would win in silence, or that are no UTF-8 text of the right form."""

import csv
import gzip
import os

import pytest

from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.records import RecordsError

ENTITY = '{"id": "E1", "name": "one"}\n'
MENTION = '{"mention": "one", "answer": "E1"}\n'


def read(folder, entities, name="entities.jsonl"):
    data = entities if isinstance(entities, bytes) else entities.encode()
    (folder / name).write_bytes(data)
    (folder / "mentions.jsonl").write_text(MENTION)
    return read_jsonl(folder, "x")


@pytest.mark.parametrize(
    ("name", "entities", "said"),
    [
        ("entities.csv", "id,name,image,image\nE1,one,a,b\n", "'image' twice: columns 3 and 4"),
        ("entities.csv", "id,name,\nE1,one,x\n", "column 3 of the header has no name"),
        ("entities.jsonl", '{"id": "E1", "name": "a", "name": "b"}', ":1: duplicate key 'name'"),
        ("entities.jsonl", '{"id": "E1", "name": "a", "n": ' + "9" * 5000 + "}", "5000 digits"),
        ("entities.jsonl", '{"id": "E1", "\\ud800": 1}', "lone surrogate"),
        ("entities.jsonl", '[\n  {"id": "E1", "name": "one"}\n]\n', "one JSON list"),
        ("entities.jsonl", ENTITY.encode("utf-16"), "iconv -f UTF-16 "),
        ("entities.jsonl", ENTITY.encode("utf-16-le"), "UTF-16LE"),
        ("entities.jsonl", gzip.compress(ENTITY.encode(), mtime=0), "gunzip"),
        ("entities.jsonl", b"\xe9" + ENTITY.encode(), "WINDOWS-1252"),
    ],
)  # fmt: skip
def test_a_source_that_could_mean_something_else_is_refused(tmp_path, name, entities, said):
    with pytest.raises(RecordsError) as error:
        read(tmp_path, entities, name)
    assert said in str(error.value)
    assert name in str(error.value)


def test_a_cell_may_be_longer_than_the_csv_module_allows(tmp_path):
    text = "word " * 40_000
    assert len(text) > 131_072
    limit = csv.field_size_limit(131_072)
    try:
        records = read(tmp_path, f"id,name,description\nE1,one,{text}\n", "entities.csv")
    finally:
        csv.field_size_limit(limit)
    assert records.entities["text"].to_pylist() == [text]


def test_a_pipe_as_a_source_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "entities.jsonl")
    (tmp_path / "mentions.jsonl").write_text(MENTION)
    with pytest.raises(RecordsError, match="a pipe"):
        read_jsonl(tmp_path, "x")
