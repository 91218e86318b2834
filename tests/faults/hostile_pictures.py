"""Pictures that nobody should have to open: bombs, programs in disguise, files that are none.

    written = write(folder)     # name -> how it must end: "" is decoded, else words of the reason

Each is made byte by byte where no library writes such a file.
"""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MARK = "was-run"
"""Name of a file that appears if a picture's program is run."""
SIDE = 9459
"""Of the largest square within the limit of pixels."""


def png(width: int, height: int, depth: int = 1, kind: int = 0, before: bytes = b"") -> bytes:
    """A picture of one colour, packed to a thousandth; `before`: chunks before its pixels."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    packer = zlib.compressobj(9)
    line = b"\0" + b"\0" * ((width * channels * depth + 7) // 8)
    packed = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + before + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def claiming(data: bytes, side: int) -> bytes:
    """The PNG, which then says that it has so many pixels a side."""
    head = struct.pack(">II", side, side) + data[24:29]
    return SIGNATURE + chunk(b"IHDR", head) + data[33:]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zeros(size: int) -> bytes:
    """zlib's stream of so many zeros."""
    packer, block = zlib.compressobj(9), bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // 2**20)) + packer.flush()


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def frames(count: int) -> bytes:
    """A GIF of many frames, each of some bytes."""
    one = saved(Image.new("P", (8, 8), 1), "GIF")
    at = one.index(b",\0\0\0\0")
    return one[:at] + one[at:-1] * count + b";"


def animated_png(count: int) -> bytes:
    whole = png(16, 16, 8)
    at = whole.index(b"IDAT") - 4
    control = struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 1, 10, 0, 0)
    more = []
    data = zlib.compress(b"\0" * 17 * 16)
    for i in range(1, count):
        again = struct.pack(">IIIIIHHBB", 2 * i - 1, 16, 16, 0, 0, 1, 10, 0, 0)
        more += [chunk(b"fcTL", again), chunk(b"fdAT", struct.pack(">I", 2 * i) + data)]
    head = chunk(b"acTL", struct.pack(">II", count, 0)) + chunk(b"fcTL", control)
    return whole[:at] + head + whole[at:-12] + b"".join(more) + whole[-12:]


def tiff(width: int, height: int, next_directory: int = 0) -> bytes:
    """One strip of a byte that claims to be everything; `next_directory` may be its own place."""
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 200),
        (277, 3, 1), (278, 4, height), (279, 4, 1),
    ]  # fmt: skip
    body = struct.pack("<H", len(tags))
    body += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    body += struct.pack("<I", next_directory)
    return (b"II*\0" + struct.pack("<I", 8) + body).ljust(200, b"\0") + b"\0"


def with_jpeg_size(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    """A lossless header of up to 14 bits a side, and nothing behind it."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 9) + b"\x2f" + struct.pack("<I", bits) + bytes(5)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, width, height, 1, 24, 0, 4,
                               0, 0, 0, 0) + bytes(4)  # fmt: skip


def jpeg2000(width: int, height: int) -> bytes:
    """A codestream whose header alone is there."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, 1) + b"\7\1\1"
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + b"\xff\xd9"


def icon(inner: bytes, count: int = 1) -> bytes:
    """An ICO whose entries all hold `inner`, a PNG, and say that it is small."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + inner


PIPE = (
    b"%%!PS-Adobe-3.0 EPSF-3.0\n%%%%BoundingBox: 0 0 9 9\n(%%pipe%%touch %s) (w) file pop\n%%%%EOF"
)
SVG = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;'
    b'<image href="http://127.0.0.1:9/x.png"/></svg>'
)
MVG = b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://127.0.0.1:9/\"|touch %s\")'\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 132735\n"


def files(mark: bytes) -> dict[str, tuple[Callable[[], bytes], str]]:
    """Content, and words of the reason; empty where it is a picture after all."""
    small = Image.new("RGB", (16, 16), "red")
    return {
        "line.png": (lambda: png(89_000_000, 1), "too large"),
        "column.png": (lambda: png(1, 200_000), "too large"),
        "largest.png": (lambda: png(SIDE, SIDE, 8, 2), ""),
        "largest-deep.png": (lambda: png(SIDE, SIDE, 16, 0), ""),
        "beyond.png": (lambda: png(SIDE + 1, SIDE + 1), "too large"),
        "claims-all.png": (lambda: claiming(png(16, 16), 2**31 - 1), "too large"),
        "words.png": (lambda: png(16, 16, before=chunk(b"zTXt", b"a\0\0" + zeros(2**31))), ""),
        "profile.png": (lambda: png(16, 16, before=chunk(b"iCCP", b"a\0\0" + zeros(2**30))), ""),
        "chunks.png": (lambda: png(16, 16, before=chunk(b"tEXt", b"a\0b") * 200_000), ""),
        "animated.png": (lambda: animated_png(100_000), ""),
        "bomb.gif": (lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0"
                     + b"\xff\xff\xff\xff\0\x02\x01\0\0;", "too large"),
        "animated.gif": (lambda: frames(100_000), ""),
        "bomb.tiff": (lambda: tiff(1_000_000, 1_000_000), "too large"),
        "claims.tiff": (lambda: tiff(9000, 9000), "truncated"),
        "loop.tiff": (lambda: tiff(1, 1, next_directory=8), ""),
        "bomb.jpg": (lambda: with_jpeg_size(65_500, 65_500), "too large"),
        "claims.jpg": (lambda: with_jpeg_size(9000, 9000), ""),
        "bomb.webp": (lambda: webp(16_383, 16_383), "too large"),
        "bomb.bmp": (lambda: bmp(2**31 - 1, 2**31 - 1), "too large"),
        "upwards.bmp": (lambda: bmp(2**31 - 1, -(2**31)), "too large"),
        "bomb.jp2": (lambda: jpeg2000(2**31 - 1, 2**31 - 1), "too large"),
        "bomb.ico": (lambda: icon(png(30_000, 30_000)), "too large"),
        "icons.ico": (lambda: icon(saved(small, "PNG"), 65_535), ""),
        "cut.avif": (lambda: saved(small, "AVIF")[:60], "corrupt"),
        "run.eps": (lambda: PIPE % mark, "not supported: PostScript"),
        "run.png": (lambda: PIPE % mark, "not supported: PostScript"),
        "run.mvg": (lambda: MVG % mark, "corrupt"),
        "file.pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\n", "not supported: PDF"),
        "outside.svg": (lambda: SVG, "not supported"),
        "phone.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not supported"),
        "page.jpg": (lambda: b"<!DOCTYPE html><title>404</title>", "not supported"),
        "pointer.jpg": (lambda: LFS, "not supported"),
        "zip.jpg": (lambda: b"PK\3\4" + bytes(40), "not supported"),
        "empty.jpg": (lambda: b"", "empty"),
        "noise.jpg": (lambda: bytes(range(256)) * 40, "corrupt"),
    }  # fmt: skip


def write(folder: Path, root: Path) -> dict[str, str]:
    """Write them all below `folder`, and what is no file at all; names with how each must end.

    Args:
        root: where MARK appears if a program is run.
    """
    said = {}
    for name, (content, reason) in files(bytes(root / MARK)).items():
        (folder / name).write_bytes(content())
        said[name] = reason
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        here = os.open(folder, os.O_RDONLY)
        try:  # by way of the folder: a socket's path has 108 bytes at most
            listener.bind(f"/proc/self/fd/{here}/socket.png")
        finally:
            os.close(here)
    with (folder / "huge.png").open("wb") as file:
        file.truncate(300 * 2**20)
    return said | {
        "pipe.png": "unreadable", "folder.png": "unreadable", "zero.png": "unreadable",
        "loop.png": "unreadable", "gone.png": "missing", "socket.png": "unreadable",
        "huge.png": "too large",
    }  # fmt: skip
