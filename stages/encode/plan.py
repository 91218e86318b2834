"""What extraction has to do: distinct texts and pictures, and which rows point at them.

Texts are distinct by their token ids, pictures by their bytes: what the encoder sees. Texts are
stored by token length, so a batch of consecutive rows has little padding.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.datasets.fallback import tried
from stages.datasets.records import Records
from stages.encode.tokens import joined
from stages.paths import NIL, SPLITS


@dataclass(frozen=True)
class TextPlan:
    """Distinct texts in the store's order, and each record's row among them."""

    ids: list[np.ndarray]
    keys: np.ndarray  # (n, 16) uint8
    rows: dict[str, np.ndarray]  # group -> int32 (records,)
    cut: int
    """Records whose text was cut at max_tokens, or just fits."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.ids]


@dataclass(frozen=True)
class PicturePlan:
    """Distinct pictures in the store's order, and each record's row among them."""

    paths: list[str]
    keys: list[str]
    sizes: list[int]  # bytes of the files
    rows: dict[str, np.ndarray]  # group -> int32 (records,), -1 without a picture
    further: dict[int, list[int]]  # entity -> the rows that it falls back to, in their order

    def without(self, failed: Collection[int]) -> dict[str, np.ndarray]:
        """`rows` once it is known which pictures did not decode: an entity gets its next one that
        did, and -1 where there is none."""
        gone = np.array(sorted(failed), dtype=np.int32)
        found = {
            group: np.where(np.isin(rows, gone), np.int32(-1), rows)
            for group, rows in self.rows.items()
        }
        entities = found["entities"]
        for entity, rows in self.further.items():
            if entities[entity] < 0:
                entities[entity] = next((row for row in rows if row not in failed), -1)
        return found

    @property
    def key_rows(self) -> np.ndarray:
        """The keys as the store has them, uint8 (k, 16)."""
        return np.array([list(bytes.fromhex(key)) for key in self.keys], np.uint8).reshape(-1, 16)


def tables_of(records: Records) -> dict[str, Any]:
    """The records' Arrow tables by group of the store; where no mention is without an entity, there
    is no group of such."""
    tables = {"entities": records.entities}
    tables |= {f"mentions/{split}": records.mentions[split] for split in SPLITS}
    return tables | ({f"mentions/{NIL}": records.nil} if records.nil.num_rows else {})


def said_of(records: Records) -> dict[str, tuple[list[str], list[str]]]:
    """By group, what is said of each record: an entity's names and texts, the words and sentences
    of mentions."""
    columns = {"entities": ("name", "text")}
    return {
        group: tuple(table[c].to_pylist() for c in columns.get(group, ("words", "sentence")))
        for group, table in tables_of(records).items()
    }


def texts_of(records: Records) -> dict[str, list[str]]:
    """The text that the encoder reads for each record, by group."""
    return {
        group: [joined(words, text) for words, text in zip(*said, strict=True)]
        for group, said in said_of(records).items()
    }


def plan_texts(
    texts: dict[str, list[str]],
    tokenize: Callable[[Sequence[str]], list[np.ndarray]],
    max_tokens: int,
) -> TextPlan:
    """Distinct token sequences, sorted by length, then by first appearance."""
    first: dict[bytes, int] = {}
    ids: list[np.ndarray] = []
    places: dict[str, np.ndarray] = {}
    cut = 0
    for group, said in texts.items():
        rows = np.empty(len(said), dtype=np.int64)
        for index, row in enumerate(tokenize(said)):
            key = row.tobytes()
            if key not in first:
                first[key] = len(ids)
                ids.append(row)
            rows[index] = first[key]
            cut += len(row) >= max_tokens
        places[group] = rows
    order = np.argsort([len(row) for row in ids], kind="stable")
    rank = np.empty(len(ids), dtype=np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    ordered = [ids[i] for i in order]
    keys = np.array(
        [list(hashlib.blake2b(row.tobytes(), digest_size=16).digest()) for row in ordered],
        dtype=np.uint8,
    ).reshape(-1, 16)
    return TextPlan(ordered, keys, {g: rank[rows] for g, rows in places.items()}, cut)


def plan_pictures(records: Records, encode: bool, fall_back: bool = True) -> PicturePlan:
    """Distinct readable pictures that a mention names, or an entity: its own, and those before it
    that failed when the records were made.

    Args:
        encode: False where the encoder takes no pictures.
        fall_back: False leaves out those before it.
    """
    table = records.pictures
    paths, keys = table["path"].to_pylist(), table["key"].to_pylist()
    status, sizes = table["status"].to_pylist(), table["bytes"].to_pylist()
    wanted = {
        group: found["picture"].to_numpy().astype(np.int32)
        for group, found in tables_of(records).items()
    }
    of_entity = _tried(records) if fall_back else {}
    of_picture = np.full(len(paths), -1, dtype=np.int32)
    row_of_key: dict[str, int] = {}
    kept: list[int] = []
    if encode:
        for group, named in wanted.items():
            for picture in _in_order(named, of_entity if group == "entities" else {}):
                if picture < 0 or of_picture[picture] >= 0 or status[picture] != "ok":
                    continue
                key = keys[picture]
                if key not in row_of_key:
                    row_of_key[key] = len(kept)
                    kept.append(int(picture))
                of_picture[picture] = row_of_key[key]
    with_none = np.append(of_picture, np.int32(-1))  # so that -1 stays -1
    rows = {group: with_none[pictures] for group, pictures in wanted.items()}
    further = {}
    for entity, pictures in of_entity.items():
        first, *others = [int(row) for row in with_none[pictures] if row >= 0] or [-1]
        rows["entities"][entity], further[entity] = first, others
    return PicturePlan(
        [paths[picture] for picture in kept],
        list(row_of_key),
        [sizes[picture] for picture in kept],
        rows,
        further,
    )


def _tried(records: Records) -> dict[int, list[int]]:
    """The pictures that are tried of each entity whose first one is not its own, by its row."""
    columns = (records.entities[name].to_pylist() for name in ("picture", "pictures"))
    found = {i: tried(*said) for i, said in enumerate(zip(*columns, strict=True))}
    return {entity: pictures for entity, pictures in found.items() if len(pictures) > 1}


def _in_order(wanted: np.ndarray, several: Mapping[int, list[int]]) -> Iterator[int]:
    for record, picture in enumerate(wanted.tolist()):
        yield from several.get(record, [picture])
