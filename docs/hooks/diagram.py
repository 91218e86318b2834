"""The diagram of the README and the site's first page, as SVG for light and for dark pages:

python docs/hooks/diagram.py     # or: make diagram

Boxes stand in rows, arrows go from box to box; `drawn` makes the picture of them. Letters are
large, since a phone shows the picture at six tenths of its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1]
WIDTH, HEIGHT = 600, 548
TITLE = "Extract once, train many"
DESCRIPTION = (
    "Once: a data set's mentions and entities go through frozen CLIP into a checked store on disk. "
    "Many times, over that store: a mention's picture is repaired, that is generated from the "
    "mention's text by a VAE, gathered from similar mentions by a GCN and kept as it was, and "
    "these three are fused; then the mention is matched with each entity, which gives the ranks."
)
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
LARGE, SMALL, LINE = 21, 18, 24
"""Sizes of letters, and from one line to the next."""


@dataclass(frozen=True)
class Theme:
    """Colours; `own` is of what this model adds: the repair."""

    ink: str
    soft: str
    line: str
    frame: str
    frame_line: str
    box: str
    own: str
    own_line: str


THEMES: Mapping[str, Theme] = {
    "light": Theme(
        ink="#1f2328", soft="#59636e", line="#818b98", frame="#f6f8fa", frame_line="#d1d9e0",
        box="#ffffff", own="#e7f2fd", own_line="#0969da",
    ),
    "dark": Theme(
        ink="#f0f6fc", soft="#a5adb6", line="#7d8590", frame="#151b23", frame_line="#3d444d",
        box="#22272e", own="#12305a", own_line="#4493f8",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A box; the first of several lines is large."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    own: bool = False

    @property
    def middle(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y + self.height // 2


FRAMES = (
    Box(8, 8, 584, 124, ("Extract once",)),
    Box(8, 166, 584, 374, ("Train many, over one store",)),
)
BOXES = {
    "data": Box(26, 50, 176, 66, ("Data set", "mentions, entities")),
    "clip": Box(236, 50, 124, 66, ("CLIP", "frozen")),
    "store": Box(394, 50, 180, 66, ("Store", "checked, on disk")),
    "text": Box(26, 208, 172, 40, ("mention's text",)),
    "similar": Box(214, 208, 172, 40, ("similar mentions",)),
    "picture": Box(402, 208, 172, 40, ("mention's picture",)),
    "generate": Box(26, 274, 172, 66, ("Generate", "from text (VAE)"), own=True),
    "gather": Box(214, 274, 172, 66, ("Gather", "by graph (GCN)"), own=True),
    "keep": Box(402, 274, 172, 66, ("Keep", "the original"), own=True),
    "fuse": Box(26, 366, 548, 66, ("Fuse", "into the repaired picture"), own=True),
    "entity": Box(26, 458, 146, 66, ("Each entity", "of the store")),
    "match": Box(206, 458, 188, 66, ("Match", "text, picture, both")),
    "ranks": Box(428, 458, 146, 66, ("Ranks", "of all entities")),
}
ACROSS = (("data", "clip"), ("clip", "store"), ("entity", "match"), ("match", "ranks"))
DOWN = (
    ("text", "generate"), ("similar", "gather"), ("picture", "keep"), ("generate", "fuse"),
    ("gather", "fuse"), ("keep", "fuse"), ("fuse", "match"),
)  # fmt: skip


def drawn(theme: Theme) -> str:
    """The picture in a theme's colours."""
    parts = [_frame(frame, theme) for frame in FRAMES]
    parts += [_box(box, theme) for box in BOXES.values()]
    for start, end in ACROSS:
        one, other = BOXES[start], BOXES[end]
        parts.append(_arrow(one.x + one.width, one.middle[1], other.x, one.middle[1], theme))
    for start, end in DOWN:
        one, other = BOXES[start], BOXES[end]
        x = min((one, other), key=lambda box: box.width).middle[0]
        parts.append(_arrow(x, one.y + one.height, x, other.y, theme))
    store, below = BOXES["store"], FRAMES[1]
    parts.append(_arrow(store.middle[0], store.y + store.height, store.middle[0], below.y, theme))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title desc" '
        f'font-family="{FONT}">'
    )
    about = [f'<title id="title">{TITLE}</title>', f'<desc id="desc">{escape(DESCRIPTION)}</desc>']
    return "\n".join([head, *about, *parts, "</svg>", ""])


def _frame(frame: Box, theme: Theme) -> str:
    (heading,) = frame.lines
    return _rectangle(frame, 12, theme.frame, theme.frame_line) + (
        f'<text x="{frame.x + 18}" y="{frame.y + 30}" font-size="{LARGE}" font-weight="600" '
        f'fill="{theme.soft}">{escape(heading)}</text>'
    )


def _box(box: Box, theme: Theme) -> str:
    """Its lines stand in its middle."""
    colours = (theme.own, theme.own_line) if box.own else (theme.box, theme.line)
    parts = [_rectangle(box, 8, *colours)]
    x, y = box.middle
    first = y - LINE * (len(box.lines) - 1) / 2 + SMALL * 0.36
    for number, line in enumerate(box.lines):
        large = len(box.lines) > 1 and number == 0
        font = f'font-size="{LARGE}" font-weight="600"' if large else f'font-size="{SMALL}"'
        parts.append(
            f'<text x="{x}" y="{first + LINE * number:g}" text-anchor="middle" {font} '
            f'fill="{theme.ink}">{escape(line)}</text>'
        )
    return "".join(parts)


def _rectangle(box: Box, round: int, fill: str, line: str) -> str:
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="{round}" '
        f'fill="{fill}" stroke="{line}" stroke-width="1.5"/>'
    )


def _arrow(x: int, y: int, to_x: int, to_y: int, theme: Theme) -> str:
    """Across or down, its head at the end."""
    wings = (
        f"{to_x},{to_y} {to_x - 5},{to_y - 10} {to_x + 5},{to_y - 10}"
        if x == to_x
        else f"{to_x},{to_y} {to_x - 10},{to_y - 5} {to_x - 10},{to_y + 5}"
    )
    end = f'x2="{to_x}" y2="{to_y - 8}"' if x == to_x else f'x2="{to_x - 8}" y2="{to_y}"'
    return (
        f'<line x1="{x}" y1="{y}" {end} stroke="{theme.soft}" stroke-width="2"/>'
        f'<polygon points="{wings}" fill="{theme.soft}"/>'
    )


def file_of(name: str) -> Path:
    """Where the picture in a theme lies."""
    return DOCS / f"diagram-{name}.svg"


if __name__ == "__main__":
    for name, theme in THEMES.items():
        file_of(name).write_text(drawn(theme), encoding="utf-8")
