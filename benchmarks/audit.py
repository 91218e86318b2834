"""The leakage audit at WikiMEL's size: pictures decoded to squares, then all compared."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.compare import Mark, Result, at_most, compare, seconds_of
from benchmarks.photographs import Size, write_photographs
from stages.datasets.audit import Audit, audit_of
from stages.datasets.records import (
    ENTITY_SCHEMA,
    MENTION_SCHEMA,
    PICTURE_SCHEMA,
    Records,
    table_from_rows,
)
from stages.datasets.squares import BYTES, Squares
from stages.paths import SPLITS, DatasetPaths

QUICK, FULL = Size(200), Size(4_000)
"""Pictures that are decoded."""
ENTITIES, MENTIONS = 110_000, {"train": 16_283, "valid": 2_326, "test": 4_652}
"""WikiMEL's: every one has a picture."""
SECONDS = 300
"""That an audit of that size may take on two cores."""


def run(full: bool, rounds: int) -> Result:
    size, share = (FULL, 1) if full else (QUICK, 20)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        paths = DatasetPaths("photographs", Path(name))
        write_photographs(paths, size)
        files = {path.name: path for path in sorted(paths.raw.iterdir())}
        timings = compare(
            {
                "ours": lambda: Squares().of(files),
                "decoded whole, two threads": lambda: whole(files),
            },
            rounds,
        )
    decoding = timings[0].seconds / len(files)
    records, squares = of_wikimels_size(share)
    found: list[Audit] = []
    comparing = seconds_of(lambda: found.append(audit_of(records, Path(), squares)))
    pictures = records.pictures.num_rows
    total = decoding * pictures + comparing
    marks = [] if share > 1 else [at_most("an audit of WikiMEL's size", total, SECONDS, " s")]
    planted, counts = pictures // 1000, found[0].counts
    marks.append(
        _exact("copies of training pictures", counts["picture-copy-in-train"]["test"], planted)
    )
    return Result(
        "audit",
        f"{len(files)} JPEG files of about 500 x 400 decoded; {pictures:,} squares compared",
        timings,
        marks,
        [
            f"decoding {1 / decoding:,.0f} pictures a second, so {decoding * pictures:.0f} s for "
            f"{pictures:,}; comparing them {comparing:.1f} s"
        ],
        {"seconds_a_picture": decoding, "seconds_comparing": comparing, "pictures": pictures},
    )


def _exact(what: str, found: int, wanted: int) -> Mark:
    return Mark(what, f"{wanted} planted", f"{found} found", found == wanted)


def whole(files: dict[str, Path]) -> None:
    """The same squares without a draft of the JPEG: every pixel is decoded."""

    def decoded(path: Path) -> np.ndarray:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("L").resize((16, 16), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(decoded, files.values()))


def of_wikimels_size(share: int) -> tuple[Records, Squares]:
    """Records in which every picture is another one, but for one test picture in a thousand
    pictures, which is a training picture saved anew; and the squares of all.

    Args:
        share: so many times fewer of everything.
    """
    counts = {split: count // share for split, count in MENTIONS.items()}
    entities, mentions = ENTITIES // share, sum(counts.values())
    rng = np.random.default_rng(0)
    tones = rng.integers(40, 216, (entities + mentions, 1))
    squares = (
        (tones + rng.normal(0, 30, (entities + mentions, BYTES))).clip(0, 255).astype(np.uint8)
    )
    first = entities + counts["train"] + counts["valid"]
    copies = (entities + mentions) // 1000
    noise = rng.integers(-1, 2, (copies, BYTES))
    squares[first : first + copies] = (
        squares[entities : entities + copies].astype(int) + noise
    ).clip(0, 255)
    keys = [f"{row:032x}" for row in range(len(squares))]
    pictures = pa.table(
        {"path": keys, "key": keys, "bytes": [1] * len(keys), "status": ["ok"] * len(keys)},
        schema=PICTURE_SCHEMA,
    )
    own = [
        {"id": f"E{row}", "name": "n", "text": "", "picture": row, "pictures": [row]}
        for row in range(entities)
    ]
    tables, row = {}, entities
    for split in SPLITS:
        tables[split] = table_from_rows(
            [
                {"id": f"{split}-{i}", "words": f"w {i}", "sentence": f"{split} {i}",
                 "picture": row + i, "answer": f"E{i % entities}", "gold": i % entities,
                 "image_kind": None}
                for i in range(counts[split])
            ],
            MENTION_SCHEMA,
        )  # fmt: skip
        row += counts[split]
    records = Records(
        "wikimel", "jsonl", "", "text", table_from_rows(own, ENTITY_SCHEMA), tables, pictures
    )
    return records, Squares.known(dict(zip(keys, squares, strict=True)))
