"""What the demo says: attributes of the knowledge base, sentences of mentions, captions."""

from __future__ import annotations

from random import Random

from stages.datasets.demo.kinds import KINDS, VAGUE_ACTS, VAGUE_ROLES, Kind
from stages.datasets.demo.looks import Look
from stages.datasets.demo.occasions import Occasion
from stages.datasets.demo.world import Entity

OCCASION_SHARE = 0.7
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
_FILLERS = (
    "and I still can't believe it",
    "says the evening news",
    "what a day",
    "more pictures soon",
    "with the whole family watching",
    "and nobody was surprised",
    "thanks to everyone who came",
    "so here is my snapshot",
    "you had to be there",
    "and the kids loved it",
    "as the neighbours keep telling us",
    "no filter needed",
    "the rest is history",
    "and then it started to rain",
    "story of the year",
    "ask me about it later",
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
# {n} name, {a} act, {r} role, {w} where or when, {f} filler, {o} opener.
_TEMPLATES = (
    "{w}, {n} {a}, {f}.",
    "{n}, {r}, {a} {w}, {f}.",
    "{o}: {n} {a} {w}, {f}.",
    "{o}, {n} {a} {w}. {f}!",
    "{r} {n} {a} {w}, {f}.",
    "{f}: {w} {n} {a}, {r} indeed.",
    "We met {n} {w}: {r} {a}.",
    "Everyone says that {n} {a} {w}, {f}.",
    "{n} {a}. {w}, {f}.",
    "Who knew that {n}, {r}, {a} {w}?",
    "{w} I heard how {n} {a}, {f}.",
    "{o}! {w} {r} {n} {a}.",
    "My friend told me {w} that {n} {a}, {f}.",
    "Did you hear? {n} {a} {w}, {f}.",
    "{n} again: {r} {a} {w}.",
    "The paper writes that {n} {a} {w}, {f}.",
    "It was {w} that {n}, {r}, {a}.",
    "Nobody expected {n} {w}, yet {r} {a}.",
    "{w} with {n}, {r}; {f}.",
    "{o}, it is {n}: {a} {w}, {f}.",
    "Some say {n} {a}, others only came for the food {w}.",
    "Here is {n} {w}, {r} that {a}.",
    "A photo of {n} {w}; {r} {a}.",
    "Since {n} {a} {w}, we talk of nothing else, {f}.",
    "{n} {w}! {r} {a}, {f}.",
    "Thinking of {n}, {r} that {a} {w}.",
    "Yes, {n} {a} {w}; {f}.",
    "{f}, {n} {a} {w}.",
    "If you missed {n} {w}: {r} {a}.",
    "So {n} {a}, and {w} we celebrated, {f}.",
    "{r}, that is {n}, {a} {w}.",
    "Waiting for {n} {w}, {f}, while {r} {a}.",
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
    return f"kind: {kind.label}; country: {country}; {dates}; known for: {first} and {second}"


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
        n=words, a=act, r=role, w=where, f=random.choice(_FILLERS), o=random.choice(_OPENERS)
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
