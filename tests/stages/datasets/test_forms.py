"""Ids and paths are equal in NFC and NFD, whatever the source: what was normalised is counted."""

import json
import unicodedata
from pathlib import Path

import pytest

from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.readers.melbench import read_melbench
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.records import Records, RecordsError
from stages.paths import SPLITS
from tests.support.mimic_folder import entity, mention, write_json, write_mimic, write_picture


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


ID, OTHER, PICTURE = "Élan", "한국", "Ångström"


def counts(records: Records) -> dict[str, int]:
    return {finding.code: finding.count for finding in records.findings}


def rows_of(records: Records) -> list[dict]:
    return [row for split in SPLITS for row in records.mentions[split].to_pylist()]


def write_jsonl(folder: Path, entities: list[dict], mentions: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("entities", entities), ("mentions", mentions)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_json_lines_of_two_forms_read_as_those_of_one(tmp_path: Path):
    read = []
    for form, other in ((nfc, nfc), (nfd, nfc), (nfc, nfd), (nfd, nfd)):
        folder = tmp_path / f"{len(read)}"
        write_picture(folder / "p" / f"{nfd(PICTURE)}.png")
        entities = [
            {"id": form(ID), "name": "A", "image": f"p/{form(PICTURE)}.png"},
            {"id": form(OTHER), "name": "B", "image": f"p/{other(PICTURE)}.png"},
        ]
        mentions = [
            {"id": form("é1"), "mention": "a", "answer": other(ID)},
            {"id": "2", "mention": "b", "answer": other(OTHER), "image": f"p/{other(PICTURE)}.png"},
        ]
        read.append(read_jsonl(write_jsonl(folder, entities, mentions), "tiny"))
    assert {records.digest for records in read} == {read[0].digest}
    assert read[0].entities["id"].to_pylist() == [nfc(ID), nfc(OTHER)]
    assert read[0].pictures["path"].to_pylist() == [f"p/{nfd(PICTURE)}.png"]
    assert read[0].pictures["status"].to_pylist() == ["ok"]
    assert [counts(records).get("id-not-nfc", 0) for records in read] == [0, 3, 2, 5]
    assert [counts(records).get("image-path-other-form", 0) for records in read] == [1, 1, 1, 0]


def test_two_entities_whose_ids_differ_in_their_form_alone_are_one_id_twice(tmp_path: Path):
    entities = [{"id": nfc(ID), "name": "A"}, {"id": nfd(ID), "name": "B"}]
    write_jsonl(tmp_path, entities, [{"mention": "a", "answer": ID}])
    with pytest.raises(RecordsError, match=r"entities.jsonl:2: duplicate id .*entities.jsonl:1"):
        read_jsonl(tmp_path, "tiny")


def test_the_mimic_layout_finds_qids_and_pictures_in_either_form(tmp_path: Path):
    folder = write_mimic(
        tmp_path,
        [entity(0, image_list=[f"{nfc(PICTURE)}.jpg"]), entity(1)],
        train=[mention(nfd(ID), imgPath=f"x/{nfc(PICTURE)}.png")],
        dev=[mention(nfc(ID), imgPath=f"x/{nfd(PICTURE)}.png")],
        test=[mention(nfc(OTHER), imgPath=f"x/{nfd('ü')}.png")],
        qids={nfc(ID): 0, nfd(OTHER): 1},
    )
    write_picture(folder / "kb_image" / f"{nfd(PICTURE)}.jpg")
    write_picture(folder / "mention_images" / f"{nfd(PICTURE)}.jpg")
    records = read_mimic(folder, "tiny")
    assert records.entities["id"].to_pylist() == [nfc(ID), nfc(OTHER)]
    assert [row["gold"] for row in rows_of(records)] == [0, 0, 1]
    assert [row["picture"] for row in rows_of(records)] == [1, 1, 2]
    assert records.pictures["status"].to_pylist() == ["ok", "ok", "missing"]
    found = counts(records)
    assert found["id-not-nfc"] == 2
    assert found["image-path-other-form"] == 2  # of the entity, and of the mention in NFC
    assert found["mention-image-missing"] == 1
    assert "mention-image-collision" not in found
    assert not any(code.startswith("entity-image-missing") for code in found)


def test_a_qid_in_two_forms_stands_twice(tmp_path: Path):
    folder = write_mimic(tmp_path, [entity(0), entity(1)])
    write_json(folder / "qid2id.json", {nfc(ID): 0, nfd(ID): 1})
    with pytest.raises(RecordsError, match=r"qid2id.json: QID .* twice, in two Unicode forms"):
        read_mimic(folder, "tiny")


def test_melbench_answers_in_two_forms_are_one_entity(tmp_path: Path):
    said = {"sentence": "S.", "mentions": "m", "entities": "Title"}
    rows = {nfd("é"): {**said, "answer": nfc(ID)}, "b": {**said, "answer": nfd(ID)}}
    write_json(tmp_path / "raw.json", rows)
    records = read_melbench(tmp_path, "tiny")
    assert records.entities["id"].to_pylist() == [nfc(ID)]
    assert {row["id"] for row in rows_of(records)} == {nfc("é"), "b"}
    assert counts(records)["id-not-nfc"] == 2
