"""The built site in a browser: every page renders, fits a phone and loads nothing external; the search works."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

pytestmark = pytest.mark.site

WIDTHS = pytest.mark.parametrize("width", [pytest.param(360, id="phone"), pytest.param(1280, id="desk")])
# Elements that are wider than the window and do not scroll themselves; there should be none.
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
# Code blocks that scroll sideways, by their beginning.
SCROLLING = (
    "return [...document.querySelectorAll('pre > code')].filter(c => c.scrollWidth > c.clientWidth)"
    ".map(c => c.textContent.slice(0, 60))"
)
BROKEN_IMAGES = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
FETCHED = "return performance.getEntriesByType('resource').map(e => e.name)"
RESULT = "[data-md-component=search-result] a"


@WIDTHS
def test_every_page_renders_without_error_fits_the_window_and_loads_nothing_external(
    browser, built: Path, address: str, width: int
) -> None:
    pages = sorted(page.parent.relative_to(built).as_posix() for page in built.rglob("index.html"))
    assert {".", "tutorial", "which-partitioner", "reference"} <= set(pages)
    wrong = {}
    for page in pages:
        browser.open(f"{address}/{page}/", width)
        browser.wait("return document.readyState == 'complete'")
        elsewhere = [fetched for fetched in browser.run(FETCHED) if not fetched.startswith((address, "data:"))]
        found = [*browser.console(), *elsewhere, *browser.run(BROKEN_IMAGES)]
        if (overflow := browser.run(OVERFLOW)) > 0:
            found.append(f"{overflow} pixels too wide")
        if width >= 1280:
            found += [f"scrolls sideways: {code}" for code in browser.run(SCROLLING)]
        if found:
            wrong[page] = found
    assert not wrong


def test_on_a_phone_a_wide_code_block_scrolls_and_the_page_does_not(browser, address: str) -> None:
    browser.open(f"{address}/study/", 360)
    assert browser.wait(SCROLLING)
    assert browser.run(OVERFLOW) <= 0
    block = "[...document.querySelectorAll('pre > code')].find(c => c.scrollWidth > c.clientWidth)"
    assert browser.run(f"const block = {block}; block.scrollLeft = 1000; return block.scrollLeft") > 0
    assert browser.run("window.scrollTo(1000, 0); return window.scrollX") == 0


def test_every_link_within_the_site_leads_to_a_file_and_a_place_on_its_page(built: Path) -> None:
    """mkdocs does not notice all that do not, and none of those in HTML; browsers do not load pictures far below."""
    texts = {path.parent.relative_to(built).as_posix(): path.read_text("utf-8") for path in built.rglob("index.html")}
    places = {page: set(re.findall(r'\bid="?([^"\s>]+)', text)) for page, text in texts.items()}
    broken = set()
    for page, text in texts.items():
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            target = urlsplit(urljoin(f"http://site/{page}/", unescape(link)))
            if target.netloc != "site":
                continue
            there = target.path.strip("/").removesuffix("index.html").strip("/") or "."
            # Behind the # of the explorer are its settings.
            is_place = there in texts and target.fragment and there != "explore"
            if not (built / there).exists() or (is_place and target.fragment not in places[there]):
                broken.add((page, link))
    assert not broken


@WIDTHS
def test_the_front_page_shows_its_picture_and_its_code(browser, address: str, width: int) -> None:
    browser.open(f"{address}/", width)
    assert browser.run("return document.querySelector('h1').textContent").startswith("flskew")
    picture = "document.querySelector('article img')"
    assert browser.wait(f"return {picture}.naturalWidth") > 100
    # On a phone too, as wide as tests/examples/test_three_hospitals_run.py assumes for legible text.
    assert browser.run(f"return {picture}.getBoundingClientRect().width") > 327
    buttons = browser.run("return [...document.querySelectorAll('article a.md-button')].map(a => a.pathname)")
    assert buttons == ["/start/", "/explore/"]
    assert "LabelExclusionPartitioner" in browser.run("return document.querySelector('article').innerText")


@WIDTHS
def test_the_search_box_finds_a_public_name(browser, address: str, width: int) -> None:
    name = "flskew.PachinkoPartitioner"
    browser.open(f"{address}/", width)
    if width < 600:
        browser.run("document.querySelector('label[for=__search]').click()")
        browser.wait("return document.activeElement.matches('[data-md-component=search-query]')")
    browser.type("[data-md-component=search-query]", name.split(".")[1])
    browser.wait(f"return [...document.querySelectorAll('{RESULT}')].some(a => a.hash == '#{name}')")
    assert browser.console() == []


def test_a_link_into_the_reference_leads_to_its_entry(browser, address: str) -> None:
    browser.open(f"{address}/reference/partitioners/#flskew.DirichletPartitioner", 1280)
    assert browser.run("return document.querySelectorAll('article blockquote').length") == 0, "an example, not as code"
    heading = "document.getElementById('flskew.DirichletPartitioner')"
    assert "DirichletPartitioner" in browser.run(f"return {heading}.textContent")
    assert browser.wait(f"const top = {heading}.getBoundingClientRect().top; return top >= 0 && top < 300")
    assert browser.console() == []


@WIDTHS
def test_an_entry_shows_its_picture_beside_the_text_or_above_it_on_a_phone(browser, address: str, width: int) -> None:
    browser.open(f"{address}/reference/partitioners/", width)
    entry = "document.getElementById('flskew.DirichletPartitioner').parentElement"
    assert browser.wait(f"return {entry}.querySelector('img').naturalWidth") > 100
    box = "(({left, right, top, bottom}) => ({left, right, top, bottom}))"
    picture = browser.run(f"return {box}({entry}.querySelector('img').getBoundingClientRect())")
    use = f"[...{entry}.querySelectorAll('p')].find(p => p.textContent.startsWith('Use it when'))"
    words = browser.run(
        f"const range = document.createRange(); range.selectNodeContents({use}); "
        f"return {box}(range.getBoundingClientRect())"
    )
    if width < 600:
        assert picture["bottom"] <= words["top"]
    else:
        assert picture["left"] >= words["right"]
        assert picture["top"] <= words["bottom"]


def test_the_first_page_of_the_reference_links_to_every_entry(browser, address: str, repository: Path) -> None:
    browser.open(f"{address}/reference/", 1280)
    linked = browser.run("return [...document.querySelectorAll('article td:first-child a')].map(a => a.hash.slice(1))")
    pages = [page.read_text("utf-8") for page in (repository / "docs" / "reference").glob("*.md")]
    assert sorted(linked) == sorted(name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE))
    uses = browser.run("return [...document.querySelectorAll('article td:last-child')].map(td => td.textContent)")
    assert "Measure a split and describe what is unusual about it." in uses, "the function, not its module"


def test_the_reference_shows_no_special_method_but_those_that_users_call(browser, built: Path, address: str) -> None:
    shown = set()
    for page in (built / "reference").glob("*/index.html"):
        browser.open(f"{address}/{page.parent.relative_to(built).as_posix()}/", 1280)
        names = browser.run("return [...document.querySelectorAll('article [id]')].map(element => element.id)")
        shown |= {name for name in names if name.startswith("flskew.") and "__" in name}
    assert shown == {
        "flskew.Assignment.__getitem__",
        "flskew.partitioners.Streams.__call__",
        "flskew.tables.TableStatistics.__getitem__",
        "flskew.typing.MapDataset.__getitem__",
        "flskew.typing.MapDataset.__len__",
    }
