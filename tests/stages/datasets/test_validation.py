import struct
import zlib

import pytest
from PIL import Image

from stages.datasets.headers import inspect_headers
from stages.datasets.published import published_counts
from stages.datasets.readers.mimic import read_mimic
from stages.datasets.validation import render, validate
from tests.support.mimic_folder import entity, mention, write_mimic, write_picture


def png(width, height, depth, pixels):
    """The bytes of an RGB PNG; the size claimed need not fit the pixels."""

    def chunk(name, data):
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return data + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def quirks(root, *names):
    report = inspect_headers(root, names)
    return {f.code.removeprefix("picture-"): f.count for f in report.findings}


def test_formats_modes_and_sizes_are_counted(tmp_path):
    write_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.png")
    Image.new("L", (300, 20)).save(tmp_path / "c.png")
    report = inspect_headers(tmp_path, ["a.jpg", "b.png", "c.png"])
    assert report.pictures == 3
    assert report.formats == {"PNG": 2, "JPEG": 1}
    assert report.modes == {"RGB": 2, "L": 1}
    assert report.sizes == {"below 64": 2, "224-1023": 1}
    assert report.findings == ()


@pytest.mark.parametrize(("mode", "name", "quirk"), [
    ("CMYK", "a.jpg", "cmyk"), ("P", "a.png", "palette"), ("I;16", "a.png", "16-bit"),
])  # fmt: skip
def test_modes_that_need_care_are_counted(tmp_path, mode, name, quirk):
    Image.new(mode, (8, 8)).save(tmp_path / name)
    assert quirks(tmp_path, name) == {quirk: 1}


def test_sixteen_bit_colour_is_seen_although_pillow_calls_it_rgb(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, bytes(7)))
    assert quirks(tmp_path, "a.png") == {"16-bit": 1}


def test_animated_pictures_are_counted(tmp_path):
    frames = [Image.new("L", (8, 8), color) for color in (0, 128, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert quirks(tmp_path, "a.gif")["animated"] == 1


def test_what_cannot_be_decoded_is_told_apart(tmp_path):
    (tmp_path / "map.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    data = write_picture(tmp_path / "a.png").read_bytes()
    (tmp_path / "flipped.png").write_bytes(data.replace(b"IDAT", b"IDAT\xff", 1))
    (tmp_path / "stub.png").write_bytes(data[:12])
    jpeg = write_picture(tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(jpeg[:-10])
    (tmp_path / "stub.jpg").write_bytes(jpeg[:20])
    assert quirks(tmp_path, "map.svg") == {"not-supported": 1}
    assert quirks(tmp_path, "flipped.png") == {"corrupt": 1}
    assert quirks(tmp_path, "cut.jpg") == {"truncated": 1}
    assert sum(quirks(tmp_path, "stub.png", "stub.jpg").values()) == 2


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_bomb_is_refused_and_counted_without_a_warning(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png(side, side, 8, b""))
    assert quirks(tmp_path, "bomb.png") == {"too-large": 1}


def test_headers_keep_count_over_many_pictures(tmp_path):
    write_picture(tmp_path / "a.png")
    report = inspect_headers(tmp_path, ["a.png"] * 200)
    assert report.formats == {"PNG": 200}


@pytest.mark.parametrize("name", ["wikimel", "WikiMEL", "WIKIMEL", "wiki_mel"])
def test_published_counts_are_found_whatever_the_case(name):
    counts = published_counts(name)
    assert counts is not None
    assert (counts.entities, counts.train, counts.test) == (109_976, 18_092, 5_169)


def test_an_unknown_data_set_has_no_published_counts():
    assert published_counts("demo") is None


def test_the_report_compares_counts_and_lists_quirks_drops_and_pictures(tmp_path):
    rows = [mention("nil"), mention("Q0", imgPath="a.jpg"), mention("Q1", imgPath="bad.jpg")]
    folder = write_mimic(tmp_path / "raw", [entity(0), entity(1), entity(2)], rows)
    write_picture(folder / "mention_images" / "a.jpg")
    (folder / "mention_images" / "bad.jpg").write_bytes(b"no picture")
    report = validate(read_mimic(folder, "WikiMEL"), tmp_path)
    assert report.counts["train"] == 2
    assert report.coverage["train"] == (2, 2)
    assert report.coverage["entities"] == (3, 0)
    text = render(report)
    assert "109,976  -109,973" in text
    assert "nil-mention: mentions without an entity (nil), kept beside the splits" in text
    assert report.coverage["nil"] == (1, 0)
    assert "nothing" in text.partition("dropped by")[2].partition("pictures opened")[0]
    assert "pictures opened: 2" in text
    assert "picture-corrupt" in text
    assert "mention_images/bad.jpg" in text


def test_pictures_can_be_left_unopened(tmp_path):
    report = validate(
        read_mimic(write_mimic(tmp_path / "raw"), "tiny"), tmp_path, open_pictures=False
    )
    assert report.headers is None
    assert "pictures opened" not in render(report)
    assert "published" not in render(report)


def test_control_characters_of_the_data_do_not_reach_the_terminal(tmp_path):
    rows = [mention("Q0", imgPath="a\x1b[2J.png")]
    report = validate(
        read_mimic(write_mimic(tmp_path / "raw", train=rows), "tiny"), tmp_path, False
    )
    assert "\x1b" not in render(report)
    assert "\\x1b[2J" in render(report)
