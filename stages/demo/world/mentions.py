"""What a mention of the demo says and which kind of picture it gets, drawn before the picture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from stages.config import DemoConfig
from stages.demo.world.looks import Look, random_look
from stages.demo.world.names import unknown_name
from stages.demo.world.occasions import Occasion
from stages.demo.world.sentences import mention_sentence
from stages.demo.world.world import Entity

IMAGE_KINDS = {
    "good": 0.4,
    "low_quality": 0.15,
    "low_value": 0.15,
    "low_relevance": 0.15,
    "missing": 0.15,
}
_FULL_TITLE_SHARE = 0.1


@dataclass(frozen=True)
class Drawn:
    """One mention without its picture.

    Args:
        number: its place in the split's file.
        entity: the gold one; of a nil mention an absent one (`absent.py`), or one whose kind and
            occasions it has, with a name that no entity bears.
        look: what a picture of it shows; a name that no entity bears comes with a look of its own.
        random: stands where the picture's own draws begin.
        leak: which one it has on purpose (`leaks.py`).
        source: whose picture it shows then.
    """

    number: int
    entity: Entity
    is_nil: bool
    image_kind: str
    words: str
    sentence: str
    occasion: Occasion | None
    look: Look
    random: Random
    leak: str | None = None
    source: Drawn | Entity | None = None


def draw_mentions(
    golds: Mapping[str, Sequence[Entity]], config: DemoConfig
) -> dict[str, list[Drawn]]:
    """The mentions of `train`, `dev` and `test`, each in the order of its file.

    No sentence of training is drawn once more for another split.
    """
    train = list(_drawn("train", golds["train"], config, ()))
    said = {mention.sentence for mention in train}
    others = {split: list(_drawn(split, golds[split], config, said)) for split in ("dev", "test")}
    return {"train": train, **others}


def _drawn(
    split: str, golds: Sequence[Entity], config: DemoConfig, said: Collection[str]
) -> Iterator[Drawn]:
    draws = Random(f"{config.seed}/{split}")
    nil = set(draws.sample(range(3, len(golds)), max(1, len(golds) // 700)))
    kinds = draws.choices(list(IMAGE_KINDS), list(IMAGE_KINDS.values()), k=len(golds))
    # The first picture of training is truncated: as good as missing. The next two are missing in
    # one way each, however few mentions there are.
    kinds[:3] = ["missing"] * 3
    for number, entity in enumerate(golds):
        seed = f"{config.seed}/{split}"
        yield drawn_mention(seed, number, entity, kinds[number], said, number in nil)


def drawn_mention(
    seed: str, number: int, entity: Entity, kind: str, said: Collection[str], unknown: bool = False
) -> Drawn:
    """One mention of an entity, in a sentence that is not among `said`.

    Args:
        seed: of the split's draws.
        kind: of its picture.
        unknown: whether it has a name and a look that no entity has.
    """
    random = Random(f"{seed}/{number}")
    words = entity.title if random.random() < _FULL_TITLE_SHARE else entity.surface
    if unknown:
        words = unknown_name(random)
    while True:
        sentence, occasion = mention_sentence(words, entity.kind, entity.occasions, random)
        if sentence not in said:
            break
    look = random_look(random) if unknown else entity.look
    is_nil = unknown or entity.is_absent
    return Drawn(number, entity, is_nil, kind, words, sentence, occasion, look, random)
