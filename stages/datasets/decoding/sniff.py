"""What a file is that no decoder took, by its first bytes: for the message alone."""

READ = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\0\0\1\0": "ICO", b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}  # fmt: skip
"""Beginnings of formats that are read: who begins so and does not open is damaged."""

OTHERS = {
    b"%!": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"%PDF": "PDF", b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\x1f\x8b": "gzip (such as SVGZ)",
    b"PK\3\4": "a zip archive", b"\xd7\xcd\xc6\x9a": "Windows Metafile", b"SIMPLE  =": "FITS",
    b"\xd0\xcf\x11\xe0": "an OLE file (FlashPix, Office)", b"DDS ": "DDS",
    b"gimp xcf": "GIMP's XCF", b"icns": "Apple's ICNS", b"qoif": "QOI",
    b"\x76\x2f\x31\x01": "OpenEXR", b"BPG\xfb": "BPG",
    b"#?RADIANCE": "Radiance HDR", b"\x1aE\xdf\xa3": "Matroska or WebM", b"OggS": "Ogg",
    b"FORM": "IFF", b"\x01\xda": "SGI", b"\x59\xa6\x6a\x95": "Sun raster", b"\x0a\x05\x01": "PCX",
    b"SQLite": "a database", b"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
}  # fmt: skip

BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC", b"heim": "HEIC",
    b"heis": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF",
    b"crx ": "Canon CR3", b"jxl ": "JPEG XL",
}  # fmt: skip
"""Of files in ISO's base media format, which all begin alike."""


def known_format(data: bytes) -> tuple[str | None, bool]:
    """The format's name, None where nothing is known; and whether it is one that is read."""
    for start, name in READ.items():
        if data.startswith(start):
            return name, True
    if data[:4] == b"RIFF":
        return ("WebP", True) if data[8:12] == b"WEBP" else ("a RIFF file, no WebP", False)
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], "MP4 or QuickTime"), False
    for start, name in OTHERS.items():
        if data.startswith(start):
            return name, False
    if data[40:44] == b" EMF":
        return "Windows Metafile", False
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text and text.startswith(b"<"):
        return "SVG", False
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML, a page in a picture's place", False
    return ("XML", False) if text.startswith(b"<?xml") else (None, False)
