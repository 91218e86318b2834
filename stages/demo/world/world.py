"""The demo's world: entities, who shares a name, a look or an occasion, and who is mentioned.

The words lead to the entities of one name, the sentence to those of one kind among them, and the
picture to the one that is meant. No two of the three suffice.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from stages.demo.world.looks import Look, random_look
from stages.demo.world.names import given_names, surfaces
from stages.demo.world.occasions import Occasion, all_occasions
from stages.demo.world.words import WORDS, Kind

SPLIT_SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}
UNSEEN_SHARE = 0.2
"""Share of dev and test mentions whose gold entity has no training mention."""
_WITHHELD_SHARE = 0.15  # of the entities: never mentioned in training
# Zipf's law with a flattened head: the most mentioned entities have some twenty training mentions,
# most have one to four.
_ZIPF_EXPONENT, _ZIPF_HEAD = 0.7, 12
_LOOKS = 200


@dataclass(frozen=True)
class Entity:
    """One entity.

    Args:
        row: its id in the knowledge base, 0..N-1.
        qid: as answers have it.
        title: full title, unique.
        surface: the short name that it shares.
        look: what its pictures show and its text never says.
        occasions: 1 to 3, which its mentions' sentences often name.
    """

    row: int
    qid: str
    title: str
    surface: str
    kind: Kind
    look: Look
    occasions: tuple[Occasion, ...]
    is_absent: bool = False
    """Whether the knowledge base lacks it; its row and its qid then say nothing."""


@dataclass(frozen=True)
class World:
    """All entities and occasions."""

    entities: tuple[Entity, ...]
    occasions: tuple[Occasion, ...]


def build_world(entities: int, seed: int) -> World:
    """Draw `entities` entities in name groups of 6 to 10, each of 2 to 4 kinds."""
    random = Random(f"{seed}/world")
    occasions = all_occasions(random)
    # Fewer looks for a small world, so that they are shared there too.
    looks = [random_look(random) for _ in range(min(_LOOKS, max(8, entities // 4)))]
    names = surfaces(random)
    qids = random.sample(range(1_000, 1_000 + 100 * entities), entities)
    found: list[Entity] = []
    while len(found) < entities:
        surface = next(names)
        given = given_names(surface, random)
        for kind in _group_kinds(random):
            taken = {e.title for e in found[-12:]}
            open_titles = [
                t for t in kind.titles if kind.is_person or t.format(surface) not in taken
            ]
            pattern = random.choice(open_titles)
            title = pattern.format(surface, given=next(given) if kind.is_person else "")
            found.append(
                Entity(
                    row=len(found),
                    qid=f"Q{qids[len(found)]}",
                    title=title,
                    surface=surface,
                    kind=kind,
                    look=random.choice(looks),
                    occasions=tuple(random.sample(occasions, random.choice((1, 1, 2, 2, 3)))),
                )
            )
            if len(found) == entities:
                break
    return World(tuple(found), occasions)


def _group_kinds(random: Random) -> list[Kind]:
    """Kinds of one name's entities: 6 to 10 of them, each kind two or three times."""
    kinds = random.sample(WORDS.kinds, random.choice((2, 3, 3, 4)))
    size = random.randint(max(6, 2 * len(kinds)), min(10, 3 * len(kinds)))
    return [kinds[i % len(kinds)] for i in range(size)]


def draw_golds(entities: Sequence[Entity], mentions: int, seed: int) -> dict[str, list[Entity]]:
    """Gold entities of each split's mentions.

    Training draws by a mild Zipf law from all but the withheld entities; dev and test take
    `UNSEEN_SHARE` from those without a training mention, the rest from those with one.
    """
    random = Random(f"{seed}/golds")
    order = list(entities)
    random.shuffle(order)
    withheld = max(1, round(_WITHHELD_SHARE * len(order)))
    known = order[withheld:]
    bounds = list(accumulate((rank + _ZIPF_HEAD) ** -_ZIPF_EXPONENT for rank in range(len(known))))

    def draw() -> Entity:
        return known[min(bisect(bounds, random.random() * bounds[-1]), len(known) - 1)]

    sizes = {split: round(share * mentions) for split, share in SPLIT_SHARES.items()}
    sizes["train"] = mentions - sizes["dev"] - sizes["test"]
    golds = {"train": [draw() for _ in range(sizes["train"])]}
    seen = {entity.row for entity in golds["train"]}
    unseen = [entity for entity in order if entity.row not in seen]
    for split in ("dev", "test"):
        count = round(UNSEEN_SHARE * sizes[split])
        chosen = [random.choice(unseen) for _ in range(count)]
        while len(chosen) < sizes[split]:
            entity = draw()
            if entity.row in seen:
                chosen.append(entity)
        random.shuffle(chosen)
        golds[split] = chosen
    return golds
