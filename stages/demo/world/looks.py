"""A look: the colours, the pattern and the emblem by which a picture shows who or what it is."""

from dataclasses import dataclass
from random import Random

from stages.demo.world.words import WORDS, Colour


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
        return WORDS.looks.main_colours[self.main]

    @property
    def second_rgb(self) -> Colour:
        return WORDS.looks.second_colours[self.second]

    @property
    def emblem_rgb(self) -> Colour:
        return WORDS.looks.emblem_colours[self.emblem_colour]

    @property
    def plate_rgb(self) -> Colour:
        """The disc behind the emblem, dark behind a light emblem and light behind a dark one."""
        return (45, 45, 50) if self.emblem_colour in ("ivory", "golden") else (244, 242, 236)


def random_look(random: Random) -> Look:
    """A look drawn evenly from all combinations."""
    words = WORDS.looks
    return Look(
        random.choice(list(words.main_colours)),
        random.choice(list(words.second_colours)),
        random.choice(list(words.patterns)),
        random.choice(list(words.emblems)),
        random.choice(list(words.emblem_colours)),
    )
