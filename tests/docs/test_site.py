"""The documentation as a site: it builds without a warning, its reference is complete, and nothing
of it comes from another host."""

import re
from concurrent.futures import Future
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from pipeline.__main__ import STEPS
from stages.config import SECTIONS, Params
from stages.serving.app import make_app
from tests.support.documents import DOCUMENTS, ROOT, hook

PAGES = [page.relative_to(ROOT / "docs") for page in DOCUMENTS if page.parent != ROOT]
WRITTEN = [
    name
    for name in PAGES
    if "<!-- generated: " not in (ROOT / "docs" / name).read_text(encoding="utf-8")
]
"""All but those to which the site adds something."""


@pytest.fixture(scope="module")
def reference():
    with hook("reference") as module:
        yield module


class Read(HTMLParser):
    """What stands in a page's article: how many elements of each kind, ids, and cells in code; and
    what the page loads."""

    COUNTED = ("h1", "h2", "h3", "ol", "ul", "li", "table", "tr", "pre", "strong", "img")

    def __init__(self, text: str, inside: bool = False) -> None:
        super().__init__()
        self.inside, self.counts, self.ids, self.loads = inside, {}, set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.inside = self.inside or tag == "article"
        if self.inside and tag in self.COUNTED:
            self.counts[tag] = self.counts.get(tag, 0) + 1
        self.ids.add(named.get("id"))
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "input"):
            self.loads.append(named.get("src") or "")
        if tag == "link" and named.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(named.get("href") or "")
        self.loads += re.findall(r"url\(([^)]*)\)", named.get("style") or "")

    def handle_endtag(self, tag):
        if tag == "article":
            self.inside = False


def page(site: Path, name: str | Path) -> Read:
    return Read((site / name).with_suffix(".html").read_text(encoding="utf-8"))


def test_every_page_is_built(site):
    assert all((site / name).with_suffix(".html").is_file() for name in PAGES)
    assert not (site / "hooks").exists()


@pytest.mark.parametrize("name", WRITTEN, ids=str)
def test_a_page_says_the_same_on_github_and_on_the_site(site, name):
    """As many lists, tables, blocks and so on: the two read Markdown by different rules."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert page(site, name).counts == Read(rendered, inside=True).counts


def test_every_command_stands_in_the_reference(site):
    assert page(site, "reference/commands").ids >= set(STEPS)
    text = (site / "reference/commands.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]*>", "", text)
    assert all(f"python -m pipeline.{step} " in shown for step in STEPS)
    for option in ("--dataset NAME", "--project DIR", "--grid", "--together", "--min-probability"):
        assert option in text


def test_every_parameter_stands_in_the_reference(site):
    assert page(site, "reference/parameters").ids >= set(SECTIONS)
    text = unescape((site / "reference/parameters.html").read_text(encoding="utf-8"))
    for section in SECTIONS:
        for name in Params.model_fields[section].annotation.model_fields:
            assert f"<td><code>{name}</code></td>" in text, f"{section}.{name}"


def test_every_parameter_has_a_meaning(reference):
    models = [Params.model_fields[section].annotation for section in SECTIONS]
    for model in models:
        assert all(reference.docstrings(model).values()), model
    top = reference.docstrings(Params)
    assert all(top[name] for name in top if name not in SECTIONS)


def test_a_default_that_presets_decide_stands_once_a_preset(reference):
    (row,) = [row for row in reference.parameters().splitlines() if "dropout<" in row]
    assert "strong: <code>0.1</code><br>paper: <code>0.0</code>" in row
    assert "number, ≥ 0, &#60; 1" in row


def test_every_request_stands_in_the_reference(site):
    described = make_app(Future()).openapi()
    text = unescape((site / "reference/http-api.html").read_text(encoding="utf-8"))
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text
    names = {name.lower() for name in described["components"]["schemas"]}
    assert page(site, "reference/http-api").ids >= names


def test_each_generated_part_has_a_page(reference):
    texts = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in PAGES]
    marked = {name for text in texts for name in reference.MARK.findall(text)}
    assert marked == reference.GENERATED.keys()


def test_no_page_loads_anything_from_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for path in pages:
        loads = Read(path.read_text(encoding="utf-8")).loads
        assert [found for found in loads if re.match(r"\s*(https?:)?//", found)] == [], path
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", text), path


def test_the_search_has_every_page(site):
    text = (site / "search/search_index.js").read_text(encoding="utf-8")
    for name in PAGES:
        assert f'"location":"{name.with_suffix(".html")}"' in text.replace(": ", ":"), name
