"""What the demo says: attributes of the knowledge base, sentences of mentions, captions."""

from random import Random

from stages.demo.world.looks import Look
from stages.demo.world.occasions import Occasion
from stages.demo.world.words import WORDS, Kind
from stages.demo.world.world import Entity

OCCASION_SHARE = 0.8
_VAGUE_SHARE = 0.12  # of the acts, and of the roles: then half of the sentence's hint is gone


def attributes(entity: Entity, random: Random) -> str:
    """The knowledge base's text: facts, never the look and never an occasion."""
    kind = entity.kind
    country = random.choice(WORDS.countries)
    since, earliest = ("born", 1921) if kind.is_person else ("since", 1780)
    year = random.randint(earliest, 1998)
    first, second = random.sample(kind.works, 2)
    return f"{kind.label}; {country}; {since} {year}; {first} and {second}"


def mention_sentence(
    words: str, kind: Kind, occasions: tuple[Occasion, ...], random: Random
) -> tuple[str, Occasion | None]:
    """A sentence around `words`, and the occasion that it names.

    Args:
        words: the mention as it stands in the sentence.
        kind: hinted at by paraphrases.
        occasions: the entity's own; `OCCASION_SHARE` of the sentences name one of them.
    """
    said = WORDS.sentences
    act = random.choice(said.vague_acts if random.random() < _VAGUE_SHARE else kind.acts)
    role = random.choice(said.vague_roles if random.random() < _VAGUE_SHARE else kind.roles)
    occasion = None
    where = random.choice(said.elsewhere)
    if occasions and random.random() < OCCASION_SHARE:
        occasion = random.choice(occasions)
        where = random.choice(said.occasion).format(occasion.phrase)
    sentence = random.choice(said.templates).format(
        n=words, a=act, r=role, w=where, o=random.choice(said.openers)
    )
    return sentence[:1].upper() + sentence[1:], occasion


def look_caption(kind: Kind, look: Look, random: Random) -> str:
    """A caption that tells the kind and the whole look."""
    phrase = random.choice(WORDS.captions.look).format(
        main=look.main,
        second=look.second,
        pattern=random.choice(WORDS.looks.patterns[look.pattern]),
        emblem=random.choice(WORDS.looks.emblems[look.emblem]),
        ecol=look.emblem_colour,
    )
    return random.choice(WORDS.captions.subject).format(
        noun=random.choice(kind.nouns),
        look=phrase,
        where=random.choice(kind.setting),
        act=random.choice(kind.acts),
        role=random.choice(kind.roles),
    )


def occasion_caption(occasion: Occasion, random: Random) -> str:
    """A caption of a crowd at an occasion."""
    return random.choice(WORDS.captions.occasion).format(occasion.phrase)


def value_caption(random: Random) -> str:
    """A caption of a graphic that shows nothing in particular."""
    return random.choice(WORDS.captions.graphic)
