"""Occasions: events that sentences name and the knowledge base does not."""

from dataclasses import dataclass
from random import Random

from stages.demo.world.words import WORDS


@dataclass(frozen=True)
class Occasion:
    """One event in one city.

    Args:
        event: a key of the words' events; decides what its pictures show.
        city: decides the colours of its bunting.
        phrase: as sentences have it.
    """

    event: str
    city: str
    phrase: str


def all_occasions(random: Random) -> tuple[Occasion, ...]:
    """All 120, shuffled; the years are drawn."""
    found = [
        Occasion(event, city, pattern.format(city=city, year=random.randint(2009, 2019)))
        for city in WORDS.occasions.cities
        for event, pattern in WORDS.occasions.events.items()
    ]
    random.shuffle(found)
    return tuple(found)
