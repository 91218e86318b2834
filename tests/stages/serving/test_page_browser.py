"""The service's page in headless Chromium:  python -m pytest -m browser"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from pipeline import Mention
from pipeline.serve import listen
from stages.serving.app import make_app
from stages.serving.served import Served
from tests.stages.serving.conftest import ready
from tests.support.chromium import CTRL, SHIFT, Chromium

pytestmark = pytest.mark.browser

ANSWERED = "!document.getElementById('result').hidden && !document.getElementById('link').disabled"
SENTENCE = "the harbour of Ada and \U0001f600 Bo"


@pytest.fixture(scope="module")
def address(served: Served) -> Iterator[str]:
    with listen("127.0.0.1", 0) as socket:
        config = uvicorn.Config(make_app(ready(served)), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def picture(project: Path) -> Path:
    return sorted((project / "data/tiny/raw/pictures").iterdir())[0]


def opened(browser: Chromium, address: str, width: int = 1280, dark: bool = False) -> None:
    browser.open(address, width, dark)
    browser.until("document.querySelectorAll('#rows button').length > 0")


def write(browser: Chromium, sentence: str, back: int, characters: int) -> None:
    """Types a sentence and marks so many characters that end `back` before its end, by keyboard."""
    browser.evaluate("document.getElementById('text').focus()")
    browser.type(sentence)
    for _ in range(back):
        browser.press("ArrowLeft", 37)
    for _ in range(characters):
        browser.press("ArrowLeft", 37, modifiers=SHIFT)


def quiet(browser: Chromium) -> bool:
    return not browser.said("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def test_the_whole_way_by_keyboard(browser, address, served, picture):
    opened(browser, address)
    write(browser, SENTENCE, 0, 2)
    browser.until("document.querySelector('#marked mark')?.textContent === 'Bo'")
    browser.give_file("#file", picture)
    browser.until("document.getElementById('picture-name').textContent.includes('.')")
    browser.press("Enter", 13, "\r", CTRL)
    browser.until(ANSWERED)
    assert browser.evaluate("document.activeElement.id") == "result-title"
    # Offsets are the service's, beyond the basic plane too.
    assert "“Bo”" in browser.evaluate("document.getElementById('result-title').textContent")
    names = browser.evaluate(
        "[...document.querySelectorAll('.entity .name')].map(n => n.textContent)"
    )
    assert len(names) == 6
    assert names[-1] == "None of these"
    start = SENTENCE.index("Bo")
    mention = Mention(sentence=SENTENCE, start=start, end=start + 2, image=picture)
    (want,) = served.linker.link([mention])
    assert names[:-1] == [f"{e.rank}. {e.name}" for e in want.entities]
    units = browser.evaluate("[...document.querySelectorAll('.entity .units dt')].length")
    assert units == 5 * len(want.entities[0].units)
    shown = browser.evaluate("document.getElementById('why').textContent")
    assert all(source in shown for source in want.alpha)
    assert all(n.words in shown for n in want.neighbours)
    loaded = browser.evaluate(
        "Promise.all([...document.querySelectorAll('#entities img')].map("
        "(i) => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(loaded) == sum(served.has_picture(e.id) for e in want.entities)
    assert min(loaded) > 0
    assert quiet(browser)


def test_an_example_is_tried_at_a_press(browser, address):
    opened(browser, address)
    browser.evaluate("document.querySelector('#rows button').focus()")
    browser.press("Enter", 13, "\r")
    browser.until(ANSWERED)
    first = browser.evaluate("document.querySelector('#rows mark').textContent")
    assert browser.evaluate("document.querySelector('#marked mark').textContent") == first
    assert "picture took part" in browser.evaluate(
        "document.getElementById('result-about').textContent"
    )
    browser.evaluate("document.getElementById('more').click()")
    assert browser.evaluate("document.querySelectorAll('#rows tr').length") == 16
    assert quiet(browser)


def test_a_picture_is_dropped_and_taken_away(browser, address, picture):
    opened(browser, address)
    drag = {
        "items": [], "files": [str(picture)], "dragOperationsMask": 1,
    }  # fmt: skip
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.call("Input.dispatchDragEvent", type=kind, x=200, y=200, data=drag)
    browser.until("!document.getElementById('preview').hidden")
    assert browser.evaluate("document.getElementById('picture-name').textContent") == picture.name
    browser.evaluate("document.getElementById('remove').click()")
    browser.until("document.getElementById('preview').hidden")
    assert quiet(browser)


def test_what_is_refused_is_said(browser, address, tmp_path):
    opened(browser, address)
    browser.evaluate("document.getElementById('text').focus()")
    browser.type(SENTENCE)
    browser.press("Enter", 13, "\r", CTRL)
    said = "document.getElementById('problem')"
    browser.until(f"!{said}.hidden")
    assert "Mark the mention first" in browser.evaluate(f"{said}.textContent")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    write(browser, "", 0, 2)
    browser.give_file("#file", broken)
    browser.press("Enter", 13, "\r", CTRL)
    browser.until(f"{said}.textContent.includes('not readable')")
    assert browser.violations() == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing(browser, address, width, dark):
    opened(browser, address, width, dark)
    assert browser.violations() == []
    browser.evaluate("document.querySelector('#rows button').click()")
    browser.until(ANSWERED)
    assert browser.violations() == []
    assert quiet(browser)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_of_the_page(browser, address, width):
    opened(browser, address, width)
    browser.evaluate("document.querySelector('#rows button').click()")
    browser.until(ANSWERED)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_the_description_opens_without_a_network(browser, address):
    browser.open(f"{address}docs")
    browser.until("document.querySelectorAll('.opblock').length >= 6")
    asked = {e["request"]["url"] for e in browser.said("Network.requestWillBeSent")}
    assert all(url.startswith((address, "data:")) for url in asked)
    assert not browser.said("Runtime.exceptionThrown", "Log.entryAdded")
