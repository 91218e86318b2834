"""The page in headless Chromium:  python -m pytest -m browser"""

import contextlib
from pathlib import Path

import pytest

from stages.config import ReportConfig
from stages.paths import DatasetPaths
from stages.report.report import report_folder, write_report
from tests.support import made_runs
from tests.support.chromium import Chromium
from tests.support.ranked_world import SEED

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(world: Path) -> Path:
    """A report with every section: cases explained, a grid of variants and a sweep."""
    with contextlib.chdir(world):
        paths = DatasetPaths("tiny")
        made_runs.make_grid(Path(), "table2", {v: (v, {}) for v in ("melov", "mimic")})
        runs = {f"d_z={d}": ("melov", {"train.d_z": d}) for d in (16, 64, 256)}
        made_runs.make_grid(Path(), "figure3", runs)
        write_report(paths, ("melov", "mimic"), (SEED,), ReportConfig(cases=9))
        return (report_folder(paths) / "report.html").resolve()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_logged_and_nothing_is_asked_of_a_network(browser, page, dark):
    browser.open(page, dark=dark)
    browser.evaluate("document.querySelector('[data-open]').click()")
    assert browser.said("Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    assert browser.said("Log.entryAdded") == []
    asked = {e["request"]["url"].split(":")[0] for e in browser.said("Network.requestWillBeSent")}
    assert asked <= {"file", "data"}


def test_every_picture_loads(browser, page):
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    sizes = browser.evaluate(
        "Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(sizes) > 20
    assert min(sizes) > 0


def test_every_column_sorts_up_and_down_by_click(browser, page):
    browser.open(page)
    wrong = browser.evaluate(
        """(() => {
          const wrong = [];
          for (const table of document.querySelectorAll("table"))
            for (const head of table.querySelectorAll("th[data-column]")) {
              const column = Number(head.dataset.column);
              for (let press = 0; press < 2; press++) {
                head.querySelector("button").click();
                const sort = head.getAttribute("aria-sort");
                const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
                const texts = cells.map((c) => c.dataset.value ?? c.textContent.trim());
                const all = texts.map((t) => Number(t.replaceAll(",", "")));
                const values = texts.every((t, i) => t !== "" && !isNaN(all[i])) ? all : texts;
                const up = sort === "ascending";
                const inOrder = values.every((v, i) => {
                  if (i === 0) return true;
                  const w = values[i - 1];
                  const order = typeof v === "number"
                    ? v - w : v.localeCompare(w, undefined, { numeric: true });
                  return up ? order >= 0 : order <= 0;
                });
                const one = table.querySelectorAll("[aria-sort]:not([aria-sort=none])").length;
                if (!inOrder || sort === "none" || one !== 1) wrong.push([column, texts]);
              }
            }
          return wrong;
        })()"""
    )
    assert wrong == []


def test_the_keyboard_skips_sorts_and_opens(browser, page):
    browser.open(page)
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.activeElement.id") == "main"
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.getAttribute('role')") == "region"
    browser.press("Tab", 9)
    sort = "document.activeElement.closest('th').getAttribute('aria-sort')"
    for key, code, text, expected in (
        ("Enter", 13, "\r", "ascending"),
        (" ", 32, " ", "descending"),
    ):
        browser.press(key, code, text)
        assert browser.evaluate(sort) == expected
    browser.evaluate("document.querySelectorAll('.case summary')[1].focus()")
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.querySelectorAll('.case')[1].open")


def test_a_wide_table_says_that_it_goes_on(browser, page):
    browser.open(page, width=320)
    browser.until("document.querySelector('.scroll.wide.more') !== null")
    wide = "document.querySelector('.scroll.wide.more')"
    cue = f"getComputedStyle({wide}, '::before').content"
    assert "Scrolls sideways" in browser.evaluate(cue)
    browser.evaluate(f"window.it = {wide}; it.scrollLeft = it.scrollWidth")
    browser.until("!it.classList.contains('more')")
    browser.open(page, width=1280)
    results = "document.querySelector('#results').parentElement.querySelector('.scroll')"
    assert not browser.evaluate(f"{results}.classList.contains('wide')")


def shown(browser):
    rows = "[...document.querySelectorAll('table.errors tbody tr')]"
    return browser.evaluate(f"{rows}.filter((r) => !r.hidden).map((r) => Number(r.dataset.rank))")


def choose(browser, name, value):
    browser.evaluate(
        f"(() => {{ const field = document.querySelector('[name={name}]'); "
        f"field.value = '{value}'; "
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def test_errors_are_filtered(browser, page):
    browser.open(page.with_name("errors.html"))
    everything = shown(browser)
    assert len(everything) > 10
    assert everything == sorted(everything, reverse=True)
    choose(browser, "rank", "2 5")
    few = shown(browser)
    assert few == [rank for rank in everything if rank <= 5]
    said = "document.getElementById('count').textContent"
    assert browser.evaluate(said) == f"{len(few)} of {len(everything)} errors"
    choose(browser, "seen", "unseen")
    assert len(shown(browser)) < len(few)
    browser.evaluate("document.querySelector('.filter [type=reset]').click()")
    browser.until(f"{said} === '{len(everything)} errors'")
    choose(browser, "words", "no such words")
    assert shown(browser) == []
    assert browser.said("Runtime.exceptionThrown", "Log.entryAdded") == []


@pytest.mark.parametrize("name", ["report.html", "errors.html"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing(browser, page, name, width, dark):
    browser.open(page.with_name(name), width, dark)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert browser.violations() == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_of_the_page(browser, page, width):
    browser.open(page.with_name("errors.html"), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.open(page, width=width)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser, page, dark):
    """WCAG AA: 4.5 to 1 between every text's colour and what lies behind it."""
    browser.open(page, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    weak = browser.evaluate(
        """(() => {
          const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
            .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
            .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
          const ground = (node) => {
            for (let at = node; at; at = at.parentElement) {
              const found = parts(getComputedStyle(at).backgroundColor);
              if (found.length === 3 || found[3] > 0) return found;
            }
            return [255, 255, 255];
          };
          const weak = [];
          const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) {
            const node = walk.currentNode.parentElement;
            if (!walk.currentNode.textContent.trim() || node.closest("script, style")) continue;
            const style = getComputedStyle(node);
            const ink = node.closest("svg") ? style.fill : style.color;
            const [a, b] = [light(parts(ink)), light(ground(node))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) weak.push([walk.currentNode.textContent.trim(), ink, ratio]);
          }
          return weak;
        })()"""
    )
    assert weak == []
