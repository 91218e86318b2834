"""A canvas with a movable frame, on which scenes and subjects are drawn at twice their size."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from stages.demo.world.looks import Look
from stages.demo.world.words import Colour

PICTURE_SIZE = 96
_SUPERSAMPLE = 2
_SIZE = PICTURE_SIZE * _SUPERSAMPLE

Point = tuple[float, float]


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` darker (below 1) or lighter (above 1)."""
    r, g, b = (max(0, min(255, round(c * factor))) for c in colour)
    return r, g, b


class Canvas:
    """Draws in frame coordinates: (0, 0) is the frame's centre, y points down.

    Args:
        ground: colour of the empty canvas.
        x, y: the frame's centre as a share of the picture, 0..1.
        scale: what one frame unit measures, as a share of the picture's side.
        mirror: whether x points left.
    """

    def __init__(self, ground: Colour) -> None:
        self.image = Image.new("RGB", (_SIZE, _SIZE), ground)
        self._draw = ImageDraw.Draw(self.image)
        self.frame(0.5, 0.5, 1.0)

    def frame(self, x: float, y: float, scale: float, mirror: bool = False) -> None:
        """Move the frame; what is drawn next follows it."""
        self._x, self._y = x * _SIZE, y * _SIZE
        self._unit = scale * _SIZE
        self._sign = -1 if mirror else 1

    def _at(self, x: float, y: float) -> Point:
        return self._x + self._sign * x * self._unit, self._y + y * self._unit

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        (ax, ay), (bx, by) = self._at(x0, y0), self._at(x1, y1)
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        self._draw.polygon([self._at(*p) for p in points], fill=fill)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        self._draw.rectangle(self._box(x0, y0, x1, y1), fill=fill)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        self._draw.ellipse(self._box(x0, y0, x1, y1), fill=fill)

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, fill: Colour,
        width: float,
    ) -> None:  # fmt: skip
        """An arc of the ellipse in the box; angles in degrees, clockwise from three o'clock."""
        pixels = max(1, round(width * self._unit))
        self._draw.arc(self._box(x0, y0, x1, y1), start, end, fill=fill, width=pixels)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        pixels = max(1, round(width * self._unit))
        self._draw.line([self._at(*p) for p in points], fill=fill, width=pixels, joint="curve")

    def patterned(self, points: Sequence[Point], look: Look, cells: int = 6) -> None:
        """A polygon filled with the look's pattern in its two colours, `cells` across."""
        placed = [self._at(*p) for p in points]
        left, top = (math.floor(min(p[i] for p in placed)) for i in (0, 1))
        right, bottom = (math.ceil(max(p[i] for p in placed)) for i in (0, 1))
        size = (max(1, right - left), max(1, bottom - top))
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in placed], fill=255)
        self.image.paste(_pattern(size, look, cells), (left, top), mask)

    def emblem(self, x: float, y: float, radius: float, look: Look) -> None:
        """The look's emblem on its disc, centred at (x, y)."""
        self.ellipse(x - radius, y - radius, x + radius, y + radius, look.plate_rgb)
        fill, plate = look.emblem_rgb, look.plate_rgb
        r = 0.8 * radius
        if look.emblem == "ring":
            self.ellipse(x - r, y - r, x + r, y + r, fill)
            self.ellipse(x - 0.5 * r, y - 0.5 * r, x + 0.5 * r, y + 0.5 * r, plate)
        elif look.emblem == "moon":
            self.ellipse(x - r, y - r, x + r, y + r, fill)
            self.ellipse(x - 0.35 * r, y - 0.95 * r, x + 1.35 * r, y + 0.75 * r, plate)
        elif look.emblem == "cross":
            self.rectangle(x - r, y - 0.3 * r, x + r, y + 0.3 * r, fill)
            self.rectangle(x - 0.3 * r, y - r, x + 0.3 * r, y + r, fill)
        elif look.emblem == "heart":
            self.ellipse(x - r, y - 0.9 * r, x + 0.05 * r, y + 0.2 * r, fill)
            self.ellipse(x - 0.05 * r, y - 0.9 * r, x + r, y + 0.2 * r, fill)
            self.polygon(
                [(x - 0.95 * r, y - 0.1 * r), (x + 0.95 * r, y - 0.1 * r), (x, y + r)], fill
            )
        else:
            self.polygon([(x + r * px, y + r * py) for px, py in _OUTLINES[look.emblem]], fill)

    def finish(self) -> Image.Image:
        """The picture, (96, 96) RGB."""
        return self.image.reduce(_SUPERSAMPLE)


_OUTLINES: dict[str, list[Point]] = {
    "star": [
        (math.sin(i * math.pi / 5) * radius, -math.cos(i * math.pi / 5) * radius)
        for i, radius in enumerate((1.15, 0.45) * 5)
    ],
    "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
    "diamond": [(0, -1.15), (0.75, 0), (0, 1.15), (-0.75, 0)],
    "bolt": [(0.35, -1.1), (-0.75, 0.2), (-0.1, 0.2), (-0.35, 1.1), (0.75, -0.25), (0.1, -0.25)],
}


def _pattern(size: tuple[int, int], look: Look, cells: int) -> Image.Image:
    """`size` filled with main and second colour; `plain` is the main colour alone."""
    tile = Image.new("RGB", size, look.main_rgb)
    if look.pattern == "plain":
        return tile
    draw = ImageDraw.Draw(tile)
    step = max(2, round(size[0] / cells))
    for row, y in enumerate(range(0, size[1], step)):
        if look.pattern == "hoops" and row % 2:
            draw.rectangle((0, y, size[0], y + step - 1), fill=look.second_rgb)
        if look.pattern == "checks":
            for x in range((row % 2) * step, size[0], 2 * step):
                draw.rectangle((x, y, x + step - 1, y + step - 1), fill=look.second_rgb)
    if look.pattern == "stripes":
        for x in range(step, size[0], 2 * step):
            draw.rectangle((x, 0, x + step - 1, size[1]), fill=look.second_rgb)
    return tile
