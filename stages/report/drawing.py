"""Figures as SVG inside the page, in the page's own colours.

Colours are written as marks that `inline` turns into the page's CSS variables, so one drawing
serves the light and the dark scheme.
"""

import html
import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from stages.report.results import Results
from stages.shown import one_line

INK, GRID = "#00aa01", "#00aa02"
SERIES = tuple(f"#00bb{place:02x}" for place in range(1, 7))
"""Marks of the variants' colours: --series-1 to --series-6 of the page."""
PAGE_COLOURS = {INK: "currentColor", GRID: "var(--line)"} | {
    mark: f"var(--series-{place})" for place, mark in enumerate(SERIES, 1)
}
MARKERS = "osD^vX"
STYLE: Any = {  # the stub of matplotlib wants every key as a literal
    "svg.fonttype": "none",  # text stays text: searchable, in the page's font
    "svg.hashsalt": "melov",  # ids that do not change from one drawing to the next
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
}
NO_METADATA = {"Date": None, "Creator": None}
WIDTH = 4.6
"""Inches: narrow enough to stay readable on a phone."""
NARROW = 24
"""Characters of a row's name beside its bars."""


@dataclass(frozen=True)
class Drawing:
    """An `<svg>` element and what it shows, in words."""

    svg: str
    label: str


def variant_mark(results: Results, variant: str) -> str:
    return SERIES[results.variants.index(variant) % len(SERIES)]


def inline(figure: Figure, name: str, label: str) -> Drawing:
    """The figure as an element of a page: ids of its own, the page's font and colours."""
    FigureCanvasSVG(figure)
    file = io.StringIO()
    with warnings.catch_warnings():
        # Of a script that the font lacks: the page's own fonts show it.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: (?:bold |\d+ )*([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r" ?font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub("|".join(PAGE_COLOURS), lambda found: PAGE_COLOURS[found[0]], svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg).strip()
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns(?::xlink)?)="[^"]*"', "", opening)
    said = html.escape(one_line(label), quote=True)
    return Drawing(f'{opening} role="img" aria-label="{said}">{rest}', label)
