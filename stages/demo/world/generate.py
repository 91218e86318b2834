"""Write the demo in the layout of the MIMIC release, with that release's quirks.

    kb_entity.json  qid2id.json  DEMO_{train,dev,test}.json  kb_image/  mention_image/
    captions.json   caption_image/    for the demo's encoders: no picture of an entity or a mention
    leaks.json      {mention's id in the records: [flags]}    what the audit is to find

Unlike in the release, every mention carries `image_kind`: `Records.test_bed` goes by that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from PIL import Image
from tqdm import tqdm

from stages.config import DemoConfig
from stages.demo.world.leaks import (
    ENTITIES_PER_COPY,
    all_mentions,
    flags_of,
    picture_count,
    saved_anew,
)
from stages.demo.world.looks import random_look
from stages.demo.world.mentions import Drawn
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
from stages.demo.world.world import Entity, World, build_world

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
    world, mentions = build_world(config.entities, config.seed), all_mentions(config)
    for name in ("kb_image", "mention_image", "caption_image"):
        (folder / name).mkdir(parents=True)
    pictures, shown_twice = _write_entities(world, config, folder)
    graphics: dict[str, dict[int, int]] = {}
    for split, drawn in mentions.items():
        written, graphics[split] = _write_mentions(split, drawn, config, folder)
        pictures += written
    _dump(flags_of(mentions, graphics, shown_twice), folder / "leaks.json")
    pictures += _write_captions(world, config, folder)
    total = sum(map(len, mentions.values()))
    return Summary(config.entities, total, config.captions, pictures)


def _picture_name(entity: Entity, number: int) -> str:
    """Names of the knowledge base's pictures are used as they are, inner dots included."""
    stem = f"{entity.qid}.view" if entity.row % 9 == 4 else entity.qid
    return f"{stem}_{number}.jpg"


def _write_entities(world: World, config: DemoConfig, folder: Path) -> tuple[int, set[int]]:
    """Returns how many pictures, and the rows of the entities that share one."""
    records: list[dict[str, Any]] = []
    pictures, copies = 0, config.entities // ENTITIES_PER_COPY
    shown_twice: set[int] = set()
    for entity in tqdm(world.entities, desc="entities", unit="entity"):
        random = Random(f"{config.seed}/entity/{entity.row}")
        random.random()  # which `picture_count` goes by
        names = [_picture_name(entity, i) for i in range(picture_count(entity, config))]
        for name in names:
            picture = as_jpeg(portrait(entity.kind, entity.look, random))
            (folder / "kb_image" / name).write_bytes(picture)
        if not names and len(shown_twice) < 2 * copies and records and records[-1]["image_list"]:
            names = [_picture_name(entity, 0)]
            data = (folder / "kb_image" / records[-1]["image_list"][0]).read_bytes()
            if len(shown_twice) % 4:
                data = saved_anew(data, entity.row)
            (folder / "kb_image" / names[0]).write_bytes(data)
            shown_twice |= {entity.row - 1, entity.row}
        pictures += len(names)
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
    return pictures, shown_twice


def _write_mentions(
    split: str, drawn: Sequence[Drawn], config: DemoConfig, folder: Path
) -> tuple[int, dict[int, int]]:
    """Returns how many pictures, and which graphic of the pool a mention shows, by its number."""
    records = []
    pictures, graphics = 0, dict[int, int]()
    for mention in tqdm(drawn, desc=split, unit="mention"):
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
            if mention.image_kind == "low_value":
                pool = max(4, config.mentions // _MENTIONS_PER_GRAPHIC)
                graphics[index] = random.randrange(pool)
            data = _copied(mention, folder) or as_jpeg(_picture(mention, graphics, config))
            target.write_bytes(data)
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
    return pictures, graphics


def _picture(mention: Drawn, graphics: Mapping[int, int], config: DemoConfig) -> Image.Image:
    kind, look, random = mention.entity.kind, mention.look, mention.random
    if mention.image_kind == "low_relevance":
        return beside_the_point(kind, look, mention.occasion, random)
    if mention.image_kind == "low_value":
        return graphic(Random(f"{config.seed}/graphic/{graphics[mention.number]}"))
    image = snapshot(kind, look, random)
    return spoilt(image, random) if mention.image_kind == "low_quality" else image


def _copied(mention: Drawn, folder: Path) -> bytes | None:
    """The picture of another one that a mention shows on purpose."""
    if mention.source is None:
        return None
    if isinstance(mention.source, Drawn):
        file = folder / "mention_image" / f"train{mention.source.number:05d}.jpg"
    else:
        file = folder / "kb_image" / _picture_name(mention.source, 0)
    data = file.read_bytes()
    return saved_anew(data, mention.number) if "copy" in (mention.leak or "") else data


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
