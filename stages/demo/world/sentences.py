"""What the demo says: attributes of the knowledge base, sentences of mentions, captions."""

from __future__ import annotations

from random import Random

from stages.demo.world.kinds import KINDS, VAGUE_ACTS, VAGUE_ROLES, Kind
from stages.demo.world.looks import Look
from stages.demo.world.occasions import Occasion
from stages.demo.world.world import Entity

OCCASION_SHARE = 0.8
_VAGUE_SHARE = 0.12  # of the acts, and of the roles: then half of the sentence's hint is gone

_COUNTRIES = (
    "Norway",
    "Poland",
    "Portugal",
    "Ireland",
    "Estonia",
    "Croatia",
    "Finland",
    "Spain",
    "Austria",
    "Belgium",
    "Italy",
    "Sweden",
    "Greece",
    "Japan",
    "Canada",
    "Chile",
)
_ELSEWHERE = (
    "this morning",
    "last week",
    "on the radio",
    "two years ago",
    "after the rain",
    "this weekend",
    "on a quiet Tuesday",
    "over the holidays",
    "before sunrise",
    "late last night",
)
_OPENERS = (
    "Just seen",
    "Good news",
    "Sorry but",
    "Remember this",
    "For the record",
    "Long story short",
    "Breaking",
    "Throwback",
    "Honestly",
    "Fun fact",
)
# {n} name, {a} act, {r} role, {w} where or when, {o} opener. Short, as posts are, so that most of a
# sentence's words distinguish one mention from another.
_TEMPLATES = (
    "{n} {a} {w}.",
    "{w}, {n} {a}.",
    "{n}, {r}, {a} {w}.",
    "{w}: {r} {n} {a}.",
    "{r} {n} {a} {w}.",
    "Seen {w}: {n} {a}.",
    "{n} {w}: {r} {a}.",
    "Yes, {n} {a} {w}.",
    "Remember {w}? {n} {a}.",
    "{o}: {n} {a} {w}.",
    "It was {w} that {n} {a}.",
    "So {n}, {r}, {a} {w}.",
    "{n} again {w}: {r} {a}.",
    "{o}, {r} {n} {a} {w}.",
    "Who knew that {n} {a} {w}?",
    "Here is {n} {w}, {r} that {a}.",
)

_LOOK_PHRASES = (
    "in {main} with {second} {pattern} and one {ecol} {emblem} badge",
    "{main} and {second}, {pattern}, {emblem} emblem in {ecol}",
    "showing one {ecol} {emblem} on {main} {second} {pattern}",
    "{main} {pattern} with {second}, one {ecol} {emblem} on it",
)
_CAPTIONS = (
    "one {noun} {look}, {where}",
    "photo of the {noun} {where}, {look}",
    "{noun} {look}",
    "kind: {noun}; {look}",
    "{where}: {noun}, {look}",
    "the {noun} that {act}, {look}",
    "{role}, {look}, {where}",
)
_PATTERN_WORDS = {
    "plain": ("plain", "solid"),
    "stripes": ("stripes", "pinstripes"),
    "hoops": ("hoops", "bands"),
    "checks": ("checks", "chequers"),
}
_EMBLEM_WORDS = {"moon": ("moon", "crescent"), "bolt": ("bolt", "lightning"), "ring": ("ring",)}
_VALUE_CAPTIONS = (
    "a smiley face, so funny",
    "meme of the day",
    "a text card with a quote",
    "thumbs up emoji",
    "reaction picture, big smile",
    "some words on a coloured card",
)


def attributes(entity: Entity, random: Random) -> str:
    """The knowledge base's text: facts, never the look and never an occasion."""
    kind = entity.kind
    country = random.choice(_COUNTRIES)
    if kind.is_person:
        dates = f"born {random.randint(1921, 1998)}"
    else:
        dates = f"since {random.randint(1780, 1998)}"
    first, second = random.sample(kind.works, 2)
    return f"{kind.label}; {country}; {dates}; {first} and {second}"


def mention_sentence(
    words: str, kind: Kind | None, occasions: tuple[Occasion, ...], random: Random
) -> tuple[str, Occasion | None]:
    """A sentence around `words`, and the occasion that it names.

    Parameters
    ----------
    words: the mention as it stands in the sentence.
    kind: hinted at by paraphrases; None (a `nil` mention) takes any.
    occasions: the entity's own; `OCCASION_SHARE` of the sentences name one of them.
    """
    kind = kind or random.choice(KINDS)
    act = random.choice(VAGUE_ACTS if random.random() < _VAGUE_SHARE else kind.acts)
    role = random.choice(VAGUE_ROLES if random.random() < _VAGUE_SHARE else kind.roles)
    occasion = None
    where = random.choice(_ELSEWHERE)
    if occasions and random.random() < OCCASION_SHARE:
        occasion = random.choice(occasions)
        where = random.choice(("at {}", "during {}", "after {}")).format(occasion.phrase)
    sentence = random.choice(_TEMPLATES).format(
        n=words, a=act, r=role, w=where, o=random.choice(_OPENERS)
    )
    return sentence[:1].upper() + sentence[1:], occasion


def look_caption(kind: Kind, look: Look, random: Random) -> str:
    """A caption that tells the kind and the whole look."""
    phrase = random.choice(_LOOK_PHRASES).format(
        main=look.main,
        second=look.second,
        pattern=random.choice(_PATTERN_WORDS[look.pattern]),
        emblem=random.choice(_EMBLEM_WORDS.get(look.emblem, (look.emblem,))),
        ecol=look.emblem_colour,
    )
    return random.choice(_CAPTIONS).format(
        noun=random.choice(kind.nouns),
        look=phrase,
        where=random.choice(kind.setting),
        act=random.choice(kind.acts),
        role=random.choice(kind.roles),
    )


def occasion_caption(occasion: Occasion, random: Random) -> str:
    """A caption of a crowd at an occasion."""
    return random.choice(("a crowd at {}", "people at {}", "{}, flags everywhere")).format(
        occasion.phrase
    )


def value_caption(random: Random) -> str:
    """A caption of a graphic that shows nothing in particular."""
    return random.choice(_VALUE_CAPTIONS)
