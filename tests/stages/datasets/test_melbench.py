import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.datasets.readers.melbench import qid_order, read_melbench
from stages.datasets.records import RecordsError
from stages.datasets.splits import seeded_split
from stages.paths import SPLITS


def record(answer="Q1", sentence="A sentence.", mentions="A", entities="Title", **fields):
    return {
        "id": "x", "sentence": sentence, "mentions": mentions, "entities": entities,
        "answer": answer, **fields,
    }  # fmt: skip


def write(folder, records, name="raw.json"):
    (folder / name).write_text(json.dumps(records), encoding="utf-8")
    return folder / name


def counts(records):
    return {finding.code: finding.count for finding in records.findings}


def all_rows(records):
    return [row for split in SPLITS for row in records.mentions[split].to_pylist()]


def fails(path, *parts):
    with pytest.raises(RecordsError) as caught:
        read_melbench(path, "tiny")
    for part in parts:
        assert part in str(caught.value)


def test_the_knowledge_base_is_the_gold_titles_sorted_by_qid_number(tmp_path):
    rows = {q: record(q, q, entities=f"Title {q}") for q in ("Q100", "Q20", "Q3")}
    records = read_melbench(write(tmp_path, rows), "tiny")
    assert records.entities["id"].to_pylist() == ["Q3", "Q20", "Q100"]
    assert records.entities["name"].to_pylist() == ["Title Q3", "Title Q20", "Title Q100"]
    ids = records.entities["id"].to_pylist()
    assert all(ids[row["gold"]] == row["answer"] for row in all_rows(records))
    assert records.entities["picture"].to_pylist() == [-1, -1, -1]
    assert records.pictures.num_rows == 0


def test_qids_sort_by_number_before_anything_else():
    names = ["Q10", "zebra", "Q9", "ant"]
    assert sorted(names, key=qid_order) == ["Q9", "Q10", "ant", "zebra"]


def test_a_zip_reads_as_its_json_does(tmp_path):
    rows = {f"Q{i}": record(f"Q{i}", f"Sentence {i}.") for i in range(20)}
    plain = read_melbench(write(tmp_path, rows), "tiny")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("__MACOSX/._x.json", "left by macOS")
        archive.write(tmp_path / "raw.json", "folder/x.json")
    assert read_melbench(tmp_path / "raw.zip", "tiny").digest == plain.digest


def test_parallel_lists_give_one_mention_each(tmp_path):
    rows = {
        "7": record(["Q2", "Q1"], "Two of them.", ["b", "a"], ["B", "A"]),
        "8": record("Q1", "Other.", "a", "A"),
    }
    records = read_melbench(write(tmp_path, rows), "tiny")
    found = {row["id"]: (row["words"], row["answer"]) for row in all_rows(records)}
    assert found == {"7#0": ("b", "Q2"), "7#1": ("a", "Q1"), "8": ("a", "Q1")}
    splits = {s for s in SPLITS if "Two of them." in records.mentions[s]["sentence"].to_pylist()}
    assert len(splits) == 1


def test_several_titles_and_image_fields_are_counted(tmp_path):
    rows = {
        "1": record("Q1", "1", entities="First"),
        "2": record("Q1", "2", entities="Second", imgPath="a.jpg"),
        "3": record("nil", "3"),
    }
    records = read_melbench(write(tmp_path, rows), "tiny")
    assert records.entities["name"].to_pylist() == ["First"]
    met = counts(records)
    assert (met["entity-several-titles"], met["image-field-ignored"]) == (1, 1)
    assert met["nil-mention"] == 1
    assert records.nil["id"].to_pylist() == ["3"]
    assert len(all_rows(records)) == 2


def test_a_blank_answer_raises_or_is_dropped_and_counted(tmp_path):
    path = write(tmp_path, {"1": record("", "1"), "2": record("Q1", "2")})
    fails(path, "record '1': the answer is blank", "missing_answer=drop")
    records = read_melbench(path, "tiny", missing_answer="drop")
    assert counts(records)["answer-blank"] == 1
    assert len(all_rows(records)) == 1


def test_lists_of_different_lengths_are_named_with_their_lengths(tmp_path):
    path = write(tmp_path, {"7": record(["Q1"], "s", ["a", "b"], ["A", "B"])})
    fails(path, "record '7'", "mentions has 2, entities has 2, answer has 1")


def test_a_string_beside_lists_is_refused(tmp_path):
    fails(write(tmp_path, {"7": record("Q1", "s", ["a"], ["A"])}), "field 'answer' is a string")


def test_a_missing_file_is_named(tmp_path):
    fails(tmp_path / "none.zip", "none.zip: no such file")


def test_a_folder_must_hold_exactly_one_file(tmp_path):
    fails(tmp_path, "expected exactly one .json or .zip, found none")
    write(tmp_path, {"1": record()}, "a.json")
    assert read_melbench(tmp_path, "tiny").entities.num_rows == 1
    write(tmp_path, {}, "b.json")
    fails(tmp_path, "found a.json, b.json")


def test_a_zip_of_several_json_files_names_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "{}")
    fails(tmp_path / "raw.zip", "expected exactly one .json inside, found a.json, b.json")


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "raw.zip").write_bytes(b"PK?")
    fails(tmp_path / "raw.zip", "not a readable zip file")


def test_a_list_a_repeated_key_and_an_empty_object_are_refused(tmp_path):
    fails(write(tmp_path, [record()]), "expected an object keyed by id, found a list")
    (tmp_path / "raw.json").write_text('{"1": 1, "1": 2}')
    fails(tmp_path / "raw.json", "duplicate key '1'")
    fails(write(tmp_path, {}), "the knowledge base is empty")


sentences = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"]), max_size=60)


@given(sentences, st.integers(0, 5))
def test_the_split_is_complete_deterministic_and_never_parts_a_sentence(sentences, seed):
    ids = [f"m{number}" for number in range(len(sentences))]
    splits = seeded_split(ids, sentences, seed)
    assert set(splits) <= set(SPLITS)
    assert len(splits) == len(ids)
    of_sentence = {s: split for s, split in zip(sentences, splits, strict=True) if s}
    assert all(not s or of_sentence[s] == split for s, split in zip(sentences, splits, strict=True))
    # The order of the file plays no part.
    backwards = seeded_split(ids[::-1], sentences[::-1], seed)
    assert backwards[::-1] == splits


def test_distinct_sentences_split_in_exact_shares_and_the_seed_matters():
    ids = [str(number) for number in range(1000)]
    splits = seeded_split(ids, ids, 0)
    assert [splits.count(split) for split in SPLITS] == [700, 100, 200]
    assert seeded_split(ids, ids, 1) != splits


def test_ids_of_a_split_must_be_distinct():
    with pytest.raises(ValueError, match="distinct"):
        seeded_split(["a", "a"], ["", ""], 0)
