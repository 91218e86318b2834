import json
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.datasets.fields import percent_decode
from stages.datasets.pictures import KeyCache
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.readers.mimic_images import candidates
from stages.datasets.records import Records, RecordsError
from tests.support.mimic_folder import entity, mention, write_json, write_mimic, write_picture


def counts(records):
    return {finding.code: finding.count for finding in records.findings}


def paths_of(records, split="train"):
    paths = records.pictures["path"].to_pylist()
    rows = records.mentions[split]["picture"].to_pylist()
    return [None if row < 0 else paths[row] for row in rows]


def fails(folder, *parts, **options):
    with pytest.raises(RecordsError) as caught:
        read_mimic(folder, "tiny", **options)
    for part in parts:
        assert part in str(caught.value)


def test_entities_come_out_in_the_order_of_their_ids_under_their_qid(tmp_path):
    entities = [entity(2, "C"), entity(0, "A"), entity(1, "B")]
    qids = {"Q30": 2, "Q10": 0, "Q20": 1}
    rows = {"train": [mention("Q30")], "dev": [mention("Q10")], "test": [mention("Q20")]}
    records = read_mimic(write_mimic(tmp_path / "raw", entities, **rows, qids=qids), "tiny")
    assert records.entities["id"].to_pylist() == ["Q10", "Q20", "Q30"]
    assert records.entities["name"].to_pylist() == ["A", "B", "C"]
    assert [records.gold(split).tolist() for split in ("train", "valid", "test")] == [[2], [0], [1]]


def test_what_was_read_survives_save_and_load(tmp_path):
    folder = write_mimic(
        tmp_path / "raw", train=[mention("Q0", imgPath="a.jpg", image_kind="good")]
    )
    records = read_mimic(folder, "tiny")
    records.save(tmp_path / "records")
    loaded = Records.load(tmp_path / "records")
    assert loaded.digest == records.digest
    assert loaded.findings == records.findings
    assert loaded.mentions["train"]["image_kind"].to_pylist() == ["good"]
    assert loaded.mentions["valid"]["image_kind"].to_pylist() == [None]


def test_nil_mentions_stand_beside_the_splits_and_leave_a_gap_in_the_ids(tmp_path):
    rows = [mention("nil"), mention("Q1"), mention(" NIL", imgPath="a.jpg"), mention("Q0")]
    folder = write_mimic(tmp_path / "raw", train=rows)
    write_picture(folder / "mention_images" / "a.jpg")
    records = read_mimic(folder, "tiny")
    assert records.mentions["train"]["id"].to_pylist() == ["train-1", "train-3"]
    assert records.nil["id"].to_pylist() == ["train-0", "train-2"]
    assert records.nil["split"].to_pylist() == ["train", "train"]
    assert [row >= 0 for row in records.nil["picture"].to_pylist()] == [False, True]
    (finding,) = [f for f in records.findings if f.code == "nil-mention"]
    assert (finding.count, finding.dropped) == (2, False)
    assert finding.examples == ("TINY_train.json record 0", "TINY_train.json record 2")
    records.save(tmp_path / "records")
    loaded = Records.load(tmp_path / "records")
    assert (loaded.nil, loaded.digest) == (records.nil, records.digest)


def test_an_entity_of_the_id_nil_is_meant_by_it(tmp_path):
    rows = [mention("nil"), mention("Q1"), mention("NIL")]
    knowledge, qids = [entity(0), entity(1)], {"nil": 0, "Q1": 1}
    records = read_mimic(write_mimic(tmp_path / "raw", knowledge, rows, [], [], qids), "tiny")
    assert records.mentions["train"]["gold"].to_pylist() == [0, 1]
    assert records.nil["answer"].to_pylist() == ["NIL"]


def test_valid_json_is_accepted_in_place_of_dev_json(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "TINY_dev.json").rename(folder / "TINY_valid.json")
    (folder / "._TINY_train.json").write_bytes(b"left by macOS")
    assert read_mimic(folder, "tiny").mentions["valid"].num_rows == 1


@pytest.mark.parametrize("field", ["attr", "desc"])
def test_attr_and_desc_are_both_read_and_which_one_is_recorded(tmp_path, field):
    entities = [{**entity(i), field: f"text {i}"} for i in range(3)]
    if field == "desc":
        for row in entities:
            del row["attr"]
    records = read_mimic(write_mimic(tmp_path / "raw", entities), "tiny")
    assert records.text_field == field
    assert records.entities["text"].to_pylist() == ["text 0", "text 1", "text 2"]


def test_null_and_nan_texts_are_read_as_empty_and_counted(tmp_path):
    entities = [entity(0, attr=None), entity(1, attr=float("nan")), entity(2)]
    records = read_mimic(write_mimic(tmp_path / "raw", entities), "tiny")
    assert records.entities["text"].to_pylist() == ["", "", "Sex: male."]
    assert counts(records)["entity-text-null"] == 2


def test_a_byte_order_mark_is_skipped(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    for file in folder.glob("*.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_mimic(folder, "tiny").entities.num_rows == 3


@pytest.mark.parametrize(
    "name", ["Ελλάδα", "Zürich", "東京", "محمد", "Київ", "𝔐𝔢𝔩", "👩‍🚀", "a\u0000b"]
)
def test_names_in_any_script_come_back_as_they_were(tmp_path, name):
    rows = [mention("Q0", name)]
    records = read_mimic(write_mimic(tmp_path / "raw", [entity(0, name)] * 1, rows, [], []), "tiny")
    assert records.entities["name"].to_pylist() == [name]
    assert records.mentions["train"]["words"].to_pylist() == [name]


def test_a_bad_percent_sequence_is_kept_and_counted(tmp_path):
    rows = [mention("Q0", mentions="100%"), mention("Q1", mentions="Caf%E9%20noir")]
    records = read_mimic(write_mimic(tmp_path / "raw", train=rows), "tiny")
    assert records.mentions["train"]["words"].to_pylist() == ["100%", "Caf%E9%20noir"]
    assert counts(records)["bad-percent-sequence"] == 2


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_percent_decoding_undoes_percent_encoding(text):
    assert percent_decode(quote(text, safe="")) == (text, False)


def test_lone_surrogates_are_replaced_and_counted(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    rows = json.dumps([mention("Q0")]).replace("did it", "did \\ud800 it")
    (folder / "TINY_train.json").write_text(rows)
    records = read_mimic(folder, "tiny")
    assert "\ufffd" in records.mentions["train"]["sentence"][0].as_py()
    assert counts(records)["lone-surrogate"] == 1


def test_empty_and_overlong_mentions_are_kept_and_counted(tmp_path):
    rows = [mention("Q0", "x" * 10_000), mention("Q1", ""), mention("Q2", "x" * 1000)]
    entities = [entity(0, ""), entity(1), entity(2)]
    records = read_mimic(write_mimic(tmp_path / "raw", entities, rows), "tiny")
    assert [len(w) for w in records.mentions["train"]["words"].to_pylist()] == [10_000, 0, 1000]
    met = counts(records)
    assert (met["mention-long"], met["mention-empty"], met["entity-name-empty"]) == (1, 1, 1)


@pytest.mark.parametrize("folder_name", ["mention_images", "mention_image"])
def test_both_names_of_the_mention_image_folder_are_accepted(tmp_path, folder_name):
    folder = write_mimic(tmp_path / "raw", train=[mention("Q0", imgPath="https://x.org/p/a.png")])
    (folder / "mention_images").rmdir()
    write_picture(folder / folder_name / "a.jpg")
    assert paths_of(read_mimic(folder, "tiny")) == [f"{folder_name}/a.jpg"]


def test_of_two_mention_image_folders_the_fuller_one_is_read(tmp_path):
    folder = write_mimic(tmp_path / "raw", train=[mention("Q0", imgPath="a.jpg")])
    write_picture(folder / "mention_image" / "a.jpg")
    records = read_mimic(folder, "tiny")
    assert paths_of(records) == ["mention_image/a.jpg"]
    assert counts(records)["mention-image-two-folders"] == 1


def test_image_names_are_tried_cut_at_the_first_dot_then_the_last_then_as_they_stand(tmp_path):
    names = ["St. Paul.png", "Mt.Fuji.png", "old.gif", "none.tif", "a.jpg"]
    folder = write_mimic(tmp_path / "raw", train=[mention("Q0", imgPath=name) for name in names])
    for file in ("St.jpg", "St. Paul.jpg", "Mt.Fuji.jpg", "a.jpg"):
        write_picture(folder / "mention_images" / file)
    write_picture(folder / "mention_images" / "old.gif")
    records = read_mimic(folder, "tiny")
    found = ["St.jpg", "Mt.Fuji.jpg", "old.gif", "none.jpg", "a.jpg"]
    assert paths_of(records) == [f"mention_images/{name}" for name in found]
    met = counts(records)
    assert met["mention-image-last-dot"] == 1
    assert met["mention-image-as-it-stands"] == 1
    assert met["mention-image-missing"] == 1
    assert records.pictures["status"].to_pylist() == ["ok", "ok", "ok", "missing", "ok"]


def test_candidates_of_a_name_without_a_dot_and_of_a_hidden_name():
    assert candidates("photo") == ("photo.jpg", "photo.jpg", "photo")
    assert candidates(".jpg") == (".jpg", ".jpg", ".jpg")


def test_two_image_names_that_lead_to_one_file_are_counted_as_a_collision(tmp_path):
    rows = [mention("Q0", imgPath=name) for name in ("J. Doe.jpg", "J. Roe.jpg", "x/J. Doe.jpg")]
    folder = write_mimic(tmp_path / "raw", train=rows)
    write_picture(folder / "mention_images" / "J.jpg")
    records = read_mimic(folder, "tiny")
    assert records.mentions["train"]["picture"].to_pylist() == [0, 0, 0]
    (finding,) = [f for f in records.findings if f.code == "mention-image-collision"]
    assert finding.examples == ("mention_images/J.jpg: J. Doe.jpg, J. Roe.jpg",)


def test_blank_and_null_image_paths_give_no_picture_and_are_counted(tmp_path):
    rows = [mention("Q0"), mention("Q0", imgPath=None), mention("Q0", imgPath="folder/")]
    records = read_mimic(write_mimic(tmp_path / "raw", train=rows, dev=[], test=[]), "tiny")
    assert records.mentions["train"]["picture"].to_pylist() == [-1, -1, -1]
    assert counts(records)["mention-image-blank"] == 3


def test_entity_images_keep_their_names_and_missing_ones_are_counted_by_suffix(tmp_path):
    names = ["a.b.png", "map.svg", "no.SVG", "x.xcf", ""]
    folder = write_mimic(tmp_path / "raw", [entity(0, image_list=names), entity(1), entity(2)])
    write_picture(folder / "kb_image" / "a.b.png")
    records = read_mimic(folder, "tiny")
    assert records.entities["pictures"].to_pylist() == [[0, 1, 2, 3], [], []]
    assert records.entities["picture"].to_pylist() == [0, -1, -1]
    assert records.pictures["path"][0].as_py() == "kb_image/a.b.png"
    met = counts(records)
    assert (met["entity-image-missing-svg"], met["entity-image-missing-other"]) == (2, 1)
    assert (met["entity-several-images"], met["entity-image-blank"]) == (1, 1)


def test_without_any_image_folder_the_texts_are_still_read(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "kb_image").rmdir()
    (folder / "mention_images").rmdir()
    met = counts(read_mimic(folder, "tiny"))
    assert (met["entity-image-folder-missing"], met["mention-image-folder-missing"]) == (1, 1)


def test_a_sentence_in_two_splits_is_counted_once(tmp_path):
    same, blank = {"sentence": "Both."}, {"sentence": ""}
    rows = [mention("Q0", **same), mention("Q1", **same), mention("Q1", **blank)]
    folder = write_mimic(
        tmp_path / "raw", train=rows, test=[mention("Q1", **same), mention("Q1", **blank)]
    )
    met = counts(read_mimic(folder, "tiny"))
    assert met["sentence-in-train-and-test"] == 1
    assert "sentence-in-train-and-valid" not in met


def test_two_qids_of_one_entity_both_resolve_and_the_first_names_it(tmp_path):
    folder = write_mimic(
        tmp_path / "raw", [entity(0)], [mention("Q9")], [mention("Q0")], [], {"Q0": 0, "Q9": 0}
    )
    records = read_mimic(folder, "tiny")
    assert records.entities["id"].to_pylist() == ["Q0"]
    assert records.gold("train").tolist() == [0]
    assert counts(records)["qid-alias"] == 1


def test_a_missing_folder_is_named(tmp_path):
    fails(tmp_path / "nowhere", "nowhere: no such folder", "kb_entity.json")


@pytest.mark.parametrize("name", ["kb_entity.json", "qid2id.json"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = write_mimic(tmp_path / "raw")
    (folder / name).unlink()
    fails(folder, f"{name}: no such file")


def test_a_missing_mention_file_names_what_was_expected_and_what_was_found(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "TINY_dev.json").unlink()
    fails(folder, "for valid", "*dev.json or *valid.json", "TINY_train.json")


def test_two_mention_files_of_one_split_are_ambiguous(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    write_json(folder / "OTHER_train.json", [])
    fails(folder, "several mention files for train", "OTHER_train.json, TINY_train.json")


def test_a_knowledge_base_that_is_no_list_is_refused(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    write_json(folder / "kb_entity.json", {"0": entity(0)})
    fails(folder, "kb_entity.json: expected a list of entities, found an object")


def test_an_empty_knowledge_base_is_refused(tmp_path):
    fails(write_mimic(tmp_path / "raw", entities=[]), "the knowledge base is empty")


def test_a_gap_in_the_ids_is_shown_with_record_and_value(tmp_path):
    folder = write_mimic(tmp_path / "raw", [entity(0), entity(3), entity(1)])
    fails(folder, "kb_entity.json: record 1", "id 3 where id 2 is due", "0..2")


def test_ids_that_start_at_one_are_refused(tmp_path):
    fails(write_mimic(tmp_path / "raw", [entity(1), entity(2)]), "record 0: id 1 where id 0 is due")


def test_a_duplicate_entity_id_names_both_records(tmp_path):
    folder = write_mimic(tmp_path / "raw", [entity(0), entity(1), entity(0)])
    fails(folder, "records 0 and 2: duplicate id 0")


def test_a_duplicate_qid_names_both_its_ids(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "qid2id.json").write_text('{"Q0": 0, "Q1": 1, "Q0": 2}')
    fails(folder, "duplicate key 'Q0': first 0, then 2")


def test_a_qid_whose_id_is_not_in_the_knowledge_base_is_refused(tmp_path):
    folder = write_mimic(tmp_path / "raw", qids={"Q0": 0, "Q1": 1, "Q2": 7})
    fails(folder, "'Q2' has id 7", "0..2")


def test_an_entity_without_a_qid_is_refused(tmp_path):
    fails(write_mimic(tmp_path / "raw", qids={"Q0": 0, "Q1": 1}), "no QID for id 2", "record 2")


def test_an_answer_outside_the_knowledge_base_names_file_record_and_answer(tmp_path):
    folder = write_mimic(tmp_path / "raw", test=[mention("Q0"), mention("Q404")])
    fails(folder, "TINY_test.json: record 1: answer 'Q404'", "missing_answer=drop")


def test_an_answer_outside_the_knowledge_base_can_be_dropped_and_is_counted(tmp_path):
    folder = write_mimic(tmp_path / "raw", test=[mention("Q404"), mention("Q0")])
    records = read_mimic(folder, "tiny", missing_answer="drop")
    assert records.mentions["test"]["id"].to_pylist() == ["test-1"]
    (finding,) = [f for f in records.findings if f.dropped]
    assert (finding.code, finding.count) == ("answer-not-in-kb", 1)


def test_broken_json_says_line_and_column(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "TINY_train.json").write_text('[\n  {"mentions": }\n]')
    fails(folder, "TINY_train.json: not JSON at line 2, column 16")


def test_windows_1252_is_refused_with_the_command_that_converts_it(tmp_path):
    folder = write_mimic(tmp_path / "raw")
    (folder / "TINY_train.json").write_bytes(b'["Caf\xe9"]')
    fails(folder, "not UTF-8: byte 0xe9 at offset 5", "iconv -f WINDOWS-1252")


@pytest.mark.parametrize("field", ["mentions", "sentence", "imgPath", "answer"])
def test_a_missing_field_of_a_mention_names_the_keys_present(tmp_path, field):
    row = mention("Q0")
    del row[field]
    folder = write_mimic(tmp_path / "raw", train=[mention("Q0"), row])
    fails(folder, f"TINY_train.json record 1: no field '{field}'; keys present: ", "entities")


@pytest.mark.parametrize("field", ["id", "entity_name", "attr", "image_list"])
def test_a_missing_field_of_an_entity_names_the_keys_present(tmp_path, field):
    row = entity(1)
    del row[field]
    folder = write_mimic(tmp_path / "raw", [entity(0), row], qids={"Q0": 0, "Q1": 1})
    fails(folder, "record 1", f"no field '{field}'; keys present: ")


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (mention("Q0", sentence=None), "field 'sentence' is null"),
        (mention("Q0", sentence=3), "field 'sentence' is an integer (3), expected a string"),
        (mention("Q0", image_kind=[]), "field 'image_kind' is a list"),
        ("text", "expected an object, found a string"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(tmp_path, row, part):
    fails(write_mimic(tmp_path / "raw", train=[row]), "TINY_train.json record 0", part)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b.jpg"])
def test_an_entity_image_outside_its_folder_is_refused(tmp_path, name):
    folder = write_mimic(tmp_path / "raw", [entity(0, image_list=[name]), entity(1), entity(2)])
    fails(folder, "kb_entity.json record 0", name, "out of the image folder")


def test_the_image_root_is_relative_inside_the_project_only(tmp_path):
    folder = write_mimic(tmp_path / "here" / "raw")
    inside = read_mimic(folder, "tiny", root=tmp_path / "here")
    outside = read_mimic(folder, "tiny", root=tmp_path / "there")
    assert (inside.image_root, outside.image_root) == ("raw", folder.as_posix())
    assert inside.image_folder(tmp_path / "here") == folder
    assert outside.image_folder(tmp_path / "there") == folder


def test_a_kind_of_picture_for_every_mention_says_that_the_source_is_a_test_bed(tmp_path):
    kinds = {"train": "good", "dev": "missing", "test": "low_value"}
    drawn = {split: [mention("Q0", image_kind=kind)] for split, kind in kinds.items()}
    assert read_mimic(write_mimic(tmp_path / "drawn", **drawn), "any").test_bed
    found = {**drawn, "train": [*drawn["train"], mention("Q1")]}
    assert not read_mimic(write_mimic(tmp_path / "found", **found), "demo").test_bed
    empty = {split: [] for split in kinds}
    assert not read_mimic(write_mimic(tmp_path / "empty", **empty), "demo").test_bed


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
image_names = st.text("ab.é ", max_size=6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_records_in_the_mimic_format_come_back_row_for_row(data):
    n = data.draw(st.integers(1, 6))
    ids = data.draw(st.permutations(range(n)))
    names = data.draw(st.lists(texts, min_size=n, max_size=n))
    attrs = data.draw(st.lists(texts, min_size=n, max_size=n))
    row = st.tuples(st.integers(-1, n - 1), texts, texts, image_names)
    splits = {name: data.draw(st.lists(row, max_size=5)) for name in ("train", "dev", "test")}
    with tempfile.TemporaryDirectory() as name:
        folder = write_mimic(
            Path(name),
            [entity(i, names[i], attr=attrs[i]) for i in ids],
            qids={f"Q{i}": i for i in ids},
            **{
                split: [
                    mention("nil" if g < 0 else f"Q{g}", w, sentence=s, imgPath=p)
                    for g, w, s, p in rows
                ]
                for split, rows in splits.items()
            },
        )
        records = read_mimic(folder, "tiny", keys=KeyCache())
    assert records.entities["name"].to_pylist() == names
    assert records.entities["text"].to_pylist() == attrs
    for split, rows in splits.items():
        out = records.mentions["valid" if split == "dev" else split]
        kept = [(i, *row) for i, row in enumerate(rows) if row[0] >= 0]
        prefix = "valid" if split == "dev" else split
        assert out["id"].to_pylist() == [f"{prefix}-{i}" for i, *_ in kept]
        assert out["gold"].to_pylist() == [g for _, g, *_ in kept]
        assert out["words"].to_pylist() == [w for _, _, w, *_ in kept]
        assert out["sentence"].to_pylist() == [s for *_, s, _ in kept]
        assert [p >= 0 for p in out["picture"].to_pylist()] == [bool(p.strip()) for *_, p in kept]
    assert counts(records).get("nil-mention", 0) == sum(
        row[0] < 0 for rows in splits.values() for row in rows
    )
