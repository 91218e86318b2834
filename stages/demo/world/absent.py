"""Mentions of what the knowledge base lacks: entities of the same world that nobody wrote down.

They answer `nil`. Half of the absent ones share their name with entities that are there, as the
striker does whose namesakes alone have an entry; the others have a name of their own. Nothing else
tells them apart: kind, look, occasions, sentences and pictures are drawn as those of all others.
"""

from collections.abc import Collection, Iterator, Sequence
from random import Random

from stages.config import DemoConfig
from stages.demo.world.mentions import IMAGE_KINDS, Drawn, drawn_mention
from stages.demo.world.names import given_names, surfaces
from stages.demo.world.words import WORDS
from stages.demo.world.world import Entity

NIL_SHARE = 0.1
"""Of the mentions of dev and test; training, which could only leave them out, gets none more."""
_MENTIONS_PER_ENTITY = 2
_NAMESAKES = 0.5


def absent_mentions(
    split: str, drawn: Sequence[Drawn], entities: Sequence[Entity], config: DemoConfig,
    said: Collection[str],
) -> list[Drawn]:  # fmt: skip
    """As many as make NIL_SHARE of a split, numbered behind its other mentions.

    Args:
        entities: of the knowledge base.
        said: sentences of training, which are not drawn once more.
    """
    nil = sum(mention.is_nil for mention in drawn)
    wanted = max(0, round((NIL_SHARE * len(drawn) - nil) / (1 - NIL_SHARE)))
    random = Random(f"{config.seed}/absent/{split}")
    found = absent_entities(entities, random)
    meant = [next(found) for _ in range(-(-wanted // _MENTIONS_PER_ENTITY))]
    kinds = random.choices(list(IMAGE_KINDS), list(IMAGE_KINDS.values()), k=wanted)
    return [
        drawn_mention(
            f"{config.seed}/{split}", len(drawn) + place, random.choice(meant), kind, said
        )
        for place, kind in enumerate(kinds)
    ]


def absent_entities(entities: Sequence[Entity], random: Random) -> Iterator[Entity]:
    """Entities that are none of `entities`, by no title."""
    titles = {entity.title for entity in entities}
    taken = {entity.surface for entity in entities}
    unused = (name for name in surfaces(random) if name not in taken)
    while True:
        like = random.choice(entities)
        surface = like.surface if random.random() < _NAMESAKES else next(unused)
        kind = random.choice(WORDS.kinds)
        names = given_names(surface, random) if kind.is_person else iter([""])
        patterns = random.sample(kind.titles, len(kind.titles))
        title = next(
            (
                title
                for given in names
                for pattern in patterns
                if (title := pattern.format(surface, given=given)) not in titles
            ),
            None,
        )
        if title is None:  # this name has every title of this kind
            continue
        titles.add(title)
        yield Entity(
            row=-1,
            qid="",
            title=title,
            surface=surface,
            kind=kind,
            look=random.choice(entities).look,
            occasions=random.choice(entities).occasions,
            is_absent=True,
        )
