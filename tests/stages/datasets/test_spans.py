"""Where mentions stand in their sentences."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import MelovError
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.records import Records, RecordsError
from stages.datasets.spans import found_span, said_span
from stages.linking.mention import new_mention

ENTITIES = '{"id": "E1", "name": "Ada"}\n'


def read(folder, *mentions):
    (folder / "entities.jsonl").write_text(ENTITIES)
    lines = [json.dumps({"answer": "E1", "split": "test", **m}) for m in mentions]
    (folder / "mentions.jsonl").write_text("\n".join(lines))
    return read_jsonl(folder, "own")


def spans(records):
    table = records.mentions["test"]
    return [*zip(table["words"].to_pylist(), table["start"].to_pylist(), table["end"].to_pylist(),
                 strict=True)]  # fmt: skip


def test_what_the_source_says_is_kept_and_else_the_first_place_is_found(tmp_path):
    twice = "Ada met Ada"
    records = read(
        tmp_path,
        {"mention": "Ada", "sentence": twice},
        {"mention": "Ada", "sentence": twice, "start": 8, "end": 11},
        {"sentence": twice, "start": 4, "end": 7},
        {"mention": "Bo", "sentence": twice},
        {"mention": "Ada"},
        {"mention": "Ada", "sentence": "\U0001f600 Ada"},
    )
    assert spans(records) == [
        ("Ada", 0, 3), ("Ada", 8, 11), ("met", 4, 7), ("Bo", None, None), ("Ada", None, None),
        ("Ada", 2, 5),
    ]  # fmt: skip
    records.save(tmp_path / "records")
    assert spans(Records.load(tmp_path / "records")) == spans(records)


def test_offsets_decide_no_feature_so_a_store_stays(tmp_path):
    twice = {"mention": "Ada", "sentence": "Ada met Ada"}
    one = read(tmp_path, twice)
    other = read(tmp_path, {**twice, "start": 8, "end": 11})
    assert one.mentions["test"] != other.mentions["test"]
    assert one.digest == other.digest


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"start": 0}, "mentions.jsonl:1: field 'end' must be a whole number"),
        ({"start": 0, "end": 99}, "start 0 and end 99 are no part of the sentence, which has 11"),
        ({"start": -1, "end": 3}, "are no part"),
        ({"start": 3, "end": 3}, "are no part"),
        ({"start": 0.0, "end": 3}, "field 'start' must be a whole number"),
        ({"start": True, "end": 3}, "field 'start' must be a whole number"),
        ({"start": 4, "end": 7}, "from 4 to 7 the sentence has 'met', not the mention 'Ada'"),
    ],
)
def test_offsets_that_cannot_be_are_told_with_their_record(tmp_path, said, message):
    mention = {"mention": "Ada", "sentence": "Ada met Ada", **said}
    with pytest.raises(RecordsError, match=message):
        read(tmp_path, mention)
    with pytest.raises(MelovError, match=message.removeprefix("mentions.jsonl:1: ")):
        new_mention(mention, "here")


def test_a_csv_files_offsets_are_digits(tmp_path):
    (tmp_path / "entities.jsonl").write_text(ENTITIES)
    (tmp_path / "mentions.csv").write_text(
        "mention,sentence,start,end,answer,split\nAda,Ada met Ada,8,11,E1,test\n"
        ",Ada met Ada,4,7,E1,test\nAda,Ada,,,E1,test\n"
    )
    assert spans(read_jsonl(tmp_path, "own")) == [("Ada", 8, 11), ("met", 4, 7), ("Ada", 0, 3)]


def test_a_new_mention_may_be_a_part_of_its_sentence():
    found = new_mention({"sentence": "Ada met Bo", "start": 8, "end": 10}, "here")
    assert (found.words, found.sentence) == ("Bo", "Ada met Bo")


@given(st.text(max_size=8), st.text(max_size=30))
def test_a_found_place_has_the_words(words, sentence):
    span = found_span(words, sentence)
    if span is None:
        assert not words.strip() or words not in sentence
    else:
        assert sentence[slice(*span)] == words
        said = said_span({"start": span[0], "end": span[1]}, sentence, "here")
        assert said == span
