"""Planted leaks are found, each of them, with the record that it repeats, and nothing else is."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.datasets.audit import audit_of, audited
from stages.datasets.flags import FLAGS, clean_of
from stages.datasets.pictures import KeyCache
from stages.datasets.readers.jsonl import read_jsonl
from stages.datasets.records import Records
from stages.datasets.squares import BYTES, SIDE, Squares, alike, near, square


def picture(seed: int, side: int = 120) -> Image.Image:
    """A few coloured shapes that no other seed draws."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side - 20), Image.Resampling.BICUBIC)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


COPIES = {
    "jpeg": lambda image: saved(image, "JPEG", quality=90),
    "poor jpeg": lambda image: saved(image, "JPEG", quality=30),
    "half": lambda image: saved(image.resize((60, 50)), "JPEG", quality=80),
    "twice": lambda image: saved(image.resize((240, 200)), "PNG"),
    "webp": lambda image: saved(image, "WEBP", quality=60),
    "alpha": lambda image: saved(image.convert("RGBA"), "PNG"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_picture_saved_anew_is_a_copy_and_another_one_is_not(kind):
    for seed in range(20):
        image = picture(seed)
        one, other = (square(data) for data in (saved(image), COPIES[kind](image)))
        assert alike(one, other)
        assert not alike(one, square(saved(picture(seed + 100))))


def test_drawings_on_white_are_no_copies_of_one_another():
    sheets = []
    for at in (20, 60):
        sheet = np.full((128, 128, 3), 255, np.uint8)
        sheet[at : at + 6, 30:50] = 0
        sheets.append(square(saved(Image.fromarray(sheet))))
    assert not alike(*sheets)


def test_a_small_thing_and_another_colour_make_another_picture():
    image = picture(0)
    other = image.copy()
    other.paste((255, 255, 255), (50, 40, 62, 52))
    blue = Image.merge("RGB", image.split()[::-1])
    assert not alike(square(saved(image)), square(saved(other)))
    assert not alike(square(saved(image)), square(saved(blue)))


@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
@settings(max_examples=40)
def test_the_search_finds_what_a_plain_loop_finds(seed, noise):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (9, BYTES))
    base[3] = base[3, 0]  # one tone
    base[7] = base[8]
    moved = base + rng.normal(0, noise, base.shape)
    first, second = (np.clip(x, 0, 255).astype(np.uint8) for x in (base, moved))
    plain = {
        (i, j)
        for i in range(9)
        for j in range(9)
        if min(first[i, : SIDE**2].std(), second[j, : SIDE**2].std()) >= 4
        and alike(first[i], second[j])
    }
    assert set(near(first, second)) == plain
    assert noise > 0.1 or {(7, 8), (8, 7)} <= plain


def write_jsonl(folder: Path, entities: list[dict], mentions: list[dict]) -> None:
    for name, rows in (("entities", entities), ("mentions", mentions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def planted(folder: Path) -> dict[tuple[str, str], str]:
    """A data set in which each flag has its mentions; (mention, flag) -> what it repeats."""
    pictures = {f"{i}.png": saved(picture(i)) for i in range(12)}
    pictures |= {f"{i}.jpg": saved(picture(i), "JPEG", quality=70) for i in range(12)}
    pictures["again.png"] = pictures["1.png"]
    pictures["cut.png"] = pictures["0.png"][:60]
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    entities = [
        {"id": "A", "name": "A", "image": "3.png"},
        {"id": "B", "name": "B", "image": "4.png"},
        {"id": "C", "name": "C", "image": "5.png"},
        {"id": "D", "name": "D", "image": "5.jpg"},
        {"id": "E", "name": "E", "image": "4.png"},
        {"id": "F", "name": "F", "image": ["9.png", "10.png"]},
        {"id": "G", "name": "G"},
    ]
    rows = [
        ("t1", "train", "G", "one", "1.png"), ("t2", "train", "G", "two", "2.png"),
        ("t3", "train", "G", "three", ""), ("t4", "train", "G", "", ""),
        ("bytes", "test", "G", "a", "again.png"), ("copy", "valid", "G", "b", "2.jpg"),
        ("sentence", "test", "G", "three", ""), ("pair", "test", "G", "two", ""),
        ("entity", "test", "A", "c", "3.png"), ("entity copy", "train", "A", "d", "3.jpg"),
        ("second picture", "test", "F", "e", "10.jpg"), ("shared", "test", "B", "f", "6.png"),
        ("shared copy", "test", "C", "g", ""), ("clean", "test", "G", "h", "7.png"),
        ("nothing said", "test", "G", "", ""), ("undecoded", "test", "G", "i", "cut.png"),
    ]  # fmt: skip
    mentions = [
        {"id": name, "split": split, "answer": answer, "sentence": sentence,
         "mention": sentence if name in ("t2", "pair") else name,
         **({"image": image} if image else {})}
        for name, split, answer, sentence, image in rows
    ]  # fmt: skip
    write_jsonl(folder, entities, mentions)
    return {
        ("bytes", "picture-in-train"): "mention t1",
        ("copy", "picture-copy-in-train"): "mention t2",
        ("sentence", "sentence-in-train"): "mention t3",
        ("pair", "sentence-in-train"): "mention t2",
        ("pair", "pair-in-train"): "mention t2",
        ("entity", "picture-of-entity"): "entity A",
        ("entity", "picture-copy-in-train"): "mention entity copy",
        ("entity copy", "picture-copy-of-entity"): "entity A",
        ("second picture", "picture-copy-of-entity"): "entity F",
        ("shared", "entity-picture-shared"): "entity E",
        ("shared copy", "entity-picture-shared"): "entity D",
    }


def test_every_planted_leak_is_found_and_nothing_else(tmp_path: Path):
    expected = planted(tmp_path)
    audit = audit_of(read_jsonl(tmp_path, "x"), tmp_path, Squares())
    assert {(leak.mention, leak.flag): leak.repeats for leak in audit.leaks} == expected
    assert {flag for _, flag in expected} == set(FLAGS)
    assert audit.undecoded == 1
    assert audit.clean == {"valid": 0, "test": 5}


def test_records_hold_the_flags_and_keep_their_digest(tmp_path: Path):
    planted(tmp_path)
    plain = read_jsonl(tmp_path, "x")
    records = audited(plain, tmp_path, Squares())
    records.save(tmp_path / "records")
    again = Records.load(tmp_path / "records")
    assert again.digest == plain.digest
    assert again.mentions["test"]["flags"].to_pylist()[0] == ["picture-in-train"]
    assert int(clean_of(again.mentions["test"]["flags"].to_pylist()).sum()) == 5
    met = {finding.code: finding for finding in again.findings}
    assert met["pair-in-train"].count == 1
    assert met["pair-in-train"].examples == ("test mention pair: mention t2",)


def test_squares_are_remembered_and_a_damaged_file_of_them_is_made_again(tmp_path: Path, caplog):
    planted(tmp_path)
    records = read_jsonl(tmp_path, "x")
    first = Squares(tmp_path / "kept.parquet")
    found = audit_of(records, tmp_path, first)
    first.save()
    content = bytearray((tmp_path / "kept.parquet").read_bytes())
    for name in ("7.png", "6.png"):  # nothing decodes them again, and no pair needs them closely
        (tmp_path / name).unlink()
    assert audit_of(records, tmp_path, Squares(tmp_path / "kept.parquet")) == found
    content[len(content) // 2] ^= 1
    (tmp_path / "kept.parquet").write_bytes(content)
    assert Squares(tmp_path / "kept.parquet")._of == {}
    assert "damaged, decoding every picture again" in caplog.text


def test_another_cache_in_the_place_of_the_squares_is_none(tmp_path: Path, caplog):
    planted(tmp_path)
    keys = KeyCache(tmp_path / "keys.parquet")
    read_jsonl(tmp_path, "x", keys=keys)
    keys.save()
    assert Squares(tmp_path / "keys.parquet")._of == {}
    assert "it has other columns" in caplog.text


def test_a_file_that_cannot_be_read_now_is_decoded_once_it_can(tmp_path: Path):
    planted(tmp_path)
    records = read_jsonl(tmp_path, "x")
    hidden = (tmp_path / "2.jpg").rename(tmp_path / "aside.jpg")
    kept = Squares(tmp_path / "kept.parquet")
    assert audit_of(records, tmp_path, kept).undecoded == 2
    kept.save()
    hidden.rename(tmp_path / "2.jpg")
    audit = audit_of(records, tmp_path, Squares(tmp_path / "kept.parquet"))
    assert audit.undecoded == 1
    assert audit.counts["picture-copy-in-train"]["valid"] == 1
