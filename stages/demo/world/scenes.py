"""Scenes: the background that is typical of a kind, and the crowd of an occasion."""

from collections.abc import Callable
from random import Random

from stages.demo.world.canvas import Canvas, shade
from stages.demo.world.occasions import Occasion
from stages.demo.world.words import WORDS, Colour

_SKY: Colour = (165, 210, 240)
_SEA: Colour = (60, 130, 180)


def draw_scene(label: str, random: Random) -> Canvas:
    """A canvas with the scene of the kind `label`, lit and laid out a bit differently each time."""
    return _SCENES[label](random.uniform(0.82, 1.12), random.uniform(-0.05, 0.05), random)


def draw_occasion(occasion: Occasion, random: Random) -> Canvas:
    """A crowd under bunting: the city decides its colours, the event what stands behind."""
    index = WORDS.occasions.cities.index(occasion.city)
    mains = list(WORDS.looks.main_colours.values())
    seconds = list(WORDS.looks.second_colours.values())
    flags = (mains[index % len(mains)], seconds[(index * 5) % len(seconds)])
    light = random.uniform(0.85, 1.1)
    night = occasion.event in ("gala", "lantern festival", "charity auction")
    c = Canvas(shade((40, 40, 75) if night else _SKY, light))
    c.rectangle(-0.5, 0.1, 0.5, 0.5, shade((70, 65, 70) if night else (150, 145, 140), light))
    _backdrop(c, occasion.event, random)
    for row in range(2):
        top = -0.47 + 0.15 * row + random.uniform(-0.02, 0.02)
        for i in range(9):
            x = -0.52 + 0.125 * i + random.uniform(-0.01, 0.01)
            c.polygon([(x, top), (x + 0.1, top), (x + 0.05, top + 0.11)], flags[(i + row) % 2])
    for row in range(3):
        for i in range(7):
            x = -0.5 + 0.155 * i + random.uniform(-0.04, 0.04)
            y = 0.12 + 0.14 * row + random.uniform(-0.02, 0.02)
            grey = random.randint(60, 170)
            c.ellipse(x - 0.07, y + 0.05, x + 0.07, y + 0.25, (grey, grey, grey + 12))
            c.ellipse(x - 0.042, y - 0.04, x + 0.042, y + 0.06, (225, 175 + grey // 8, 145))
    return c


def _backdrop(c: Canvas, event: str, random: Random) -> None:
    if event == "regatta":
        c.rectangle(-0.5, -0.02, 0.5, 0.14, _SEA)
        for x in (-0.35, -0.05, 0.28):
            c.polygon([(x, 0.05), (x, -0.2), (x + 0.15, 0.05)], (250, 250, 250))
    elif event in ("gala", "charity auction"):
        for x in (-0.42, -0.2, 0.12, 0.36):
            c.polygon([(x, -0.5), (x - 0.1, 0.12), (x + 0.1, 0.12)], (95, 90, 95))
        if event == "charity auction":
            c.rectangle(-0.12, -0.14, 0.12, 0.1, (150, 95, 55))
    elif event in ("summit", "book fair"):
        for i in range(6):
            x = -0.48 + 0.17 * i
            fill = (235, 232, 225) if event == "summit" else shade((180, 90, 60), 0.7 + 0.12 * i)
            c.rectangle(x, -0.16, x + 0.1, 0.12, fill)
    elif event == "marathon":
        c.polygon([(-0.12, -0.1), (0.12, -0.1), (0.5, 0.5), (-0.5, 0.5)], (85, 85, 90))
        c.rectangle(-0.3, -0.16, 0.3, -0.07, (250, 250, 250))
    elif event == "lantern festival":
        for _ in range(9):
            x, y = random.uniform(-0.45, 0.45), random.uniform(-0.2, 0.08)
            c.ellipse(x - 0.045, y - 0.055, x + 0.045, y + 0.055, (255, 170, 60))
    else:
        for x in (-0.4, -0.1, 0.2):
            c.rectangle(x, -0.15, x + 0.22, 0.1, (200, 190, 175))
            c.rectangle(x + 0.06, -0.08, x + 0.14, 0.0, (120, 140, 160))


def _pitch(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((70, 160, 75), light))
    c.rectangle(-0.5, -0.5, 0.5, -0.22 + shift, shade((150, 155, 165), light))
    for i in range(0, 6, 2):
        c.rectangle(
            -0.5 + i / 6, -0.22 + shift, -0.5 + (i + 1) / 6, 0.5, shade((85, 175, 88), light)
        )
    c.line(
        [(-0.4, 0.0), (-0.4, -0.35 + shift), (0.4, -0.35 + shift), (0.4, 0.0)], (250,) * 3, 0.025
    )
    c.line([(-0.5, 0.28 + shift), (0.5, 0.28 + shift)], (240, 245, 240), 0.015)
    return c


def _studio(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((215, 200, 175), light))
    c.rectangle(-0.5, 0.3 + shift, 0.5, 0.5, shade((150, 110, 75), light))
    for x, tone in ((-0.47, (190, 205, 170)), (0.2, (205, 185, 205))):
        c.rectangle(x, -0.4 + shift, x + 0.27, -0.05 + shift, (110, 75, 45))
        c.rectangle(x + 0.03, -0.37 + shift, x + 0.24, -0.08 + shift, tone)
    c.line([(0.3, -0.05 + shift), (0.2, 0.42)], (110, 75, 45), 0.025)
    c.line([(0.36, -0.05 + shift), (0.46, 0.42)], (110, 75, 45), 0.025)
    return c


def _stage(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((42, 30, 62), light))
    for x in (-0.3, 0.05, 0.35):
        c.polygon(
            [(x, -0.5), (x - 0.16 + shift, 0.3), (x + 0.16 + shift, 0.3)],
            shade((105, 90, 130), light),
        )
    c.rectangle(-0.5, 0.3, 0.5, 0.5, shade((85, 60, 45), light))
    c.rectangle(-0.48, 0.08, -0.34, 0.34, (20, 20, 22))
    c.ellipse(-0.46, 0.16, -0.36, 0.28, (75, 75, 80))
    return c


def _parliament(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((180, 175, 190), light))
    for i in range(5):
        x = -0.46 + 0.21 * i + shift
        c.rectangle(x, -0.4, x + 0.08, 0.35, shade((228, 225, 222), light))
    c.rectangle(-0.5, -0.5, 0.5, -0.38, shade((228, 225, 222), light))
    c.rectangle(-0.5, 0.35, 0.5, 0.5, shade((110, 60, 65), light))
    return c


def _kitchen(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((225, 235, 235), light))
    for i in range(6):
        c.line([(-0.5 + i / 5, -0.5), (-0.5 + i / 5, 0.2)], (185, 200, 205), 0.01)
        c.line([(-0.5, -0.5 + 0.14 * i), (0.5, -0.5 + 0.14 * i)], (185, 200, 205), 0.01)
    for x in (-0.4, -0.22, 0.24, 0.4):
        c.line([(x, -0.42), (x, -0.3)], (90, 90, 95), 0.015)
        c.ellipse(x - 0.06, -0.32 + shift, x + 0.06, -0.2 + shift, (105, 105, 112))
    c.rectangle(-0.5, 0.2, 0.5, 0.5, shade((165, 168, 172), light))
    return c


def _harbour(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade(_SKY, light))
    c.rectangle(-0.5, 0.22 + shift, 0.5, 0.5, shade(_SEA, light))
    c.line([(-0.4, 0.4), (-0.4, 0.0)], (110, 80, 50), 0.02)
    c.polygon([(-0.39, 0.02), (-0.39, 0.3), (-0.24, 0.3)], (245, 245, 240))
    c.polygon([(-0.5, 0.36), (-0.2, 0.36), (-0.26, 0.44), (-0.46, 0.44)], (110, 80, 50))
    return c


def _alps(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((190, 220, 245), light))
    c.polygon([(-0.5, 0.3), (-0.3, -0.1 + shift), (0.0, 0.3)], shade((150, 165, 190), light))
    c.polygon([(0.0, 0.3), (0.3, -0.16 - shift), (0.5, 0.3)], shade((150, 165, 190), light))
    c.rectangle(-0.5, 0.28, 0.5, 0.5, shade((110, 160, 95), light))
    for x in (-0.44, -0.34, 0.4):
        c.polygon([(x - 0.05, 0.44), (x, 0.24), (x + 0.05, 0.44)], (40, 95, 60))
    return c


def _lagoon(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((150, 215, 245), light))
    c.rectangle(-0.5, 0.08 + shift, 0.5, 0.5, shade((60, 180, 195), light))
    c.ellipse(0.26, -0.46, 0.44, -0.28, (255, 235, 130))
    for y in (0.2, 0.32, 0.44):
        c.line([(-0.45, y), (-0.25, y)], (180, 230, 235), 0.015)
        c.line([(0.2, y - 0.04), (0.42, y - 0.04)], (180, 230, 235), 0.015)
    return c


def _match_day(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((120, 145, 185), light))
    c.rectangle(-0.5, 0.26 + shift, 0.5, 0.5, shade((95, 95, 100), light))
    for i in range(5):
        x = -0.45 + 0.2 * i
        c.rectangle(x, 0.4, x + 0.12, 0.46, shade((170, 175, 185), 0.7 + 0.1 * i))
    return c


def _open_sea(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((205, 222, 235), light))
    c.rectangle(-0.5, 0.1 + shift, 0.5, 0.5, shade((30, 85, 140), light))
    for i in range(4):
        x = 0.27 * i
        c.arc(x - 0.5, 0.3 + shift, x - 0.3, 0.44 + shift, 200, 340, (220, 235, 245), 0.02)
    c.ellipse(-0.42, -0.42, -0.14, -0.3, (248, 250, 252))
    return c


def _pub(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((95, 65, 45), light))
    for x in (-0.36, 0.36):
        c.ellipse(x - 0.14, -0.36 + shift, x + 0.14, 0.0 + shift, (150, 105, 60))
        c.ellipse(x - 0.1, -0.31 + shift, x + 0.1, -0.05 + shift, (120, 80, 45))
    c.rectangle(-0.5, 0.3, 0.5, 0.5, shade((170, 120, 70), light))
    return c


def _boutique(light: float, shift: float, random: Random) -> Canvas:
    c = Canvas(shade((240, 225, 225), light))
    c.rectangle(-0.5, 0.32 + shift, 0.5, 0.5, shade((205, 185, 180), light))
    c.line([(-0.46, -0.36), (0.46, -0.36)], (90, 80, 80), 0.02)
    for i in range(5):
        x = -0.42 + 0.19 * i
        c.polygon(
            [(x, -0.34), (x + 0.1, -0.34), (x + 0.13, 0.0), (x - 0.03, 0.0)],
            shade((190, 170, 178), 0.85 + 0.06 * i),
        )
    return c


_SCENES: dict[str, Callable[[float, float, Random], Canvas]] = {
    "footballer": _pitch,
    "painter": _studio,
    "singer": _stage,
    "politician": _parliament,
    "chef": _kitchen,
    "harbour town": _harbour,
    "mountain": _alps,
    "island": _lagoon,
    "stadium": _match_day,
    "ship": _open_sea,
    "brewery": _pub,
    "fashion label": _boutique,
}
