"""The site in headless Chromium, out of its folder:  python -m pytest -m browser"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Chromium

pytestmark = pytest.mark.browser

PAGES = ("index.html", "reference/parameters.html", "howto/datasets.html", "method.html")
RESULTS = "document.querySelectorAll('.md-search-result__link').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_says_no_error_and_asks_nobody(site: Path, browser: Chromium, name, width):
    browser.open(site / name, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.said("Log.entryAdded", "Runtime.exceptionThrown") == []
    asked = [event["request"]["url"] for event in browser.said("Network.requestWillBeSent")]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_the_search_works_without_a_server(site: Path, browser: Chromium):
    browser.open(f"{(site / 'howto/gpu.html').as_uri()}?q=bundle")
    browser.until(f"{RESULTS} > 0")
    found = browser.evaluate("document.querySelector('.md-search-result__link').href")
    assert found.startswith(site.as_uri())


def test_colours_follow_the_system_and_can_be_changed(site: Path, tmp_path: Path):
    scheme = "document.body.dataset.mdColorScheme"
    toggle = "document.querySelector('form[data-md-component=palette] label:not([hidden])')"
    with Chromium(tmp_path) as browser:  # which remembers nothing
        browser.open(site / "index.html", dark=True)
        browser.until(f"{scheme} === 'slate'")
        browser.until(f"{toggle} !== null")
        browser.evaluate(f"{toggle}.click()")
        browser.until(f"{scheme} === 'default'")
