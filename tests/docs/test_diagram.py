"""The README's diagram: it is what its description draws, and can be read in any font."""

from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import ImageFont

from tests.support.documents import ROOT, hook

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def diagram():
    with hook("diagram") as module:
        yield module


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_files_are_what_the_description_draws(diagram, name):
    path = diagram.file_of(name)
    assert path.read_text(encoding="utf-8") == diagram.drawn(diagram.THEMES[name]), "make diagram"
    for page in ("README.md", "docs/index.md"):
        assert path.name in (ROOT / page).read_text(encoding="utf-8")


def test_who_cannot_see_it_is_told_what_it_shows(diagram):
    picture = ElementTree.fromstring(diagram.drawn(diagram.THEMES["light"]))
    assert picture.get("role") == "img"
    about = {found.get("id"): found.text for found in picture if found.get("id")}
    assert picture.get("aria-labelledby").split() == list(about)
    assert about == {"title": diagram.TITLE, "desc": diagram.DESCRIPTION}


def test_lines_fit_their_boxes_in_a_wide_font(diagram):
    """DejaVu is wider than the fonts that the picture asks for; the first of several is bold."""
    folder = f"{matplotlib.get_data_path()}/fonts/ttf"
    large = ImageFont.truetype(f"{folder}/DejaVuSans-Bold.ttf", diagram.LARGE)
    small = ImageFont.truetype(f"{folder}/DejaVuSans.ttf", diagram.SMALL)
    for box in diagram.BOXES.values():
        fonts = [large if len(box.lines) > 1 else small, *[small] * (len(box.lines) - 1)]
        for line, font in zip(box.lines, fonts, strict=True):
            assert font.getlength(line) <= box.width - 4, line
        assert diagram.LINE * len(box.lines) <= box.height


def within(inner, outer) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def test_boxes_stand_apart_each_in_one_frame(diagram):
    page = diagram.Box(0, 0, diagram.WIDTH, diagram.HEIGHT, ())
    for box in diagram.BOXES.values():
        assert sum(within(box, frame) for frame in diagram.FRAMES) == 1, box
    assert all(within(frame, page) for frame in diagram.FRAMES)
    for one, other in combinations(diagram.BOXES.values(), 2):
        apart = (
            one.x + one.width < other.x
            or other.x + other.width < one.x
            or one.y + one.height < other.y
            or other.y + other.height < one.y
        )
        assert apart, (one, other)


def contrast(one: str, other: str) -> float:
    """WCAG's, of two colours such as #0d1117."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_letters_stand_out(diagram, name):
    theme = diagram.THEMES[name]
    assert min(contrast(theme.ink, ground) for ground in (theme.box, theme.own)) > 7
    assert contrast(theme.soft, theme.frame) > 4.5


def test_every_arrow_leads_from_a_box_to_a_box(diagram):
    for start, end in diagram.ACROSS:
        one, other = diagram.BOXES[start], diagram.BOXES[end]
        assert one.middle[1] == other.middle[1]
        assert one.x + one.width < other.x
    for start, end in diagram.DOWN:
        one, other = diagram.BOXES[start], diagram.BOXES[end]
        assert one.y + one.height < other.y
        narrow, wide = sorted((one, other), key=lambda box: box.width)
        assert wide.x < narrow.middle[0] < wide.x + wide.width
