import io
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from cache.errors import MelovError
from stages.encode.decode import PictureError, decode, quiet_pillow, read_picture
from tests.support.small_project import picture_bytes, random_picture

RED, WHITE = [255, 0, 0], [255, 255, 255]


def flat(color: object, mode: str = "RGB", size: tuple[int, int] = (20, 20)) -> Image.Image:
    return Image.new(mode, size, color)


def decoded(data: bytes, size: int = 8, resize: str = "squash") -> np.ndarray:
    pixels = decode(data, size, resize)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    return pixels


def all_are(pixels: np.ndarray, color: list[int], within: int = 0) -> None:
    assert np.abs(pixels.astype(int) - color).max() <= within


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG written by hand: Pillow saves no 16-bit colours and no lies about the size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + (
        chunk(b"IEND", b"")
    )  # fmt: skip


# Good ones


def test_rgb_pixels_stay_as_they_are():
    picture = random_picture(0, 8, 8)
    np.testing.assert_array_equal(decoded(picture_bytes(picture)), np.asarray(picture))


def test_grey_becomes_three_equal_channels():
    all_are(decoded(picture_bytes(flat(77, "L"))), [77, 77, 77])


def test_one_bit_pictures_are_black_and_white():
    all_are(decoded(picture_bytes(flat(1, "1"))), WHITE)
    all_are(decoded(picture_bytes(flat(0, "1"))), [0, 0, 0])


def test_a_palette_gives_its_colours():
    all_are(decoded(picture_bytes(flat("red").quantize(4))), RED)


@pytest.mark.parametrize("transparency", [0, b"\x00"])
def test_a_transparent_palette_is_laid_on_white(transparency: object):
    data = picture_bytes(flat("red").quantize(4), transparency=transparency)
    assert Image.open(io.BytesIO(data)).mode == "P"
    all_are(decoded(data), WHITE)


def test_transparency_is_laid_on_white():
    all_are(decoded(picture_bytes(flat((0, 0, 0, 0), "RGBA"))), WHITE)
    all_are(decoded(picture_bytes(flat((255, 0, 0, 128), "RGBA"))), [255, 127, 127], within=1)
    all_are(decoded(picture_bytes(flat((0, 0), "LA"))), WHITE)
    all_are(decoded(picture_bytes(flat("red"), transparency=(255, 0, 0))), WHITE)


def test_a_cmyk_jpeg_has_its_own_colours():
    data = picture_bytes(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    all_are(decoded(data), RED, within=6)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format: str):
    levels = np.repeat(np.array([[0, 255, 256, 0x7F00, 0xFFFF]], np.uint16), 5, axis=0)
    data = picture_bytes(Image.fromarray(levels), format)
    np.testing.assert_array_equal(decoded(data, size=5)[0, :, 0], [0, 0, 1, 0x7F, 0xFF])


def test_16_bit_colours_keep_their_high_bytes():
    row = b"\x00" + struct.pack(">HHH", 0xFFFF, 0x0101, 0x80AA) * 4
    all_are(decoded(png(4, 4, 16, 2, row * 4), size=4), [255, 1, 128])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(format: str):
    frames = {"save_all": True, "append_images": [flat("blue"), flat("green")]}
    options = {"lossless": True} if format == "WEBP" else {}
    data = picture_bytes(flat("red"), format, **frames, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    all_are(decoded(data), RED)


def test_a_jpeg_laden_with_exif_is_decoded_without_a_warning():
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "text " * 2000, 6
    data = bytearray(picture_bytes(flat("red"), "JPEG", exif=exif))
    all_are(decoded(bytes(data)), RED, within=4)
    place = data.index(b"Exif\x00\x00") + 6
    data[place + 10 : place + 40] = b"\xff" * 30  # damaged: Pillow warns and goes on
    with quiet_pillow():
        all_are(decoded(bytes(data)), RED, within=4)


def halves(width: int, height: int) -> Image.Image:
    """Black, with the outer quarters left and right red (or top and bottom, if it is tall)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    long = pixels if height > width else pixels.transpose(1, 0, 2)
    quarter = len(long) // 4
    long[:quarter] = long[-quarter:] = RED
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_squash_keeps_the_whole_picture_and_crop_its_middle(width: int, height: int, format: str):
    options = {"quality": 95} if format == "JPEG" else {}
    data = picture_bytes(halves(width, height), format, **options)
    squashed, cropped = decoded(data, 16), decoded(data, 16, "crop")
    corners = squashed[[0, 0, -1, -1], [0, -1, 0, -1]]
    all_are(corners, RED, within=30)
    all_are(squashed[8, 8], [0, 0, 0], within=30)
    all_are(cropped[1:-1, 1:-1], [0, 0, 0], within=30)


def test_a_large_jpeg_is_never_decoded_below_the_target_size():
    noise = random_picture(5, 512, 512)
    exact = np.asarray(noise.resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    ours = decoded(picture_bytes(noise, "JPEG", quality=100, subsampling=0), 64).astype(int)
    assert np.abs(ours - exact).mean() < 12


def test_pictures_of_one_pixel_or_of_one_line_are_decoded():
    for size in ((1, 1), (1, 300), (300, 1)):
        for resize in ("squash", "crop"):
            all_are(decoded(picture_bytes(flat("red", size=size)), 8, resize), RED)


# Bad ones

JPEG = picture_bytes(random_picture(1), "JPEG")
PNG = picture_bytes(random_picture(0))
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
BAD = {
    "zero-byte": (b"", "empty file"),
    "corrupt PNG": (PNG[:60] + bytes(40) + PNG[100:], "corrupt"),
    "corrupt JPEG": (JPEG[:2] + b"\xff\xc0" + bytes(60), "corrupt"),
    "truncated PNG": (PNG[: len(PNG) // 2], "truncated"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "header only": (PNG[:8], "corrupt"),
    "text named .jpg": (b"404: not found\n", "corrupt: no known picture format"),
    "SVG": (SVG, "not supported: SVG"),
    "bomb": (png(50_000, 50_000, 8, 0, b"\x00"), "too large"),
    "large": (png(10_000, 10_000, 8, 0, b"\x00"), "too large"),
    "no pixels": (png(0, 0, 8, 0, b""), "corrupt"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("filters", ["error", "default", "ignore"])
def test_a_bad_picture_raises_with_its_reason(data: bytes, reason: str, filters: str):
    with warnings.catch_warnings(record=True):  # whatever Python's filters are
        warnings.simplefilter(filters)
        with pytest.raises(PictureError, match=f"^{reason}") as caught:
            decode(data, 8, "squash")
    assert "\n" not in str(caught.value)


FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "JPEG2000", "ICO", "TGA", "PPM"]
FORMATS += ["AVIF"] if features.check("avif") else []


@pytest.mark.parametrize("format", FORMATS)
def test_no_damage_raises_anything_but_a_picture_error(format: str):
    chance = random.Random(format)
    whole = picture_bytes(random_picture(2, 24, 20), format)
    failed = 0
    for trial in range(60):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 8)):
            reach = min(len(data), 200) if trial % 2 else len(data)  # headers first
            data[chance.randrange(reach)] = chance.randrange(256)
        if trial % 3 == 0:
            del data[chance.randrange(len(data)) :]
        try:
            with quiet_pillow():
                decode(bytes(data), 8, "crop")
        except PictureError:
            failed += 1
    assert failed


def test_an_avif_without_a_picture_raises_a_picture_error(monkeypatch: pytest.MonkeyPatch):
    def open_it(*_: object, **__: object) -> None:  # what Pillow's AVIF decoder raises
        raise RuntimeError("Failed to decode image: Missing or empty image item")

    monkeypatch.setattr(Image, "open", open_it)
    with pytest.raises(PictureError, match="corrupt: Failed to decode image"):
        decode(b"x", 8, "squash")


def test_decoding_never_changes_the_warning_filters(monkeypatch: pytest.MonkeyPatch):
    # They are the whole process's: threads that change and restore them undo each other.
    seen: list[list] = []
    real = Image.open

    def noted(*args: Any, **options: Any) -> Image.Image:
        seen.append(list(warnings.filters))
        return real(*args, **options)

    monkeypatch.setattr(Image, "open", noted)
    before = list(warnings.filters)
    with quiet_pillow():
        outside = list(warnings.filters)
        decode(PNG, 8, "squash")
    assert seen == [outside]
    assert outside != before
    assert warnings.filters == before


# Files


@pytest.mark.parametrize("change", ["other bytes", "no such file"])
def test_a_picture_that_changed_after_prepare_is_told_with_the_command(tmp_path: Path, change: str):
    key = "00" * 16
    if change == "other bytes":
        (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(MelovError, match=rf"a\.png: changed since .*{change}") as caught:
        read_picture(tmp_path, "a.png", key)
    assert "python -m pipeline.prepare" in str(caught.value)
