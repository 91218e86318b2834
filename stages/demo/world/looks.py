"""A look: the colours, the pattern and the emblem by which a picture shows who or what it is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]

MAIN_COLOURS: dict[str, Colour] = {
    "red": (205, 40, 45),
    "orange": (243, 140, 30),
    "yellow": (247, 215, 55),
    "green": (45, 150, 70),
    "blue": (45, 95, 205),
    "purple": (130, 60, 170),
    "pink": (242, 140, 185),
    "brown": (125, 80, 45),
}
SECOND_COLOURS: dict[str, Colour] = {
    "white": (248, 248, 245),
    "black": (25, 25, 28),
    "silver": (165, 170, 175),
    "cyan": (80, 205, 225),
    "navy": (22, 32, 95),
    "lime": (170, 222, 60),
}
# No name of a main colour, so that a caption's words tell which colour is meant.
EMBLEM_COLOURS: dict[str, Colour] = {
    "ivory": (250, 250, 245),
    "ebony": (20, 20, 20),
    "scarlet": (215, 30, 40),
    "golden": (250, 215, 40),
    "azure": (35, 80, 210),
    "emerald": (30, 145, 60),
}
PATTERNS = ("plain", "stripes", "hoops", "checks")
EMBLEMS = ("star", "ring", "cross", "triangle", "heart", "moon", "diamond", "bolt")


@dataclass(frozen=True)
class Look:
    """One combination; 9,216 exist."""

    main: str
    second: str
    pattern: str
    emblem: str
    emblem_colour: str

    @property
    def main_rgb(self) -> Colour:
        return MAIN_COLOURS[self.main]

    @property
    def second_rgb(self) -> Colour:
        return SECOND_COLOURS[self.second]

    @property
    def emblem_rgb(self) -> Colour:
        return EMBLEM_COLOURS[self.emblem_colour]

    @property
    def plate_rgb(self) -> Colour:
        """The disc behind the emblem, dark behind a light emblem and light behind a dark one."""
        return (45, 45, 50) if self.emblem_colour in ("ivory", "golden") else (244, 242, 236)


def random_look(random: Random) -> Look:
    """A look drawn evenly from all combinations."""
    return Look(
        random.choice(list(MAIN_COLOURS)),
        random.choice(list(SECOND_COLOURS)),
        random.choice(PATTERNS),
        random.choice(EMBLEMS),
        random.choice(list(EMBLEM_COLOURS)),
    )
