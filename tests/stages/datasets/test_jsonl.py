import json

import pytest

from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.records import RecordsError
from stages.paths import SPLITS
from tests.support.mimic_folder import write_picture

ENTITIES = [{"id": "a", "name": "Ann"}, {"id": 2, "name": "Bob", "description": "A builder."}]


def write_lines(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")


def write(folder, entities=ENTITIES, mentions=({"mention": "A", "answer": "a"},)):
    write_lines(folder / "entities.jsonl", entities)
    write_lines(folder / "mentions.jsonl", mentions)
    return folder


def all_rows(records):
    return [row for split in SPLITS for row in records.mentions[split].to_pylist()]


def counts(records):
    return {finding.code: finding.count for finding in records.findings}


def fails(folder, *parts):
    with pytest.raises(RecordsError) as caught:
        read_jsonl(folder, "tiny")
    for part in parts:
        assert part in str(caught.value)


def test_entities_keep_the_order_of_the_file_and_number_ids_become_text(tmp_path):
    mentions = [{"mention": "B", "answer": 2, "sentence": "B builds.", "image_kind": "good"}]
    records = read_jsonl(write(tmp_path, mentions=mentions), "tiny")
    assert records.entities["id"].to_pylist() == ["a", "2"]
    assert records.entities["text"].to_pylist() == ["", "A builder."]
    (row,) = all_rows(records)
    assert (row["id"], row["words"], row["gold"], row["answer"]) == ("mention-0", "B", 1, "2")
    assert (row["sentence"], row["image_kind"]) == ("B builds.", "good")


def test_csv_entities_read_as_json_lines_do(tmp_path):
    text = 'id,name,description,image\r\na,"Ann, ""A""","Two\r\nlines",x.jpg|y.jpg\r\n2,Bob,,\r\n'
    one, other = tmp_path / "csv", tmp_path / "jsonl"
    one.mkdir()
    other.mkdir()
    write(one)
    (one / "entities.jsonl").unlink()
    (one / "entities.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    rows = [
        {"id": "a", "name": 'Ann, "A"', "description": "Two\r\nlines", "image": ["x.jpg", "y.jpg"]},
        {"id": "2", "name": "Bob"},
    ]
    write(other, rows)
    assert read_jsonl(one, "tiny").digest == read_jsonl(other, "tiny").digest


def test_splits_come_from_the_files_or_from_the_field(tmp_path):
    one, other = tmp_path / "files", tmp_path / "field"
    one.mkdir()
    other.mkdir()
    write(one)
    (one / "mentions.jsonl").unlink()
    rows = [{"mention": s, "answer": "a", "id": s} for s in SPLITS]
    for split, row in zip(SPLITS, rows, strict=True):
        write_lines(one / f"mentions-{split}.jsonl", [row])
    names = ["train", "dev", "test"]
    write(other, mentions=[{**r, "split": s} for r, s in zip(rows, names, strict=True)])
    first, second = read_jsonl(one, "tiny"), read_jsonl(other, "tiny")
    assert [first.mentions[s]["words"].to_pylist() for s in SPLITS] == [[s] for s in SPLITS]
    assert first.digest == second.digest


def test_without_splits_a_seeded_one_is_made(tmp_path):
    rows = [{"mention": "A", "answer": "a", "sentence": str(i)} for i in range(100)]
    records = read_jsonl(write(tmp_path, mentions=rows), "tiny", seed=3)
    assert [records.mentions[s].num_rows for s in SPLITS] == [70, 10, 20]
    assert read_jsonl(tmp_path, "tiny", seed=3).digest == records.digest
    assert read_jsonl(tmp_path, "tiny", seed=4).digest != records.digest


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    rows = [{"mention": "A\u2028B", "answer": "a"}, "", {"mention": "C", "answer": "a"}]
    assert len(all_rows(read_jsonl(write(tmp_path, mentions=rows), "tiny"))) == 2


def test_pictures_may_be_relative_or_absolute_but_not_climb(tmp_path):
    outside = write_picture(tmp_path / "elsewhere" / "o.jpg", "blue")
    folder = tmp_path / "kb"
    inside = write_picture(folder / "img" / "i.jpg")
    rows = [{"id": "a", "name": "A", "image": ["img/i.jpg", str(outside), str(inside)]}]
    records = read_jsonl(write(folder, rows), "tiny")
    assert records.pictures["path"].to_pylist() == ["img/i.jpg", str(outside)]
    assert records.pictures["status"].to_pylist() == ["ok", "ok"]
    assert records.entities["pictures"].to_pylist() == [[0, 1, 0]]
    write(folder, [{"id": "a", "name": "A", "image": "../elsewhere/o.jpg"}])
    fails(folder, "entities.jsonl:1: image path '../elsewhere/o.jpg' leads out")


def test_unknown_fields_are_counted_with_the_nearest_known_one(tmp_path):
    rows = [{"id": "a", "name": "A", "descripton": "typo"}]
    records = read_jsonl(write(tmp_path, rows), "tiny")
    (finding,) = [f for f in records.findings if f.code == "field-ignored"]
    assert "did you mean 'description'?" in finding.examples[0]


def test_nil_mentions_are_kept_and_unknown_answers_can_be_dropped_both_counted(tmp_path):
    answers = ("nil", "zz", "a", " Nil", None, "")
    rows = [{"mention": "A", "answer": answer} for answer in answers]
    records = read_jsonl(write(tmp_path, mentions=rows), "tiny", missing_answer="drop")
    assert [row["id"] for row in all_rows(records)] == ["mention-2"]
    assert records.nil["id"].to_pylist() == ["mention-0", "mention-3"]
    assert (counts(records)["nil-mention"], counts(records)["answer-not-in-kb"]) == (2, 1)
    assert counts(records)["answer-blank"] == 2


def test_an_entity_of_the_id_nil_is_meant_by_it(tmp_path):
    entities = [{"id": "nil", "name": "Nil Admirari"}, {"id": "b", "name": "B"}]
    rows = [{"mention": "A", "answer": answer} for answer in ("nil", "NIL", "b")]
    records = read_jsonl(write(tmp_path, entities, rows), "tiny")
    assert sorted(row["answer"] for row in all_rows(records)) == ["b", "nil"]
    assert records.nil["answer"].to_pylist() == ["NIL"]


def test_mentions_without_an_entity_move_no_other_ones_split_and_follow_their_sentence(tmp_path):
    rows = [{"mention": "A", "answer": "a", "sentence": f"Sentence {i // 2}."} for i in range(40)]
    nil = [
        {"mention": "A", "answer": "nil", "sentence": f"Sentence {i}.", "id": f"n{i}"}
        for i in range(40)
    ]
    before = read_jsonl(write(tmp_path, mentions=rows), "tiny")
    records = read_jsonl(write(tmp_path, mentions=[*rows, *nil]), "tiny")
    assert records.mentions == before.mentions
    of = {row["sentence"]: s for s in SPLITS for row in records.mentions[s].to_pylist()}
    found = {row["sentence"]: row["split"] for row in records.nil.to_pylist()}
    assert len(found) == 40
    assert all(found[sentence] == split for sentence, split in of.items())
    assert set(found.values()) == set(SPLITS)


MENTION = {"mention": "A", "answer": "a"}


@pytest.mark.parametrize(
    ("mentions", "part"),
    [
        ([MENTION, '{"mention": '], "mentions.jsonl:2: not JSON at line 1"),
        ([MENTION, "[]"], "mentions.jsonl:2: expected an object, found a list"),
        ([{"answer": "a"}], "mentions.jsonl:1: no field 'mention'; keys present: answer"),
        ([{"mention": "A", "answer": "zz"}], "mentions.jsonl:1: answer 'zz' is no entity's id"),
        ([{**MENTION, "answer": 1.5}], "mentions.jsonl:1: field 'answer' is a number"),
        ([{**MENTION, "split": "trian"}], "mentions.jsonl:1: split 'trian'"),
        ([{**MENTION, "split": "test"}, MENTION], "mentions.jsonl:2: no field 'split'"),
        ([{**MENTION, "id": 1}, {**MENTION, "id": "1"}], "mentions.jsonl:2: duplicate id '1'"),
        ([{**MENTION, "image": ["a.jpg"]}], "mentions.jsonl:1: field 'image' is a list"),
    ],
)
def test_a_bad_mention_is_named_with_file_and_line(tmp_path, mentions, part):
    fails(write(tmp_path, mentions=mentions), part)


@pytest.mark.parametrize(
    ("entities", "part"),
    [
        ([{"id": "a", "name": "A"}] * 2, "entities.jsonl:2: duplicate id 'a', first in"),
        ([{"id": True, "name": "A"}], "entities.jsonl:1: field 'id' is true"),
        ([{"id": "a"}], "entities.jsonl:1: no field 'name'"),
        ([{"id": "a", "name": "A", "image": 3}], "field 'image' is an integer"),
        (["", ""], "entities.jsonl: the knowledge base is empty"),
    ],
)
def test_a_bad_entity_is_named_with_file_and_line(tmp_path, entities, part):
    fails(write(tmp_path, entities), part)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("id,name\na,A,more\n", "entities.csv:2: more cells than the header's 2 columns"),
        ("id,name\na\n", "entities.csv:2: fewer cells"),
        ('id,name\na,"A\n', "entities.csv:2: not CSV"),
        ("id|name\na|A\n", "entities.csv:2: no field 'id'"),
        ("id,name\n", "the knowledge base is empty"),
    ],
)
def test_bad_csv_is_named_with_file_and_line(tmp_path, text, part):
    write(tmp_path)
    (tmp_path / "entities.jsonl").unlink()
    (tmp_path / "entities.csv").write_text(text)
    fails(tmp_path, part)


def test_missing_and_ambiguous_files_are_named(tmp_path):
    fails(tmp_path / "nowhere", "no such folder", "entities.jsonl")
    fails(tmp_path, "expected one of entities.jsonl and entities.csv, found neither")
    write(tmp_path)
    write_lines(tmp_path / "mentions-test.jsonl", [MENTION])
    fails(tmp_path, "found mentions.jsonl, mentions-test.jsonl")
    (tmp_path / "mentions.jsonl").unlink()
    fails(tmp_path, "mentions-valid", "found mentions-test.jsonl")


def test_a_split_field_may_not_contradict_its_file(tmp_path):
    write(tmp_path)
    (tmp_path / "mentions.jsonl").unlink()
    for split in SPLITS:
        write_lines(tmp_path / f"mentions-{split}.jsonl", [{**MENTION, "split": "train"}])
    fails(tmp_path, "mentions-valid.jsonl:1: split 'train' in the file of the split 'valid'")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_mentions_and_entities_of_a_spreadsheet_read_as_json_lines_do(tmp_path, mark):
    def row(*cells):
        return mark.join(f'"{cell}"' if mark in cell else cell for cell in cells) + "\r\n"

    one, other = tmp_path / "csv", tmp_path / "jsonl"
    one.mkdir()
    other.mkdir()
    entities = (
        row("id", "name", "description") + row("a", "Ann; Bo, C\tD", "x") + row("2", "Bob", "")
    )
    (one / "entities.csv").write_text(entities)
    mentions = row("mention", "sentence", "answer", "split")
    mentions += row("A", "A, the; first\tone", "a", "train") + row("B", "", "2", "test")
    (one / "mentions.csv").write_text(mentions + row("C", "", "", "test"))
    said = [{"id": "a", "name": "Ann; Bo, C\tD", "description": "x"}, {"id": "2", "name": "Bob"}]
    told = [
        {"mention": "A", "sentence": "A, the; first\tone", "answer": "a", "split": "train"},
        {"mention": "B", "answer": 2, "split": "test"},
        {"mention": "C", "answer": None, "split": "test"},
    ]
    write(other, said, told)
    read = [read_jsonl(folder, "tiny") for folder in (one, other)]
    assert read[0].digest == read[1].digest
    assert [counts(records) for records in read] == [counts(read[1])] * 2
    assert counts(read[0])["answer-blank"] == 1


def test_mentions_of_each_split_may_be_of_either_form(tmp_path):
    write_lines(tmp_path / "entities.jsonl", ENTITIES)
    write_lines(tmp_path / "mentions-train.jsonl", [{"mention": "A", "answer": "a"}])
    for split in ("valid", "test"):
        (tmp_path / f"mentions-{split}.csv").write_text("mention,answer\nB,2\n")
    records = read_jsonl(tmp_path, "tiny")
    assert {split: len(records.mentions[split]) for split in SPLITS} == dict.fromkeys(SPLITS, 1)
    (tmp_path / "mentions-test.jsonl").touch()
    fails(tmp_path, "expected one of mentions-test.jsonl and mentions-test.csv, found both")
    (tmp_path / "mentions-test.jsonl").unlink()
    (tmp_path / "mentions-test.csv").unlink()
    fails(tmp_path, "found mentions-train.jsonl, mentions-valid.csv")


@pytest.mark.parametrize("answer", [{}, {"answer": None}, {"answer": ""}, {"answer": " \n"}])
def test_a_mention_that_nobody_has_labelled_is_counted(tmp_path, answer):
    write(tmp_path, mentions=[{"mention": "A", "answer": "a"}, {"mention": "B", **answer}])
    records = read_jsonl(tmp_path, "tiny")
    assert [row["words"] for row in all_rows(records)] == ["A"]
    (found,) = [f for f in records.findings if f.code == "answer-blank"]
    assert (found.count, found.dropped) == (1, True)
    assert found.examples[0].endswith("mentions.jsonl:2")


def test_a_knowledge_base_alone_is_read(tmp_path):
    write_lines(tmp_path / "entities.jsonl", ENTITIES)
    records = read_jsonl(tmp_path, "tiny")
    assert records.entities.num_rows == 2
    assert not all_rows(records)
    assert counts(records)["mentions-missing"] == 1
