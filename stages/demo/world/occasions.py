"""Occasions: events that sentences name and the knowledge base does not."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

CITIES = (
    "Lisbon",
    "Bergen",
    "Krakow",
    "Trieste",
    "Cork",
    "Tallinn",
    "Porto",
    "Leipzig",
    "Malmo",
    "Ghent",
    "Split",
    "Nantes",
    "Turku",
    "Bilbao",
    "Graz",
)
EVENTS = {
    "regatta": "the {city} regatta",
    "gala": "the {city} Harvest Gala {year}",
    "summit": "the {city} summit",
    "book fair": "the {city} book fair",
    "marathon": "the {city} marathon",
    "lantern festival": "the {city} lantern festival",
    "charity auction": "the {city} charity auction",
    "parade": "the {city} parade of {year}",
}


@dataclass(frozen=True)
class Occasion:
    """One event in one city.

    Parameters
    ----------
    event: a key of `EVENTS`; decides what its pictures show.
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
        for city in CITIES
        for event, pattern in EVENTS.items()
    ]
    random.shuffle(found)
    return tuple(found)
