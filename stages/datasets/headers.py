"""Every picture's header: format, mode, size, and what cannot be decoded or needs care."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from cache.errors import MelovError
from stages.datasets.decoding.picture import PictureError, opened, read_bytes
from stages.datasets.findings import Finding, Findings
from stages.limits import PICTURE_BYTES, PICTURE_PIXELS, PICTURE_SIDE

THREADS = 4
GROUP = 64
TAIL = 4096
"""Bytes at the end of a JPEG in which its end marker must stand; cameras append a little more."""
ORIENTATION = 0x0112
"""EXIF's tag."""
LONGEST_SIDES = (64, 224, 1024, 4096)

QUIRKS = {
    "not-supported": "pictures in a format that is not read (such as SVG or HEIC)",
    "corrupt": "pictures whose header or checksums are damaged",
    "truncated": "JPEG pictures without an end marker, so most likely cut short",
    "too-large": f"pictures of more than {PICTURE_PIXELS / 1e6:.0f} Mpixel, {PICTURE_SIDE:,} "
    f"pixels a side or {PICTURE_BYTES / 2**20:.0f} MiB, refused",
    "cmyk": "CMYK pictures",
    "palette": "palette pictures",
    "16-bit": "pictures with more than 8 bits a channel",
    "animated": "animated pictures, of which the first frame counts",
    "transparent": "pictures with transparency, which is laid on white",
    "turned": "pictures that EXIF says to turn (extract.exif)",
}


@dataclass(frozen=True)
class Header:
    """What one file's header says; empty strings where it cannot be read."""

    format: str = ""
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    quirks: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class HeaderReport:
    """Counts over all pictures; each of `formats`, `modes`, `sizes` sums to those with a header."""

    pictures: int
    formats: dict[str, int]
    modes: dict[str, int]
    sizes: dict[str, int]
    """By longest side in pixels."""
    findings: tuple[Finding, ...]


def read_header(path: Path) -> Header:
    """Open and verify one file without decoding its pixels, by the route of extraction.

    The caller turns Pillow's DecompressionBombWarning into an error, as `inspect_headers` does.
    """
    try:
        with opened(read_bytes(path)) as image:
            header = image.format or "", image.mode, image.size
            quirks = _quirks(image)
            try:
                image.verify()
            except Exception as error:  # a format's own parser raises anything
                return Header(*header, (*quirks, "corrupt"), _reason(error))
        if header[0] == "JPEG" and not _has_end(path):
            quirks.append("truncated")
        return Header(*header, tuple(quirks))
    except (PictureError, MelovError) as error:
        kind = str(error).split(":")[0].replace(" ", "-")
        return Header(quirks=(kind if kind in QUIRKS else "corrupt",), reason=str(error)[:100])


def _quirks(image: Image.Image) -> list[str]:
    quirks = []
    if image.mode == "CMYK":
        quirks.append("cmyk")
    if image.mode in ("P", "PA"):
        quirks.append("palette")
    # Pillow narrows 16-bit RGB to mode RGB; only the tile's raw mode still tells.
    if image.mode[:1] in ("I", "F") or ";16" in str(getattr(image, "tile", ())[:1]):
        quirks.append("16-bit")
    if getattr(image, "is_animated", False):
        quirks.append("animated")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        quirks.append("transparent")
    with contextlib.suppress(Exception):  # damaged EXIF touches no pixel
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        if exif.get(ORIENTATION, 1) != 1:
            quirks.append("turned")
    return quirks


def inspect_headers(root: Path, paths: Sequence[str]) -> HeaderReport:
    """Headers of `paths` below `root`, read in threads.

    Args:
        paths: files that exist, (pictures,).
    """
    groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]
    headers: list[Header] = []
    Image.init()  # registers every plugin before the threads could do it at once
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=len(paths), desc="opening pictures", unit="file", delay=2, mininterval=1) as bar,
    ):
        # Once for all threads: the filters are the process's.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for group in pool.map(lambda g: [read_header(root / path) for path in g], groups):
            headers += group
            bar.update(len(group))

    findings = Findings()
    for path, header in zip(paths, headers, strict=True):
        for quirk in header.quirks:
            reason = f" ({header.reason})" if header.reason else ""
            findings.add(f"picture-{quirk}", QUIRKS[quirk], f"{path}{reason}")
    read = [header for header in headers if header.format]
    bins = Counter(sum(max(header.size) >= side for side in LONGEST_SIDES) for header in read)
    return HeaderReport(
        len(paths),
        dict(Counter(header.format for header in read).most_common()),
        dict(Counter(header.mode for header in read).most_common()),
        {_bin_name(i): bins[i] for i in range(len(LONGEST_SIDES) + 1) if bins[i]},
        findings.listed(),
    )


def _bin_name(i: int) -> str:
    if i == 0:
        return f"below {LONGEST_SIDES[0]}"
    if i == len(LONGEST_SIDES):
        return f"{LONGEST_SIDES[-1]} and more"
    return f"{LONGEST_SIDES[i - 1]}-{LONGEST_SIDES[i] - 1}"


def _has_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        return b"\xff\xd9" in file.read()


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:100]
