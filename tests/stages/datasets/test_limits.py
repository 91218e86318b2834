"""Limits of inputs: what passes one is named, the rest is read; users' real sizes are far below."""

import json
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from cache.errors import MelovError
from stages import limits
from stages.datasets import lines, rows, zipped
from stages.datasets.findings import EXAMPLE
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import RecordsError
from stages.linking.mention import new_mention, read_mentions
from stages.paths import SPLITS
from tests.support.mimic_folder import entity, mention, write_mimic

MIB = 2**20
RECORD = {"sentence": "s", "mentions": "m", "entities": "t", "answer": "Q1"}


def write(folder, entities, mentions=({"mention": "A", "answer": "E0"},)):
    for name, objects in (("entities", entities), ("mentions", mentions)):
        text = "".join(json.dumps(one) + "\n" for one in objects)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def found(records):
    return {finding.code: finding for finding in records.findings}


def all_mentions(records):
    return [row for split in SPLITS for row in records.mentions[split].to_pylist()]


def test_the_document_states_every_limit():
    table = Path("docs/data.md").read_text(encoding="utf-8").partition("## Limits")[2]
    stated = re.sub(r"[^\d\n.]", " ", table.replace(",", "")).split()
    for name, value in vars(limits).items():
        if name.isupper() and not name.startswith("MOST_"):
            unit = next(u for u in (2**30, MIB, 1) if value % u == 0)
            assert str(value // unit) in stated, name


def test_users_sizes_pass_every_limit_with_a_wide_margin():
    assert limits.RECORDS > 100 * 110_000
    assert limits.TEXT_CHARACTERS >= 10 * 100_000
    assert limits.NAME_CHARACTERS >= 10 * 9_999


def test_what_is_too_long_is_cut_and_named_and_the_rest_is_read(tmp_path):
    long = {
        "mention": "m" * (limits.NAME_CHARACTERS + 1), "sentence": "s" * 1_000_001,
        "answer": "E0", "image": "i" * 4097, "image_kind": "k" * 201,
    }  # fmt: skip
    entities = [
        {"id": "E0", "name": "n" * 2 * MIB, "description": "d" * (limits.TEXT_CHARACTERS + 1)},
        {"id": "E1", "name": "n" * 9_999, "description": "d" * 100_000, "image": ["x.png"] * 1001},
        {
            "id": "E2",
            "name": "plain",
            "image": "p" * 4097,
            "aliases": ["a" * (limits.NAME_CHARACTERS + 1), *map(str, range(limits.ALIASES))],
        },
    ]
    records = read_jsonl(write(tmp_path, entities, [long, {"mention": "B", "answer": "E2"}]), "x")
    table = records.entities.to_pylist()
    assert [len(row["name"]) for row in table] == [limits.NAME_CHARACTERS, 9_999, 5]
    assert [len(row["text"]) for row in table] == [limits.TEXT_CHARACTERS, 100_000, 0]
    assert [len(row["pictures"]) for row in table] == [0, limits.PICTURES, 0]
    assert table[2]["picture"] == -1
    assert [len(row["aliases"]) for row in table] == [0, 0, limits.ALIASES]
    assert len(table[2]["aliases"][0]) == limits.NAME_CHARACTERS
    one, other = sorted(all_mentions(records), key=lambda row: row["words"], reverse=True)
    assert len(one["words"]) == limits.NAME_CHARACTERS
    assert len(one["sentence"]) == limits.TEXT_CHARACTERS
    assert (len(one["image_kind"]), one["picture"]) == (limits.KIND_CHARACTERS, -1)
    assert (other["words"], other["gold"]) == ("B", 2)
    for code, where in {
        "entity-name-beyond-limit": "entities.jsonl:1", "entity-text-beyond-limit":
        "entities.jsonl:1", "entity-images-beyond-limit": "entities.jsonl:2",
        "mention-beyond-limit": "mentions.jsonl:1", "sentence-beyond-limit": "mentions.jsonl:1",
        "alias-beyond-limit": "entities.jsonl:3", "aliases-beyond-limit": "entities.jsonl:3",
        "image-kind-beyond-limit": "mentions.jsonl:1", "image-path-beyond-limit": "jsonl:",
    }.items():  # fmt: skip
        finding = found(records)[code]
        assert finding.count == (2 if code.startswith("image-path") else 1), code
        assert where in finding.examples[0]
        assert all(len(example) <= EXAMPLE + 3 for example in finding.examples)


def test_the_same_limits_hold_in_the_other_formats(tmp_path):
    long = "%41" * (limits.NAME_CHARACTERS + 1)
    folder = write_mimic(
        tmp_path / "mimic",
        [entity(0) | {"entity_name": long, "image_list": ["i" * 4097]}, entity(1), entity(2)],
        train=[mention("Q0") | {"mentions": long, "imgPath": "i" * 4097}],
    )
    codes = found(read_mimic(folder, "x"))
    assert codes["image-path-beyond-limit"].count == 2
    assert "kb_entity.json record 0" in codes["entity-name-beyond-limit"].examples[0]
    assert "TINY_train.json record 0" in codes["mention-beyond-limit"].examples[0]
    raw = {"a": RECORD | {"entities": long, "sentence": "s" * 1_000_001}, "b": RECORD}
    (tmp_path / "raw.json").write_text(json.dumps(raw))
    records = read_melbench(tmp_path / "raw.json", "x")
    assert sum(table.num_rows for table in records.mentions.values()) == 2
    assert "record 'a'" in found(records)["sentence-beyond-limit"].examples[0]


def test_an_id_is_never_cut(tmp_path):
    long = "E" * (limits.ID_CHARACTERS + 1)
    with pytest.raises(RecordsError, match=r"entities.jsonl:1: field 'id' has 10,001 characters"):
        read_jsonl(write(tmp_path, [{"id": long, "name": "n"}]), "x")
    (tmp_path / "raw.json").write_text(json.dumps({long: RECORD}))
    with pytest.raises(RecordsError, match="more than 10,000") as error:
        read_melbench(tmp_path / "raw.json", "x")
    assert len(str(error.value)) < 400
    digits = "Q" + "9" * 9_000  # more than Python makes a number of
    (tmp_path / "raw.json").write_text(json.dumps({"a": RECORD | {"answer": digits}, "b": RECORD}))
    assert read_melbench(tmp_path / "raw.json", "x").entities["id"].to_pylist() == ["Q1", digits]


def test_kinds_of_pictures_beyond_the_most_are_read_as_none(tmp_path, monkeypatch):
    monkeypatch.setattr(rows.limits, "KINDS", 2)
    mentions = [{"mention": "A", "answer": "E0", "image_kind": k, "split": "test"} for k in "abcab"]
    records = read_jsonl(write(tmp_path, [{"id": "E0", "name": "n"}], mentions), "x")
    kinds = records.mentions["test"]["image_kind"].to_pylist()
    assert kinds == ["a", "b", None, "a", "b"]
    assert found(records)["image-kind-beyond-limit"].count == 1


def test_a_line_without_an_end_is_refused_before_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LINE_BYTES", 1000)
    write(tmp_path, [{"id": "E0", "name": "n"}, {"id": "E1", "name": "n" * 20 * MIB}])
    tracemalloc.start()
    with pytest.raises(RecordsError, match=r"entities.jsonl:2: a line of more than 1,000 bytes"):
        read_jsonl(tmp_path, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB
    (tmp_path / "entities.jsonl").write_text(json.dumps([{"id": "E0", "name": "n" * 2000}]))
    with pytest.raises(RecordsError, match="jq -c"):
        read_jsonl(tmp_path, "x")


@pytest.mark.parametrize("name", ["entities.jsonl", "entities.csv"])
def test_a_file_of_too_many_records_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr("stages.datasets.fields.RECORDS", 2)
    text = "id,name\n1,a\n2,b\n3,c\n" if name.endswith("csv") else '{"id": 1, "name": "a"}\n' * 3
    write(tmp_path, [])
    (tmp_path / "entities.jsonl").unlink()
    (tmp_path / name).write_text(text.replace('"id": 1', '"id": "%s"') % (1, 2, 3)
                                 if name.endswith("jsonl") else text)  # fmt: skip
    with pytest.raises(RecordsError, match="more than 2 records"):
        read_jsonl(tmp_path, "x")


def test_a_new_mention_is_cut_and_says_so():
    said = {"mention": "m" * 100_001, "sentence": "s" * 1_000_001}
    cut = new_mention(said, "here")
    assert (len(cut.words), len(cut.sentence), len(cut.warnings)) == (100_000, 1_000_000, 2)
    with pytest.raises(MelovError, match=r"m.jsonl:1: field 'id' has"):
        read_mentions([json.dumps({"mention": "m", "id": "i" * 10_001}).encode()], "m.jsonl")
    with pytest.raises(MelovError, match="no path"):
        new_mention({"mention": "m", "image": "i" * 4097}, "here")


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def refused(path, *said):
    with pytest.raises(RecordsError) as error:
        read_melbench(path, "x")
    for part in (path.name, *said):
        assert part in str(error.value)


GOOD = json.dumps({"a": RECORD, "b": RECORD})


def test_a_zip_that_grows_is_refused_before_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "UNPACKED_FREE", 2 * MIB)
    bomb = archive(tmp_path / "bomb.zip", [("raw.json", GOOD + " " * 100 * MIB)])
    tracemalloc.start()
    refused(bomb, "raw.json: unpacks to more than", "100 times its size", "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * MIB


def test_a_zip_may_shrink_a_small_text_as_far_as_it_will(tmp_path):
    text = GOOD + " " * 20 * MIB
    assert read_melbench(archive(tmp_path / "raw.zip", [("raw.json", text)]), "x").entities


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "method", "said"),
    [
        ([("raw.json", GOOD)] * 2, zipfile.ZIP_DEFLATED, ["found raw.json, raw.json"]),
        ([("raw.json", GOOD)], zipfile.ZIP_BZIP2, ["packed by method 12", "unzip it"]),
        ([("raw.json", GOOD)], zipfile.ZIP_LZMA, ["packed by method 14"]),
        ([(f"{i}.txt", "") for i in range(1001)], zipfile.ZIP_STORED, ["1,001 members"]),
        ([("n" * 60_000 + str(i), "") for i in range(20)], zipfile.ZIP_STORED, ["bytes of"]),
        ([(f"{i}.json", "") for i in range(40)], zipfile.ZIP_STORED, ["9.json and 30 more"]),
    ],
)
def test_a_zip_of_another_form_is_one_clear_error(tmp_path, members, method, said):
    refused(archive(tmp_path / "raw.zip", members, method), *said)


def test_an_encrypted_member_is_named_and_a_cp437_name_is_read(tmp_path):
    data = bytearray(archive(tmp_path / "raw.zip", [("r\u00e4w.json", GOOD)]).read_bytes())
    at = [data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8]
    for place in at:  # an older tool's: no mark that the name is UTF-8
        struct.pack_into("<H", data, place, 0)
    (tmp_path / "raw.zip").write_bytes(data)
    assert read_melbench(tmp_path / "raw.zip", "x").entities.num_rows == 1
    for place in at:
        struct.pack_into("<H", data, place, 1)
    (tmp_path / "raw.zip").write_bytes(data)
    refused(tmp_path / "raw.zip", "encrypted", "unzip it")


def test_the_zip_itself_is_measured_before_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "ARCHIVE_BYTES", 10)
    refused(archive(tmp_path / "raw.zip", [("raw.json", GOOD)]), "more than 10")
