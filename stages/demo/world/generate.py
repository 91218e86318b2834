"""Write the demo in the layout of the MIMIC release, with that release's quirks.

    kb_entity.json  qid2id.json  DEMO_{train,dev,test}.json  kb_image/  mention_image/
    captions.json   caption_image/    for the demo's encoders: no picture of an entity or a mention

Unlike in the release, every mention carries `image_kind`: `Records.test_bed` goes by that.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from stages.config import DemoConfig
from stages.demo.world.looks import random_look
from stages.demo.world.mentions import draw_mentions
from stages.demo.world.pictures import (
    as_jpeg,
    beside_the_point,
    crowd,
    graphic,
    portrait,
    snapshot,
    spoilt,
)
from stages.demo.world.sentences import attributes, look_caption, occasion_caption, value_caption
from stages.demo.world.words import WORDS
from stages.demo.world.world import Entity, World, build_world, draw_golds

_MENTIONS_PER_GRAPHIC = 60  # social media reuse their graphics: the same bytes under many names
# How imgPath is written; the file on disk is always `<base name up to its first dot>.jpg`.
_PATHS = ("{}.jpg",) * 8 + ("photos/2016/{}.png", "{}.svg", "feed/{}.v2.final.png", "a.b/{}.jpeg")
_CAPTION_KINDS = {"look": 0.8, "occasion": 0.13, "graphic": 0.07}


@dataclass(frozen=True)
class Summary:
    """What was written: counts of records and pictures."""

    entities: int
    mentions: int
    captions: int
    pictures: int


def generate(config: DemoConfig, folder: Path) -> Summary:
    """Write the whole data set into the empty `folder`; the same `config` gives the same bytes."""
    world = build_world(config.entities, config.seed)
    for name in ("kb_image", "mention_image", "caption_image"):
        (folder / name).mkdir(parents=True)
    pictures = _write_entities(world, config, folder)
    golds = draw_golds(world.entities, config.mentions, config.seed)
    for split in golds:
        pictures += _write_mentions(split, golds[split], config, folder)
    pictures += _write_captions(world, config, folder)
    return Summary(config.entities, config.mentions, config.captions, pictures)


def _write_entities(world: World, config: DemoConfig, folder: Path) -> int:
    records: list[dict[str, Any]] = []
    pictures = 0
    for entity in tqdm(world.entities, desc="entities", unit="entity"):
        random = Random(f"{config.seed}/entity/{entity.row}")
        draw = random.random()
        count = 0 if draw < 0.04 else 2 if draw > 0.88 else 1
        # Names of the knowledge base's pictures are used as they are, inner dots included.
        stem = f"{entity.qid}.view" if entity.row % 9 == 4 else entity.qid
        names = [f"{stem}_{i}.jpg" for i in range(count)]
        for name in names:
            picture = as_jpeg(portrait(entity.kind, entity.look, random))
            (folder / "kb_image" / name).write_bytes(picture)
        pictures += count
        records.append(
            {
                "id": entity.row,
                "type": "entity",
                "entity_name": quote(entity.title),
                "attr": attributes(entity, random),
                "image_list": names,
            }
        )
    first = next(record["image_list"][0] for record in records if record["image_list"])
    (folder / "kb_image" / first).write_bytes(b"")  # corrupt: zero bytes
    _dump(records, folder / "kb_entity.json")
    _dump({entity.qid: entity.row for entity in world.entities}, folder / "qid2id.json")
    return pictures


def _write_mentions(split: str, golds: Sequence[Entity], config: DemoConfig, folder: Path) -> int:
    records = []
    pictures = 0
    drawn = draw_mentions(split, golds, config)
    for mention in tqdm(drawn, desc=split, total=len(golds), unit="mention"):
        index, entity, random = mention.number, mention.entity, mention.random
        stem = f"{split}{index:05d}"
        path = _PATHS[index % len(_PATHS)].format(stem)
        target = folder / "mention_image" / f"{stem}.jpg"
        if mention.image_kind == "missing":
            if index == 0 and split == "train":
                whole = as_jpeg(snapshot(entity.kind, mention.look, random))
                target.write_bytes(whole[: len(whole) // 2])
            elif index % 2:
                path = ""
        else:
            pictures += 1
            if mention.image_kind == "low_relevance":
                image = beside_the_point(entity.kind, mention.look, mention.occasion, random)
            elif mention.image_kind == "low_value":
                pool = max(4, config.mentions // _MENTIONS_PER_GRAPHIC)
                image = graphic(Random(f"{config.seed}/graphic/{random.randrange(pool)}"))
            else:
                image = snapshot(entity.kind, mention.look, random)
                if mention.image_kind == "low_quality":
                    image = spoilt(image, random)
            target.write_bytes(as_jpeg(image))
        records.append(
            {
                "mentions": quote(mention.words),
                "sentence": mention.sentence,
                "imgPath": path,
                "answer": "nil" if mention.is_nil else entity.qid,
                "entities": "" if mention.is_nil else entity.title,
                "image_kind": mention.image_kind,
            }
        )
    _dump(records, folder / f"DEMO_{split}.json")
    return pictures


def _write_captions(world: World, config: DemoConfig, folder: Path) -> int:
    records = []
    for index in tqdm(range(config.captions), desc="captions", unit="caption"):
        random = Random(f"{config.seed}/caption/{index}")
        shows = random.choices(list(_CAPTION_KINDS), list(_CAPTION_KINDS.values()))[0]
        if shows == "look":
            kind, look = random.choice(WORDS.kinds), random_look(random)
            caption, image = look_caption(kind, look, random), snapshot(kind, look, random)
        elif shows == "occasion":
            occasion = random.choice(world.occasions)
            caption, image = occasion_caption(occasion, random), crowd(occasion, random)
        else:
            caption, image = value_caption(random), graphic(random)
        name = f"{index:06d}.jpg"
        (folder / "caption_image" / name).write_bytes(as_jpeg(image))
        records.append({"image": name, "caption": caption, "shows": shows})
    _dump(records, folder / "captions.json")
    return len(records)


def _dump(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
