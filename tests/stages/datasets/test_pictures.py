import hashlib
import os

import pytest
from PIL import Image

from stages.datasets.findings import Findings
from stages.datasets.pictures import KeyCache, PictureTable, inner_path
from stages.datasets.records import RecordsError
from tests.support.mimic_folder import write_picture


def build(root, *paths, keys=None):
    table, findings = PictureTable(root), Findings()
    for number, path in enumerate(paths):
        table.row(path, f"record {number}")
    rows = table.build(findings, keys).to_pylist()
    return rows, {finding.code: finding for finding in findings.listed()}


def test_a_path_met_twice_has_one_row(tmp_path):
    table = PictureTable(tmp_path)
    assert [table.row(path, "") for path in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert len(table) == 3


def test_the_key_is_the_hash_of_the_bytes_so_copies_share_it(tmp_path):
    data = write_picture(tmp_path / "a.jpg").read_bytes()
    (tmp_path / "copy.jpg").write_bytes(data)
    rows, findings = build(tmp_path, "a.jpg", "copy.jpg")
    key = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert [row["key"] for row in rows] == [key, key]
    assert rows[0] == {"path": "a.jpg", "key": key, "bytes": len(data), "status": "ok"}
    assert not findings


def test_missing_empty_and_unreadable_pictures_keep_their_rows_and_are_counted(tmp_path):
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    write_picture(tmp_path / "fine.jpg")
    names = ["gone.jpg", "zero.jpg", "folder.jpg", "fine.jpg", "fine.jpg/x.jpg", "x" * 300, "a\0b"]
    rows, findings = build(tmp_path, *names)
    assert [row["path"] for row in rows] == names
    states = ["missing", "empty", "unreadable", "ok", "missing", "unreadable", "unreadable"]
    assert [row["status"] for row in rows] == states
    assert all((row["key"] != "") == (row["status"] == "ok") for row in rows)
    assert {code: f.count for code, f in findings.items()} == {
        "picture-missing": 2, "picture-empty": 1, "picture-unreadable": 3,
    }  # fmt: skip
    assert findings["picture-empty"].examples == ("zero.jpg (record 1)",)


def test_rows_keep_their_order_over_many_groups_of_the_thread_pool(tmp_path):
    names = [f"{number}.bin" for number in range(600)]
    for name in names:
        (tmp_path / name).write_text(name)
    rows, _ = build(tmp_path, *names)
    expected = [hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in names]
    assert [row["key"] for row in rows] == expected


def test_a_second_run_reads_no_file_that_has_not_changed(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg"):
        write_picture(tmp_path / name, "red" if name == "a.jpg" else "blue")
    cache = tmp_path / "cache" / "keys.parquet"
    monkeypatch.setattr(KeyCache, "RACY", -1)
    keys = KeyCache(cache)
    first, _ = build(tmp_path, "a.jpg", "b.jpg", keys=keys)
    keys.save()
    write_picture(tmp_path / "b.jpg", "green")
    os.utime(tmp_path / "b.jpg", ns=(1, 1))

    opened = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib,
        "file_digest",
        lambda file, *rest: (opened.append(file.name), digest(file, *rest))[1],
    )
    second, _ = build(tmp_path, "a.jpg", "b.jpg", keys=KeyCache(cache))
    assert [os.path.basename(name) for name in opened] == ["b.jpg"]
    assert second[0] == first[0]
    assert second[1]["key"] != first[1]["key"]


def test_the_cache_forgets_pictures_that_are_no_longer_used(tmp_path, monkeypatch):
    monkeypatch.setattr(KeyCache, "RACY", -1)
    write_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.jpg")
    cache = tmp_path / "keys.parquet"
    for paths in (("a.jpg", "b.jpg"), ("b.jpg",)):
        keys = KeyCache(cache)
        build(tmp_path, *paths, keys=keys)
        keys.save()
    assert [identity[0] for identity in KeyCache(cache)._known] == [str(tmp_path / "b.jpg")]


def test_other_bytes_of_the_same_size_and_time_are_another_picture(tmp_path, monkeypatch):
    """As archives leave them that set every time to one date."""
    monkeypatch.setattr(KeyCache, "RACY", -1)
    found = []
    for color in ("red", "blue"):
        Image.new("RGB", (20, 20), color).save(tmp_path / "a.bmp")
        os.utime(tmp_path / "a.bmp", ns=(1, 1))
        keys = KeyCache(tmp_path / "keys.parquet")
        rows, _ = build(tmp_path, "a.bmp", keys=keys)
        keys.save()
        found.append((rows[0]["key"], rows[0]["bytes"]))
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]


def test_what_changed_a_moment_ago_is_hashed_again(tmp_path):
    write_picture(tmp_path / "a.jpg")
    keys = KeyCache(tmp_path / "keys.parquet")
    build(tmp_path, "a.jpg", keys=keys)
    keys.save()
    assert KeyCache(tmp_path / "keys.parquet")._known == {}


def test_no_flipped_bit_of_the_cache_leads_to_another_key(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(KeyCache, "RACY", -1)
    write_picture(tmp_path / "a.jpg")
    keys = KeyCache(tmp_path / "keys.parquet")
    right, _ = build(tmp_path, "a.jpg", keys=keys)
    keys.save()
    whole = (tmp_path / "keys.parquet").read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "keys.parquet").write_bytes(damaged)
        keys = KeyCache(tmp_path / "keys.parquet")
        assert keys._known == {}
        assert build(tmp_path, "a.jpg", keys=keys)[0] == right
    assert "damaged, hashing every picture again" in caplog.text


def test_a_damaged_cache_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(KeyCache, "RACY", -1)
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "keys.parquet").write_bytes(b"no Parquet")
    keys = KeyCache(tmp_path / "keys.parquet")
    rows, _ = build(tmp_path, "a.jpg", keys=keys)
    keys.save()
    assert KeyCache(tmp_path / "keys.parquet")._known
    assert rows[0]["status"] == "ok"


@pytest.mark.parametrize("path", ["/a.jpg", "../a.jpg", "a/../../b.jpg", ".."])
def test_a_path_out_of_the_folder_is_refused_with_its_record(path):
    with pytest.raises(RecordsError, match="record 7: image path"):
        inner_path(path, "record 7")


def test_dots_inside_a_name_do_not_lead_out():
    assert inner_path("a..b/c...jpg", "record 7") == "a..b/c...jpg"
