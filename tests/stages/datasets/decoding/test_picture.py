"""The one route from a picture's bytes to its pixels."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cache.errors import MelovError
from stages.datasets.decoding.picture import FORMATS, PictureError, read_bytes, rgb
from stages.report.pictures import thumbnail
from tests.support.small_project import picture_bytes, random_picture

WHITE = [255, 255, 255]


def png(rows: np.ndarray, depth: int, kind: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand, of samples (height, width * channels)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    width = rows.shape[1] // channels
    if depth == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        packed = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in packed))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def pixels(data: bytes, **options: Any) -> np.ndarray:
    return np.asarray(rgb(data, **options))


def plain(picture: Image.Image) -> np.ndarray:
    """What Pillow itself makes of a picture of 8 bits a channel."""
    if picture.mode in ("RGBA", "LA"):
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return np.asarray(Image.alpha_composite(white, layered).convert("RGB"))
    return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_ordinary_pictures_have_pillows_own_pixels(mode: str, format: str):
    picture = random_picture(3).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(random_picture(4).convert("L"))
    if (mode, format) == ("LA", "BMP"):  # there is no such file
        format = "TIFF"
    data = picture_bytes(picture, format, **({"lossless": True} if format == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as again:
        transparent = "transparency" in again.info
        np.testing.assert_array_equal(
            pixels(data), plain(again.convert("RGBA") if transparent else again)
        )


@given(depth=st.sampled_from([1, 2, 4, 8, 16]), data=st.data())
def test_grey_of_a_keyed_png_is_white_where_it_is_the_key(depth: int, data: st.DataObject):
    most = 2**depth - 1
    rows = np.array(data.draw(st.lists(st.lists(st.integers(0, most), min_size=4, max_size=4),
                                       min_size=1, max_size=3)))  # fmt: skip
    rows[0, 0] = most  # so that all 16 bits are in use
    key = data.draw(st.integers(0, most))
    found = pixels(png(rows, depth, 0, (b"tRNS", struct.pack(">H", key))))
    grey = rows >> 8 if depth == 16 else rows * 255 // most
    expected = np.where(rows == key, 255, grey)
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_key_makes_its_colour_white(depth: int):
    rows = np.array([[10, 20, 30, 200, 100, 50]]) * (257 if depth == 16 else 1)
    key = struct.pack(">HHH", *rows[0, :3])
    found = pixels(png(rows, depth, 2, (b"tRNS", key)))
    assert found[0].tolist() == [WHITE, [200, 100, 50]]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bits_of_which_some_are_used_are_a_ramp(bits: int):
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)[None]
    for data in (png(ramp, 16, 0), picture_bytes(Image.fromarray(ramp), "TIFF")):
        assert np.abs(pixels(data)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 255), (-5, 5), (0, 1e9), (1e-9, 2e-3), (-1, 0)]
)
def test_floating_point_is_scaled_from_its_range(low: float, high: float):
    ramp = np.linspace(low, high, 256, dtype=np.float32)[None]
    found = pixels(picture_bytes(Image.fromarray(ramp), "TIFF"))[0, :, 0].astype(int)
    assert (np.diff(found) >= 0).all()
    if (low, high) == (1e-9, 2e-3):
        assert found.max() <= 1  # within 0 … 1: as dark as it is
    else:
        assert found[0] == 0
        assert found[-1] == 255
        assert abs(found.mean() - 127.5) < 2


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 65535), (-300, 300), (0, 2**31 - 1)])
def test_32_bit_integers_are_scaled_from_their_range(low: int, high: int):
    ramp = np.linspace(low, high, 256).astype(np.int32)[None]
    found = pixels(picture_bytes(Image.fromarray(ramp), "TIFF"))[0, :, 0].astype(int)
    assert abs(found.mean() - 127.5) < 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -7.0])
def test_numbers_that_have_no_range_are_a_listed_failure(value: float):
    picture = Image.fromarray(np.full((3, 3), value, np.float32))
    with pytest.raises(PictureError, match=r"^not supported: "):
        rgb(picture_bytes(picture, "TIFF"))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
def test_large_metadata_cost_no_pixels(name: bytes):
    large = zlib.compress(bytes(2**22))
    content = {
        b"zTXt": b"k\0\0" + large, b"iTXt": b"k\0\1\0\0\0" + large, b"iCCP": b"p\0\0" + large,
        b"tEXt": b"k\0" + b"x" * 2**22,
    }[name]  # fmt: skip
    rows = np.arange(64).reshape(4, 16)
    many = [(name, content)] * 20
    np.testing.assert_array_equal(pixels(png(rows, 8, 0, *many))[..., 0], rows)
    assert PngImagePlugin.MAX_TEXT_CHUNK == 2**20  # nobody's limits are touched


SNIFFED = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "PDF": b"%PDF-1.7", "SVG": b'\n<?xml version="1.0"?>\n<svg xmlns="x"/>',
    "HTML": b"<!DOCTYPE html><title>404</title>", "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "JPEG XL": b"\xff\x0a\0\0", "Photoshop": b"8BPS\0\1", "FITS": b"SIMPLE  =                    T",
    "gzip": b"\x1f\x8b\x08\0", "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "MP4": b"\0\0\0\x18ftypisom\0\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("name", SNIFFED)
def test_formats_that_are_not_read_are_told_by_name(name: str):
    with pytest.raises(PictureError, match=rf"^not supported: .*{name}"):
        rgb(SNIFFED[name])


@pytest.mark.parametrize("format", ["EPS", "PCX", "SGI", "TGA", "MSP", "SPIDER", "PDF"])
def test_only_the_formats_of_the_list_are_opened(format: str):
    data = picture_bytes(random_picture(1).convert("1" if format == "MSP" else "L"), format)
    assert format not in FORMATS
    with pytest.raises(PictureError, match=r"^(not supported|corrupt: no known)"):
        rgb(data)


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\nexit 1\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "eps.jpg").write_bytes(SNIFFED["PostScript"])
    with pytest.raises(PictureError):
        rgb(SNIFFED["PostScript"])
    assert "PostScript" in thumbnail(tmp_path / "eps.jpg").problem
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_a_choice(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = random_picture(6, 16, 8)
    data = picture_bytes(picture, "PNG", exif=exif)
    np.testing.assert_array_equal(pixels(data), np.asarray(picture))
    turns = [None, *Image.Transpose][orientation - 1] if orientation == 1 else {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]  # fmt: skip
    expected = picture if turns is None else picture.transpose(turns)
    np.testing.assert_array_equal(pixels(data, exif="apply"), np.asarray(expected))


def test_a_picture_of_one_line_is_too_large_by_its_side():
    header = struct.pack(">IIBBBBB", 70_000, 1, 8, 0, 0, 0, 0)
    data = png(np.zeros((1, 4), int), 8, 0)
    data = data.replace(data[8:33], struct.pack(">I", 13) + b"IHDR" + header
                        + struct.pack(">I", zlib.crc32(b"IHDR" + header)))  # fmt: skip
    with pytest.raises(PictureError, match=r"^too large: 70,000 x 1 pixels"):
        rgb(data)


MEMORY = """
import resource, sys
from pathlib import Path
from stages.datasets.decoding.picture import PictureError, rgb
data = Path(sys.argv[1]).read_bytes()
limits = resource.getrlimit(resource.RLIMIT_AS)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 8 * 2**20, limits[1]))
try:
    rgb(data)
except PictureError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, limits)
print(rgb(data).size)
"""


def test_memory_that_is_not_there_is_a_listed_failure_of_one_picture(tmp_path: Path):
    """In a process of its own, whose heap has nothing to give back."""
    deep = np.zeros((4000, 4000), np.uint16)
    deep[0, 0] = 65535
    (tmp_path / "deep.png").write_bytes(png(deep, 16, 0))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "deep.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refused, size = done.stdout.splitlines()
    assert refused.startswith("too large: not enough memory")
    assert size == "(4000, 4000)"


def test_pipes_and_devices_are_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
        with pytest.raises(MelovError, match="expected a regular file"):
            read_bytes(path)
    assert "expected a regular file" in thumbnail(tmp_path / "pipe.jpg").problem


def test_a_file_too_large_to_hold_is_a_listed_failure(tmp_path: Path):
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(PictureError, match=r"^too large: 314,572,800 bytes"):
        read_bytes(tmp_path / "large.jpg")


def test_frames_that_leave_the_canvas_free_are_laid_on_white():
    first = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    first.paste((255, 0, 0, 255), (0, 0, 10, 20))
    frames = {"save_all": True, "append_images": [Image.new("RGBA", (40, 20), "blue")]}
    data = bytearray(picture_bytes(first, "WEBP", lossless=True, **frames))
    data[20] &= ~0x10  # as encoders write it that do not look at the frames
    found = pixels(bytes(data))
    assert found[5, 5].tolist() == [255, 0, 0]
    assert found[5, 30].tolist() == WHITE
