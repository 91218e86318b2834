"""A prepared data set of JPEG files and sentences on the disk, and a CLIP ViT-B/32 to encode it.

The pictures are smoothed noise with shapes on it, of a web photograph's size in pixels and bytes.
The sentences have as many words as those of news: 27 on average, most of them from 10 to 55. The
weights are random: what encoding costs does not depend on them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import CLIPConfig, CLIPModel

from stages.datasets.findings import Findings
from stages.datasets.pictures import PictureTable
from stages.datasets.records import ENTITY_SCHEMA, MENTION_SCHEMA, Records, table_from_rows
from stages.demo.encoders.tokenizer import train_tokenizer
from stages.paths import SPLITS, DatasetPaths

WORDS = 4_000  # different ones
MEDIAN_WORDS, SPREAD = 24, 0.5  # of a sentence: log-normal
SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sa", "ti", "vo", "el", "an", "or", "ish")
SPLIT_OF_TEN = ("train",) * 8 + ("valid", "test")  # by a mention's number


@dataclass(frozen=True)
class Size:
    """Distinct pictures; three in four are entities', who all have one. Texts are twice as many."""

    pictures: int

    @property
    def texts(self) -> int:
        return 2 * self.pictures

    @property
    def entities(self) -> int:
        return round(0.75 * self.pictures)


def write_photographs(paths: DatasetPaths, size: Size, added: int = 0) -> None:
    """Pictures below `paths.raw` that are not there yet, and the records of them.

    Args:
        added: entities besides, each with a picture of its own, at the end of the knowledge base.
    """
    paths.raw.mkdir(parents=True, exist_ok=True)
    pictures, findings, sentences = PictureTable(paths.raw), Findings(), Sentences()

    def picture(number: int) -> int:
        path = paths.raw / f"{number}.jpg"
        if not path.exists():
            write_photograph(path, number)
        return pictures.row(path.name, str(number))

    entities = []
    numbers = [*range(size.entities), *range(size.texts, size.texts + added)]
    for number in numbers:
        row = picture(number)
        entities.append(
            {"id": f"E{number}", "name": f"Name {number}", "text": sentences(number),
             "picture": row, "pictures": [row]}
        )  # fmt: skip
    mentions: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    for number in range(size.entities, size.texts):
        gold = number % size.entities
        mentions[SPLIT_OF_TEN[number % 10]].append(
            {"id": f"m{number}", "words": f"Name {gold}", "sentence": sentences(number),
             "picture": picture(number) if number < size.pictures else -1,
             "answer": f"E{gold}", "gold": gold, "image_kind": ""}
        )  # fmt: skip
    Records(
        paths.dataset, "jsonl", str(paths.raw), "text", table_from_rows(entities, ENTITY_SCHEMA),
        {split: table_from_rows(rows, MENTION_SCHEMA) for split, rows in mentions.items()},
        pictures.build(findings), findings.listed(),
    ).save(paths.records)  # fmt: skip


def write_photograph(path: Path, seed: int) -> None:
    """About 500 x 400 pixels, about 50 KB."""
    rng = np.random.default_rng(seed)
    width, height = (int(side * rng.uniform(0.9, 1.1)) for side in (500, 400))
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((5, 100), (40, 40), (160, 24)):
        noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(noise[..., channel]).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            canvas[..., channel] += strength * np.asarray(layer)
    picture = Image.fromarray((128 + canvas).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for shape in (draw.ellipse, draw.rectangle) * 3:
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(20, 160, 2)
        shape((x, y, x + w, y + h), fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    picture.save(path, quality=88)


class Sentences:
    """Sentence by number, always the same one; words are drawn by Zipf's law."""

    def __init__(self) -> None:
        self.words = vocabulary()
        share = 1 / np.arange(1, WORDS + 1)
        self.share = share / share.sum()

    def __call__(self, number: int) -> str:
        rng = np.random.default_rng([7, number])
        count = max(3, round(MEDIAN_WORDS * math.exp(SPREAD * rng.standard_normal())))
        return " ".join(rng.choice(self.words, count, p=self.share))


def vocabulary() -> list[str]:
    rng = np.random.default_rng(3)
    return ["".join(rng.choice(SYLLABLES, rng.integers(1, 5))) for _ in range(WORDS)]


def write_clip(folder: Path) -> Path:
    """ViT-B/32, which is the library's default, with random weights and a tokenizer of its own."""
    tokenizer = train_tokenizer([*vocabulary(), "Name 0123456789"], max_length=77)
    config = CLIPConfig()
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config.text_config, name, getattr(tokenizer, name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pixels = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder
