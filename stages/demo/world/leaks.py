"""Leaks that the demo has on purpose, as released data sets have them, and the list of all of them.

Some mentions of `dev` and `test` say what a training mention says, or show what a training mention
or their own entity shows: the same bytes, or the picture saved anew. `leaks.json` says which, so
that the audit (`stages/datasets/audit.py`) can be held against it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from random import Random

from PIL import Image

from stages.config import DemoConfig
from stages.demo.world.absent import absent_mentions
from stages.demo.world.mentions import Drawn, draw_mentions
from stages.demo.world.world import Entity, build_world, draw_golds

MENTIONS_PER_LEAK = 200
"""One leak of each sort for so many mentions of a split; a smaller split has none."""
ENTITIES_PER_COPY = 500
"""Of these one shows another's picture: of a knowledge base with fewer, none."""

SORTS = (
    "sentence-in-train", "pair-in-train", "picture-in-train", "picture-copy-in-train",
    "picture-of-entity", "picture-copy-of-entity",
)  # fmt: skip

Splits = Mapping[str, Sequence[Drawn]]


def planted(
    drawn: Splits, pictured: Sequence[Entity], config: DemoConfig
) -> dict[str, list[Drawn]]:
    """The mentions of all splits, some of `dev` and `test` with a leak.

    Each leak is between mentions of one entity, as it is where a release's split cuts through what
    one author wrote about one thing.

    Args:
        pictured: the entities that have a picture.
    """
    of_entity = {entity.row: entity for entity in pictured}
    training: dict[int, list[Drawn]] = defaultdict(list)
    for mention in drawn["train"]:
        if not mention.is_nil and mention.number > 0:  # the first one's picture is truncated
            training[mention.entity.row].append(mention)
    found = {split: list(mentions) for split, mentions in drawn.items()}
    for split in ("dev", "test"):
        random = Random(f"{config.seed}/leaks/{split}")
        free = [m for m in drawn[split] if m.image_kind == "good" and not m.is_nil]
        random.shuffle(free)
        for sort in SORTS:
            for _ in range(len(drawn[split]) // MENTIONS_PER_LEAK):
                leak = next(_leaks(sort, free, training, of_entity))
                found[split][leak.number] = leak
                free = [mention for mention in free if mention.number != leak.number]
    return found


def all_mentions(config: DemoConfig) -> dict[str, list[Drawn]]:
    """Of `train`, `dev` and `test`, each in the order of its file; leaks are among them, and what
    the knowledge base lacks is mentioned last."""
    entities = build_world(config.entities, config.seed).entities
    golds = draw_golds(entities, config.mentions, config.seed)
    # The first picture of the knowledge base is empty.
    pictured = [entity for entity in entities if picture_count(entity, config)][1:]
    found = planted(draw_mentions(golds, config), pictured, config)
    said = {mention.sentence for mention in found["train"]}
    for split in ("dev", "test"):
        found[split] += absent_mentions(split, found[split], entities, config, said)
    return found


def picture_count(entity: Entity, config: DemoConfig) -> int:
    """Pictures of its own: none, one or two."""
    draw = Random(f"{config.seed}/entity/{entity.row}").random()
    return 0 if draw < 0.04 else 2 if draw > 0.88 else 1


def _leaks(
    sort: str, free: Sequence[Drawn], training: Mapping[int, Sequence[Drawn]],
    pictured: Mapping[int, Entity],
) -> Iterator[Drawn]:  # fmt: skip
    """Mentions of `free` with a leak of this sort."""
    for mention in free:
        entity = mention.entity
        if sort.endswith("of-entity"):
            if entity.row in pictured:
                yield replace(mention, leak=sort, source=pictured[entity.row])
            continue
        for source in training.get(entity.row, ()):
            said = replace(mention, leak=sort, sentence=source.sentence, occasion=source.occasion)
            if sort == "pair-in-train":
                yield replace(said, words=source.words)
            elif sort == "sentence-in-train" and source.words != entity.surface:
                yield replace(said, words=entity.surface)
            elif sort.startswith("picture") and source.image_kind == "good":
                yield replace(mention, leak=sort, source=source)


def saved_anew(data: bytes, number: int) -> bytes:
    """A picture's file, written once more: as poor JPEG, as PNG, or as smaller JPEG, in turn."""
    file = BytesIO()
    with Image.open(BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    if number % 3 == 0:
        picture.save(file, "JPEG", quality=60)
    elif number % 3 == 1:
        picture.save(file, "PNG")
    else:
        side = picture.width * 3 // 4
        picture.resize((side, side), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def flags_of(
    mentions: Splits, graphics: Mapping[str, Mapping[int, int]], shown_twice: set[int]
) -> dict[str, list[str]]:
    """Of each mention that has any, by its id in the records: what the audit is to flag it with.

    Args:
        graphics: of each split, which graphic of the pool a mention's picture is, by its number.
        shown_twice: rows of entities that share a picture.
    """
    found: dict[str, list[str]] = defaultdict(list)
    nil = {mention.number for mention in mentions["train"] if mention.is_nil}
    of_training = {shown for number, shown in graphics["train"].items() if number not in nil}
    for split, name in (("train", "train"), ("dev", "valid"), ("test", "test")):
        for mention in mentions[split]:
            own = found[f"{name}-{mention.number}"]
            if mention.is_nil:
                continue
            if split != "train" and graphics[split].get(mention.number) in of_training:
                own.append("picture-in-train")
            if mention.leak is not None:
                own += ["sentence-in-train"] * (mention.leak == "pair-in-train")
                own.append(mention.leak)
            if mention.entity.row in shown_twice:
                own.append("entity-picture-shared")
    return {id: flags for id, flags in found.items() if flags}
