"""What extraction has to do: distinct texts and pictures, and which rows point at them.

Texts are distinct by their token ids, pictures by their bytes: what the encoder sees. Texts are
stored by token length, so that a batch of neighbouring rows pads little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.fingerprint import Fingerprint
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.encode.encoders.encoder import Checkpoints
from stages.encode.tokens import joined
from stages.paths import SPLITS

FEATURES_VERSION = 3
"""Raise it with any change of code that moves a feature: no store from before is then taken for
finished, and no row of one is carried over."""

GROUPS = ("entities", *(f"mentions/{split}" for split in SPLITS))


def fingerprint_of(
    records_digest: str, checkpoints: Checkpoints, config: ExtractConfig, dtype: str
) -> Fingerprint:
    """Everything that decides a feature's value: other fields, other store."""
    text, image = checkpoints.text, checkpoints.image
    of_text = text.identity()
    of_image = None if image is None else of_text if image is text else image.identity()
    said: dict[str, Any] = {
        "records": records_digest,
        "text_encoder": of_text,
        "image_encoder": of_image,
        "image_size": None if image is None else _image_size(image.config),
        "max_tokens": config.max_tokens,
        "text_pooling": config.text_pooling,
        "resize": None if image is None else config.resize,
        "dtype": dtype,
        "lexical_ngrams": list(config.lexical_ngrams),
        "features_version": FEATURES_VERSION,
    }
    return Fingerprint(said)


def _image_size(config: dict[str, Any]) -> int | None:
    size: int | None = config.get("vision_config", config).get("image_size")
    return size


@dataclass(frozen=True)
class TextPlan:
    """Distinct texts in the store's order, and each record's row among them."""

    ids: list[np.ndarray]
    keys: np.ndarray  # (n, 16) uint8
    rows: dict[str, np.ndarray]  # group -> int32 (records,)
    cut: int
    """Records whose text was cut at max_tokens, or just fits."""

    @property
    def offsets(self) -> np.ndarray:
        lengths = [len(row) for row in self.ids]
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


@dataclass(frozen=True)
class PicturePlan:
    """Distinct pictures in the store's order, and each record's row among them."""

    paths: list[str]
    keys: list[str]
    rows: dict[str, np.ndarray]  # group -> int32 (records,), -1 without a picture

    @property
    def key_rows(self) -> np.ndarray:
        """The keys as the store has them, uint8 (k, 16)."""
        return np.array([list(bytes.fromhex(key)) for key in self.keys], np.uint8).reshape(-1, 16)


def texts_of(records: Records) -> dict[str, list[str]]:
    """The text that the encoder reads for each record, by group."""
    found = {
        "entities": _joined(records.entities, "name", "text"),
    }
    for split in SPLITS:
        found[f"mentions/{split}"] = _joined(records.mentions[split], "words", "sentence")
    return found


def _joined(table: Any, words: str, text: str) -> list[str]:
    pairs = zip(table[words].to_pylist(), table[text].to_pylist(), strict=True)
    return [joined(a, b) for a, b in pairs]


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
    for group in GROUPS:
        rows = np.empty(len(texts[group]), dtype=np.int64)
        for index, row in enumerate(tokenize(texts[group])):
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


def plan_pictures(records: Records, encode: bool) -> PicturePlan:
    """Distinct readable pictures that a mention or an entity's first place names."""
    table = records.pictures
    paths, keys = table["path"].to_pylist(), table["key"].to_pylist()
    status = table["status"].to_pylist()
    columns = {"entities": records.entities["picture"]}
    columns |= {f"mentions/{s}": records.mentions[s]["picture"] for s in SPLITS}
    wanted = {g: column.to_numpy().astype(np.int32) for g, column in columns.items()}
    of_picture = np.full(len(paths), -1, dtype=np.int32)
    row_of_key: dict[str, int] = {}
    kept: list[str] = []
    if encode:
        for group in GROUPS:
            for picture in wanted[group]:
                if picture < 0 or of_picture[picture] >= 0 or status[picture] != "ok":
                    continue
                key = keys[picture]
                if key not in row_of_key:
                    row_of_key[key] = len(kept)
                    kept.append(paths[picture])
                of_picture[picture] = row_of_key[key]
    with_none = np.append(of_picture, np.int32(-1))  # so that -1 stays -1
    rows = {group: with_none[pictures] for group, pictures in wanted.items()}
    return PicturePlan(kept, list(row_of_key), rows)
