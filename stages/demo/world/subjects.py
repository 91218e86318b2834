"""Subjects: what wears a look. A figure, a town, a mountain, an island, a stadium, a ship, goods.

Each is drawn in a frame of about one unit: x and y from -0.5 to 0.5.
"""

from collections.abc import Callable
from random import Random

from stages.demo.world.canvas import Canvas, shade
from stages.demo.world.looks import Look
from stages.demo.world.words import Colour

_SKINS: tuple[Colour, ...] = ((250, 215, 185), (225, 175, 135), (165, 110, 75), (95, 62, 45))
_WOOD: Colour = (120, 80, 50)


def draw_subject(canvas: Canvas, form: str, label: str, look: Look, random: Random) -> None:
    """Draw the `form` of a kind in the canvas's frame.

    Args:
        form: a key of `_FORMS`, as in `Kind.form`.
        label: the kind's, for what a person holds.
        look: colours, pattern and emblem; nothing else distinguishes two subjects of a kind.
        random: skin, proportions and other things that identify nobody.
    """
    _FORMS[form](canvas, label, look, random)


def _person(c: Canvas, label: str, look: Look, random: Random) -> None:
    skin = random.choice(_SKINS)
    lean = random.uniform(-0.03, 0.03)
    arm = random.uniform(-0.05, 0.12)  # how high the right hand is
    for side in (-1, 1):
        c.rectangle(side * 0.1 - 0.075, 0.24, side * 0.1 + 0.075, 0.5, look.second_rgb)
        c.ellipse(side * 0.1 - 0.09, 0.46, side * 0.1 + 0.09, 0.53, (40, 35, 35))
    c.line([(-0.2, -0.1), (-0.33, 0.2)], shade(look.main_rgb, 0.85), 0.1)
    c.line([(0.2, -0.1), (0.36, 0.1 - arm)], shade(look.main_rgb, 0.85), 0.1)
    c.ellipse(-0.38, 0.17, -0.28, 0.27, skin)
    c.ellipse(0.31, 0.05 - arm, 0.42, 0.16 - arm, skin)
    c.patterned([(-0.22, -0.18), (0.22, -0.18), (0.2, 0.28), (-0.2, 0.28)], look)
    c.rectangle(lean - 0.05, -0.22, lean + 0.05, -0.15, shade(skin, 0.9))
    c.ellipse(lean - 0.125, -0.46, lean + 0.125, -0.18, skin)
    for side in (-1, 1):
        c.ellipse(
            lean + side * 0.05 - 0.015, -0.34, lean + side * 0.05 + 0.015, -0.31, (30, 30, 30)
        )
    c.arc(lean - 0.05, -0.32, lean + 0.05, -0.23, 20, 160, (150, 50, 50), 0.015)
    c.polygon(
        [(lean - 0.15, -0.37), (lean + 0.15, -0.37), (lean + 0.11, -0.5), (lean - 0.11, -0.5)],
        look.second_rgb,
    )
    c.emblem(0.0, 0.05, 0.17, look)
    hand = (0.365, 0.1 - arm)
    if label == "footballer":
        c.ellipse(0.22, 0.38, 0.38, 0.54, (250, 250, 250))
        c.ellipse(0.27, 0.43, 0.33, 0.49, (30, 30, 30))
    elif label == "painter":
        c.line([hand, (0.43, -0.12 - arm)], _WOOD, 0.025)
        c.ellipse(0.4, -0.16 - arm, 0.47, -0.09 - arm, (240, 90, 60))
    elif label == "singer":
        c.line([hand, (0.33, -0.06 - arm)], (60, 60, 65), 0.035)
        c.ellipse(0.28, -0.14 - arm, 0.38, -0.04 - arm, (30, 30, 35))
    elif label == "politician":
        c.polygon([(-0.32, 0.3), (0.32, 0.3), (0.26, 0.55), (-0.26, 0.55)], _WOOD)
    elif label == "chef":
        c.ellipse(lean - 0.17, -0.62, lean + 0.17, -0.44, (252, 252, 252))
        c.line([hand, (0.5, 0.02 - arm)], (70, 70, 75), 0.03)
        c.ellipse(0.42, -0.06 - arm, 0.58, 0.06 - arm, (70, 70, 75))


def _flag(c: Canvas, x: float, foot: float, top: float, look: Look) -> None:
    """A pole with a large flag in the main colour that carries the emblem."""
    c.line([(x, foot), (x, top)], (90, 90, 95), 0.02)
    c.rectangle(x, top, x + 0.4, top + 0.34, look.main_rgb)
    c.rectangle(x, top + 0.3, x + 0.4, top + 0.34, look.second_rgb)
    c.emblem(x + 0.2, top + 0.15, 0.14, look)


def _town(c: Canvas, label: str, look: Look, random: Random) -> None:
    for x in (-0.5, -0.22, 0.22):
        height = random.uniform(0.3, 0.42)
        c.patterned(
            [(x, 0.3), (x, 0.3 - height), (x + 0.26, 0.3 - height), (x + 0.26, 0.3)], look, 4
        )
        c.polygon(
            [(x - 0.02, 0.3 - height), (x + 0.13, 0.14 - height), (x + 0.28, 0.3 - height)],
            look.second_rgb,
        )
        c.rectangle(x + 0.09, 0.17, x + 0.17, 0.3, _WOOD)
    c.rectangle(-0.52, 0.3, 0.52, 0.36, (130, 125, 120))
    _flag(c, 0.06, 0.3, -0.48, look)


def _mountain(c: Canvas, label: str, look: Look, random: Random) -> None:
    top = random.uniform(-0.08, 0.04)
    c.patterned(
        [(-0.55, 0.4), (top - 0.1, -0.26), (top, -0.4), (top + 0.14, -0.22), (0.55, 0.4)], look, 9
    )
    snow = ((-0.16, -0.17), (0, -0.4), (0.17, -0.16), (0.06, -0.1), (0, -0.18), (-0.07, -0.08))
    c.polygon([(top + x, y) for x, y in snow], (252, 252, 255))
    c.emblem(top, 0.14, 0.185, look)
    c.rectangle(0.32, 0.3, 0.44, 0.4, _WOOD)
    c.polygon([(0.3, 0.3), (0.38, 0.22), (0.46, 0.3)], look.second_rgb)


def _island(c: Canvas, label: str, look: Look, random: Random) -> None:
    c.ellipse(-0.52, 0.18, 0.52, 0.48, (238, 215, 150))
    c.ellipse(-0.36, 0.12, 0.36, 0.36, (90, 165, 80))
    palm = random.uniform(-0.42, -0.34)
    c.line([(palm + 0.06, 0.26), (palm, -0.05)], _WOOD, 0.04)
    for dx, dy in ((-0.14, 0.02), (-0.1, -0.1), (0.1, -0.1), (0.14, 0.02)):
        c.line([(palm, -0.05), (palm + dx, -0.05 + dy)], (40, 140, 60), 0.05)
    c.patterned([(-0.17, 0.28), (-0.12, -0.3), (0.06, -0.3), (0.11, 0.28)], look, 4)
    c.polygon([(-0.15, -0.3), (-0.03, -0.45), (0.09, -0.3)], look.second_rgb)
    _flag(c, 0.17, 0.28, -0.3, look)


def _stadium(c: Canvas, label: str, look: Look, random: Random) -> None:
    rise = random.uniform(-0.03, 0.03)
    for x in (-0.42, 0.42):
        c.line([(x, 0.1), (x, -0.4)], (110, 110, 115), 0.025)
        c.rectangle(x - 0.09, -0.46, x + 0.09, -0.38, (255, 250, 205))
    c.ellipse(-0.5, -0.25 + rise, 0.5, 0.15 + rise, look.second_rgb)
    c.ellipse(-0.42, -0.2 + rise, 0.42, 0.08 + rise, (70, 160, 75))
    rim = ((-0.5, -0.05), (-0.3, 0.07), (0, 0.12), (0.3, 0.07), (0.5, -0.05))
    c.patterned([*((x, y + rise) for x, y in rim), (0.44, 0.36), (-0.44, 0.36)], look, 10)
    c.emblem(0.0, 0.2, 0.175, look)


def _ship(c: Canvas, label: str, look: Look, random: Random) -> None:
    funnel = random.uniform(-0.02, 0.06)
    c.rectangle(-0.28, -0.12, 0.34, 0.04, (248, 248, 248))
    for i in range(5):
        c.ellipse(-0.24 + 0.12 * i, -0.08, -0.18 + 0.12 * i, -0.02, (60, 90, 130))
    c.rectangle(funnel - 0.17, -0.44, funnel + 0.17, -0.12, look.main_rgb)
    c.rectangle(funnel - 0.17, -0.48, funnel + 0.17, -0.42, look.second_rgb)
    c.emblem(funnel, -0.27, 0.15, look)
    c.patterned([(-0.52, 0.02), (0.54, 0.02), (0.4, 0.34), (-0.4, 0.34)], look, 9)
    c.polygon([(-0.43, 0.26), (0.44, 0.26), (0.4, 0.34), (-0.4, 0.34)], look.second_rgb)


def _bottle(c: Canvas, label: str, look: Look, random: Random) -> None:
    glass = random.choice(((80, 50, 25), (35, 75, 45), (60, 40, 30)))
    c.rectangle(-0.07, -0.5, 0.07, -0.2, glass)
    c.rectangle(-0.08, -0.54, 0.08, -0.46, look.second_rgb)
    c.ellipse(-0.2, -0.32, 0.2, 0.0, glass)
    c.rectangle(-0.2, -0.16, 0.2, 0.5, glass)
    c.patterned([(-0.2, -0.08), (0.2, -0.08), (0.2, 0.42), (-0.2, 0.42)], look, 5)
    c.emblem(0.0, 0.17, 0.17, look)
    c.rectangle(0.27, 0.18, 0.46, 0.5, (240, 180, 60))
    c.ellipse(0.25, 0.1, 0.48, 0.24, (255, 252, 240))
    c.rectangle(0.31, 0.24, 0.42, 0.5, (248, 200, 90))


def _bag(c: Canvas, label: str, look: Look, random: Random) -> None:
    sag = random.uniform(0.0, 0.04)
    c.arc(-0.22, -0.48, 0.22, 0.08, 180, 360, shade(look.second_rgb, 0.8), 0.05)
    c.patterned([(-0.34, -0.18), (0.34, -0.18), (0.42, 0.4 + sag), (-0.42, 0.4 + sag)], look, 6)
    c.polygon([(-0.34, -0.18), (0.34, -0.18), (0.355, -0.08), (-0.355, -0.08)], look.second_rgb)
    c.emblem(0.0, 0.14, 0.185, look)


_FORMS: dict[str, Callable[[Canvas, str, Look, Random], None]] = {
    "person": _person,
    "town": _town,
    "mountain": _mountain,
    "island": _island,
    "stadium": _stadium,
    "ship": _ship,
    "bottle": _bottle,
    "bag": _bag,
}
