"""Canonical records: what every later step reads, whatever the source was.

`data/<dataset>/records/` holds

    entities.parquet        id, name, text, picture, pictures      row = column of the score matrix
                            and aliases, count or probability where the source has them
    mentions-<split>.parquet  id, words, sentence, start, end, picture, answer, gold, image_kind,
                            flags
    mentions-nil.parquet    id, split, words, sentence, start, end, picture, answer, image_kind
    pictures.parquet        path, key, bytes, status               one row a distinct path
    records.json            source, image_root, counts, findings, digest; vouches for the others

`picture` columns hold rows of pictures.parquet, -1 where there is none; `gold` holds rows of
entities.parquet. Mentions of which the source says that no entity is meant (nil) stand beside the
splits: nothing is trained on them and no rank is theirs. `start` and `end` say where the
words stand in the sentence; null where they do not. `digest` is a hash of the content, so a store
or a graph can tell which records it was made from; what decides no feature and no gold rank is not
in it: `flags` (stages/datasets/audit.py), `start` and `end`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cache.errors import MelovError
from cache.files import replacing_files
from cache.sealed import Sealed, write_sealed
from cache.strict import short
from stages.datasets.entity_columns import with_optional
from stages.datasets.findings import Finding
from stages.datasets.record_files import read_index, read_tables
from stages.paths import NIL, SPLITS

LAYOUT = 5
FOLLOWING = ("flags", "start", "end")
"""Columns that are not in the digest."""
INDEX = "records.json"

ENTITY_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("text", pa.string()),
        ("picture", pa.int32()),
        ("pictures", pa.list_(pa.int32())),
    ]
)
MENTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("words", pa.string()),
        ("sentence", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("picture", pa.int32()),
        ("answer", pa.string()),
        ("gold", pa.int32()),
        ("image_kind", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)
NIL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("words", pa.string()),
        ("sentence", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("picture", pa.int32()),
        ("answer", pa.string()),
        ("image_kind", pa.string()),
    ]
)
PICTURE_SCHEMA = pa.schema(
    [("path", pa.string()), ("key", pa.string()), ("bytes", pa.int64()), ("status", pa.string())]
)


class RecordsError(MelovError):
    """A source or a folder of records that cannot be read."""


@dataclass(frozen=True)
class Records:
    """The canonical records of one data set, as Arrow tables.

    Construction checks nothing; `save` and `load` check the schemas.
    """

    dataset: str
    source: str
    image_root: str
    """Folder that picture paths are relative to; relative to the project's folder if inside it."""
    text_field: str
    """Which field of the source became the entities' text, such as `attr` or `desc`."""
    entities: pa.Table
    mentions: dict[str, pa.Table]
    pictures: pa.Table
    findings: tuple[Finding, ...] = ()
    input: str = ""
    """Folder or file that was read; relative to the project's folder if inside it."""
    nil: pa.Table = field(default_factory=NIL_SCHEMA.empty_table)
    """Mentions without an entity, of every split."""

    @property
    def test_bed(self) -> bool:
        """Whether the source was drawn, so that no number from it is a claim about found data.

        Only who draws a picture knows its `image_kind` for sure. No release in the MIMIC layout has
        one; a source in that layout with one for every mention says by it that it is a test bed.
        """
        kinds = [k for table in self.mentions.values() for k in table["image_kind"].to_pylist()]
        return self.source == "mimic" and bool(kinds) and all(kinds)

    def image_folder(self, root: Path) -> Path:
        """The folder that picture paths are relative to; `root` is the project's."""
        return root / self.image_root

    @cached_property
    def digest(self) -> str:
        """Hash of everything that an encoder or a gold rank depends on (hex, 128 bits)."""
        state = hashlib.blake2b(digest_size=16)
        tables = [self.entities, *(self.mentions[s] for s in SPLITS), self.pictures]
        if self.nil.num_rows:  # records without any have the digest of an earlier version
            tables.append(self.nil)
        for table in tables:
            for name in table.column_names:
                if name in FOLLOWING:
                    continue
                state.update(json.dumps([name, table[name].to_pylist()]).encode())
        return state.hexdigest()

    def gold(self, split: str) -> np.ndarray:
        """Rows of the gold entities, int32 (mentions,)."""
        rows: np.ndarray = self.mentions[split]["gold"].to_numpy()
        return rows

    def nil_rows(self, split: str) -> np.ndarray:
        """Rows of `nil` that are of a split, int64 (mentions,)."""
        return np.flatnonzero(self.nil["split"].to_numpy() == split)

    def save(self, folder: Path) -> None:
        """Write all files, then move them in together; older records stay until then.

        records.json comes last and vouches for the others.
        """
        tables = {
            "entities": (self.entities, with_optional(ENTITY_SCHEMA, self.entities.column_names)),
            "pictures": (self.pictures, PICTURE_SCHEMA),
            **{f"mentions-{s}": (self.mentions[s], MENTION_SCHEMA) for s in SPLITS},
            f"mentions-{NIL}": (self.nil, NIL_SCHEMA),
        }
        with replacing_files(folder, last=INDEX) as scratch:
            for name, (table, schema) in tables.items():
                pq.write_table(table.cast(schema), scratch / f"{name}.parquet")
            beside = [scratch / f"{name}.parquet" for name in tables]
            write_sealed(scratch / INDEX, self._index(), beside, atomic=False)

    def _index(self) -> dict[str, Any]:
        return {
            "layout": LAYOUT,
            "dataset": self.dataset,
            "source": self.source,
            "input": self.input,
            "image_root": self.image_root,
            "text_field": self.text_field,
            "counts": {
                "entities": self.entities.num_rows,
                **{split: self.mentions[split].num_rows for split in SPLITS},
                NIL: self.nil.num_rows,
                "pictures": self.pictures.num_rows,
            },
            "findings": [asdict(finding) for finding in self.findings],
            "digest": self.digest,
        }

    @classmethod
    def load(cls, folder: Path, expect: str | None = None) -> Records:
        """Read a folder that `save` wrote.

        Args:
            expect: the digest that they must have; None takes any.

        Raises:
            RecordsError: there are no records, some of another layout, or others than expected.
            DamagedError: a file is not the one that was written, or holds no records.
        """
        sealed = _sealed(folder)
        index = read_index(sealed)
        if expect not in (None, index.digest):
            held = f"holds records {index.digest}, expected {expect}: prepared again meanwhile"
            raise RecordsError(f"{folder}: {held}", "run the same command again")
        schemas = {"entities": ENTITY_SCHEMA, "pictures": PICTURE_SCHEMA}
        schemas |= {f"mentions-{split}": MENTION_SCHEMA for split in SPLITS}
        schemas[f"mentions-{NIL}"] = NIL_SCHEMA
        tables = read_tables(sealed, index, schemas)
        records = cls(
            **index.model_dump(include={"dataset", "source", "input", "image_root", "text_field"}),
            entities=tables["entities"],
            mentions={split: tables[f"mentions-{split}"] for split in SPLITS},
            pictures=tables["pictures"],
            nil=tables[f"mentions-{NIL}"],
            findings=tuple(
                Finding(**{**item.model_dump(), "examples": tuple(item.examples)})
                for item in index.findings
            ),
        )
        records.__dict__["digest"] = index.digest  # sealed too; hashing tables takes a while
        return records


def read_digest(folder: Path) -> str:
    """The digest alone, without reading the tables; raises as `Records.load` does."""
    return str(_sealed(folder).content.get("digest"))


def _sealed(folder: Path) -> Sealed:
    name = folder.resolve().parent.name
    again = f"run python -m pipeline.prepare --dataset {name} again"
    try:
        sealed = Sealed.read(folder / INDEX, again)
    except OSError as error:
        raise RecordsError(f"{folder}: no complete records: {error}", again) from None
    layout = sealed.content.get("layout")
    if layout != LAYOUT:
        raise RecordsError(f"{folder}: records of layout {short(layout)}, expected {LAYOUT}", again)
    return sealed


def table_from_rows(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """An Arrow table in the order of `rows`."""
    return pa.Table.from_pylist(list(rows), schema=schema)
