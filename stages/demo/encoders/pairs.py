"""Pairs of text and picture from the demo's raw files, on which its small encoders are trained.

Only captions and mentions of the training split are read: never a mention paired with its gold
entity, nor the validation or test split. The knowledge base only lends the tokenizer its words.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from tqdm import tqdm

from cache.errors import MelovError
from stages.encode.decode import PictureError, decode


@dataclass(frozen=True)
class Pairs:
    """Texts and their pictures, row by row.

    Args:
        texts: n strings.
        pictures: uint8 (n, size, size, 3).
    """

    texts: list[str]
    pictures: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class DemoPairs:
    """What a small encoder learns from, and what it is checked with.

    Args:
        captions: with their pictures.
        mentions: `words [SEP] sentence` of training mentions, poor pictures included.
        held_out: captions of looks that `captions` lacks.
        skipped: training mentions whose picture is missing or cannot be decoded.
        vocabulary_texts: for training the tokenizer.
    """

    captions: Pairs
    mentions: Pairs
    held_out: Pairs
    skipped: int
    vocabulary_texts: list[str]


def read_pairs(raw: Path, size: int, held_out: int = 256) -> DemoPairs:
    """Read the demo's raw folder; pictures are squashed to `size` as extraction does it.

    Args:
        held_out: at most; in a small data set, a tenth of the captions.

    Raises:
        MelovError: the raw files are missing.
    """
    captions = _load(raw / "captions.json")
    mentions = _load(raw / "DEMO_train.json")
    texts = [f"{unquote(m['mentions'])} [SEP] {m['sentence']}" for m in mentions]
    entities = [
        f"{unquote(e['entity_name'])} [SEP] {e['attr']}" for e in _load(raw / "kb_entity.json")
    ]

    looks = [i for i, record in enumerate(captions) if record["shows"] == "look"]
    kept_back = set(looks[-min(held_out, len(captions) // 10) :])
    folder = raw / "caption_image"
    shown = [(c["caption"], folder / c["image"]) for c in captions]
    learned, _ = _decoded([p for i, p in enumerate(shown) if i not in kept_back], size, "captions")
    checked, _ = _decoded([shown[i] for i in sorted(kept_back)], size, "held out")

    placed = []
    for mention, text in zip(mentions, texts, strict=True):
        # The release's rule: the base name up to its first dot, converted to .jpg.
        stem = mention["imgPath"].rpartition("/")[2].partition(".")[0]
        placed.append((text, raw / "mention_image" / f"{stem}.jpg"))
    posted, skipped = _decoded(placed, size, "mentions")
    return DemoPairs(
        learned, posted, checked, skipped, [*(c["caption"] for c in captions), *texts, *entities]
    )


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        loaded: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MelovError(
            f"{path}: no such file", "write the demo first: python -m pipeline.demo --dataset demo"
        ) from None
    return loaded


def _decoded(pairs: list[tuple[str, Path]], size: int, what: str) -> tuple[Pairs, int]:
    """The pairs whose picture can be decoded, and the number of the others."""
    texts, pictures = [], []
    for text, path in tqdm(pairs, desc=f"decode {what}", unit="picture"):
        try:
            picture = decode(path.read_bytes(), size, "squash")
        except (FileNotFoundError, PictureError):
            continue
        texts.append(text)
        pictures.append(picture)
    stacked = np.stack(pictures) if pictures else np.zeros((0, size, size, 3), np.uint8)
    return Pairs(texts, stacked), len(pairs) - len(texts)
