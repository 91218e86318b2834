"""What a service serves: a linker, and of a data set its pictures and some of its mentions."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import MelovError
from stages.datasets.decoding.picture import Exif, PictureError, read_bytes, rgb
from stages.datasets.records import Records
from stages.datasets.store import FAILED
from stages.paths import DatasetPaths
from stages.serving.schema import Example

if TYPE_CHECKING:  # which would import torch
    from stages.linking.api import Linker

SIDE = 320
"""Longest side of a picture that is shown, pixels."""
KEPT = 512
"""Pictures that are in memory as they are shown: some 10 MB."""
EXAMPLES, LONGEST = 60, 2000
"""Of a data set, and characters of an example."""


@dataclass(frozen=True)
class Served:
    """Args:
    source: as the command names it.
    pictures: None of a bundle, which has none.
    """

    linker: Linker
    source: str
    pictures: Pictures | None = None
    examples: tuple[Example, ...] = ()

    @classmethod
    def of_dataset(cls, linker: Linker, paths: DatasetPaths) -> Served:
        """With the pictures and the test mentions of the records in `paths`."""
        records = Records.load(paths.require_records())
        failed = failed_pictures(paths)
        pictures = Pictures(records, records.image_folder(paths.root), linker.about.exif, failed)
        return cls(linker, f"data set {paths.dataset}", pictures, _examples(records, pictures))

    def has_picture(self, entity: str) -> bool:
        return self.pictures is not None and self.pictures.has("entities", entity)


class Pictures:
    """The pictures of a data set's entities and test mentions, by their ids; no path is ever asked
    for.

    Args:
        folder: what the records' paths are relative to; nothing outside of it is read.
        failed: paths that extraction could not decode.
    """

    def __init__(
        self, records: Records, folder: Path, exif: Exif, failed: Collection[str] = ()
    ) -> None:
        self._folder = folder.resolve()
        self._exif: Exif = exif
        self._paths: list[str] = records.pictures["path"].to_pylist()
        tables = {"entities": records.entities, "mentions": records.mentions["test"]}
        self._rows: dict[str, dict[str, int]] = {
            kind: {
                id: row
                for id, row in zip(
                    table["id"].to_pylist(), table["picture"].to_pylist(), strict=True
                )
                if row >= 0 and self._paths[row] not in failed
            }
            for kind, table in tables.items()
        }
        self.jpeg = lru_cache(KEPT)(self._jpeg)

    def has(self, kind: str, id: str) -> bool:
        return id in self._rows[kind]

    def _jpeg(self, kind: str, id: str) -> bytes:
        """The picture of an entity or a mention, at most SIDE long, as the encoder sees its pixels.

        Raises:
            KeyError: it has none.
            PictureError: it cannot be read or decoded, or lies outside of the folder.
        """
        path = self._folder / self._paths[self._rows[kind][id]]
        if not path.resolve().is_relative_to(self._folder):
            raise PictureError("it lies outside of the data set's folder")
        try:
            small = rgb(read_bytes(path), exif=self._exif)
        except MelovError as error:
            raise PictureError(error.message.removeprefix(f"{path}: ")) from None
        small.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=85)
        return file.getvalue()


def failed_pictures(paths: DatasetPaths) -> set[str]:
    """Paths of the pictures that extraction could not decode; none where it has not said."""
    try:
        with (paths.extract / FAILED).open(encoding="utf-8", newline="") as file:
            return {row["path"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, csv.Error):
        return set()


def _examples(records: Records, pictures: Pictures) -> tuple[Example, ...]:
    """Test mentions from everywhere in the split, whose words stand in their sentence."""
    names = dict(
        zip(
            records.entities["id"].to_pylist(), records.entities["name"].to_pylist(), strict=True
        )
    )  # fmt: skip
    table = records.mentions["test"]
    step = max(1, table.num_rows // (4 * EXAMPLES))
    found = []
    for row in range(0, table.num_rows, step):
        mention = {name: table[name][row].as_py() for name in table.column_names}
        text, start, end = (mention[name] for name in ("sentence", "start", "end"))
        if start is None or len(text) > LONGEST:
            continue
        picture = mention["id"] if pictures.has("mentions", mention["id"]) else None
        found.append(
            Example(
                text=text, start=start, end=end, picture=picture,
                answer=mention["answer"], answer_name=names.get(mention["answer"], ""),
            )
        )  # fmt: skip
        if len(found) == EXAMPLES:
            break
    return tuple(found)
