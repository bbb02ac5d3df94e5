"""How the site looks: its name, colours and pictures, and what other sites show of it."""

from __future__ import annotations

import html.parser
import json
import re
import struct
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.site

SCHEMES = pytest.mark.parametrize("scheme", ["default", "slate"], ids=["light", "dark"])
# Pages with all kinds of content: text, code, output, tables, buttons, cards, and the reference.
PAGES = ("", "tutorial/", "skew/", "comparison/", "reference/partitioners/", "record/", "start/", "404.html")

# Texts with a contrast below that of WCAG's level AA: 4.5, or 3 for large ones. Colours may be translucent.
POOR_CONTRAST = """
const number = text => text.match(/[\\d.]+/g).map(Number);
const over = ([r, g, b, a = 1], behind) => [r, g, b].map((one, i) => a * one + (1 - a) * behind[i]);
const luminance = color => color
  .map(one => one / 255)
  .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => element === null ? [255, 255, 255]
  : over(number(getComputedStyle(element).backgroundColor), behind(element.parentElement));
const opacity = element => element === null ? 1 : getComputedStyle(element).opacity * opacity(element.parentElement);
const poor = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, words = walker.currentNode.textContent.trim();
  if (!words || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const style = getComputedStyle(element), size = parseFloat(style.fontSize);
  const back = behind(element), [r, g, b, a = 1] = number(style.color);
  const ink = over([r, g, b, a * opacity(element)], back);
  const [dark, light] = [luminance(back), luminance(ink)].sort((one, two) => one - two);
  const ratio = (light + 0.05) / (dark + 0.05), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
  if (ratio < (large ? 3 : 4.5)) poor.add(`${ratio.toFixed(2)}: ${element.tagName} ${words.slice(0, 30)}`);
}
return [...poor];
"""


class _Tags(html.parser.HTMLParser):
    """The attributes of the tags of a page, as lists by name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: dict[str, list[dict[str, str | None]]] = {}
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.setdefault(tag, []).append(dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def meta(self, name: str) -> str:
        (content,) = [one["content"] for one in self.found["meta"] if name in (one.get("property"), one.get("name"))]
        assert content is not None
        return content


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[str, _Tags]:
    return {page.relative_to(built).as_posix(): _Tags(page) for page in sorted(built.rglob("*.html"))}


def show(browser, address: str, scheme: str, width: int = 1280) -> None:
    """Open a page, and switch to light or dark as a reader does."""
    browser.open(address, width)
    browser.wait("return document.readyState == 'complete'")
    current = "return document.body.dataset.mdColorScheme"
    if browser.run(current) != scheme:
        browser.run("document.querySelector('label[for^=__palette]:not([hidden])').click()")
        browser.wait(f"{current} == '{scheme}'")
    # Colours change within a quarter of a second.
    browser.wait("return document.getAnimations().length == 0")


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def test_the_header_shows_the_logo_the_version_and_the_repository(browser, repository: Path, address: str) -> None:
    browser.open(f"{address}/tutorial/", 1280)
    urls = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    version = re.findall(r'"(.+)"', (repository / "src/flskew/_version.py").read_text("utf-8"))[-1]
    header = "document.querySelector('.md-header .md-source')"
    assert browser.run(f"return {header}.checkVisibility()")
    assert browser.run(f"return {header}.href") == urls["Repository"]
    assert version in browser.run(f"return {header}.innerText")
    assert browser.wait("return document.querySelector('.md-header .md-logo img').naturalWidth")


def test_a_phone_has_the_version_and_the_repository_in_its_menu(browser, repository: Path, address: str) -> None:
    browser.open(f"{address}/tutorial/", 360)
    browser.run("document.querySelector('label[for=__drawer]').click()")
    menu = "document.querySelector('.md-nav__source .md-source')"
    browser.wait(f"return {menu}.checkVisibility() && {menu}.getBoundingClientRect().left >= 0")
    assert re.search(r"\d+\.\d+\.\d+", browser.run(f"return {menu}.innerText"))


def test_a_site_on_github_asks_github_nothing(browser, repository: Path, tmp_path: Path, serve) -> None:
    """The theme's own header asks GitHub for the number of stars."""
    for name in ("scripts", "src", "docs/assets"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "docs/index.md").write_text("# flskew\n", "utf-8")
    project = (repository / "pyproject.toml").read_text("utf-8")
    project = re.sub(r'(?m)^Repository = ".*"', 'Repository = "https://github.com/owner/name"', project)
    (tmp_path / "pyproject.toml").write_text(project, "utf-8")
    settings = {
        "INHERIT": str(repository / "mkdocs.yml"),
        "docs_dir": "docs",
        "hooks": ["scripts/site/hooks.py"],
        "nav": [{"Home": "index.md"}],
        "plugins": ["search"],
        "validation": {"nav": {"omitted_files": "ignore"}},
    }
    (tmp_path / "mkdocs.yml").write_text(json.dumps(settings), "utf-8")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet"], cwd=tmp_path, check=True)
    with serve(tmp_path / "site") as address:
        browser.open(f"{address}/", 1280)
        browser.wait("return document.readyState == 'complete'")
        assert "owner/name" in browser.run("return document.querySelector('.md-header .md-source').innerText")
        fetched = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert fetched
        assert all(one.startswith((address, "data:")) for one in fetched)
        assert browser.console() == []


@SCHEMES
@pytest.mark.parametrize("page", PAGES)
def test_every_text_contrasts_with_what_is_behind_it(browser, address: str, page: str, scheme: str) -> None:
    show(browser, f"{address}/{page}", scheme)
    assert browser.run(POOR_CONTRAST) == []


def test_paper_is_white_and_its_text_dark_whatever_the_screen_shows(browser, address: str) -> None:
    def media(name: str) -> None:
        browser("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"media": name})

    show(browser, f"{address}/start/", "slate")
    media("print")
    try:
        browser.wait("return document.getAnimations().length == 0")
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.run(POOR_CONTRAST) == []
    finally:
        media("")


@SCHEMES
def test_the_site_has_its_own_colours_in_light_and_dark(browser, address: str, scheme: str) -> None:
    show(browser, f"{address}/tutorial/", scheme)
    colors = browser.run(
        "return ['.md-header', 'article p a[href]'].map(s => getComputedStyle(document.querySelector(s)))"
        ".map((style, i) => i ? style.color : style.backgroundColor)"
    )
    link = {"default": "rgb(10, 90, 156)", "slate": "rgb(124, 192, 255)"}[scheme]
    assert colors == ["rgb(11, 61, 107)", link]


def test_a_page_that_does_not_exist_has_the_sites_look_and_leads_back(browser, built: Path, address: str) -> None:
    browser.open(f"{address}/404.html", 1280)
    assert browser.run("return document.querySelector('h1').innerText") == "This page does not exist"
    links = browser.run("return [...document.querySelectorAll('.not-found a')].map(a => a.pathname)")
    assert len(links) >= 3
    assert all((built / link.strip("/") / "index.html").is_file() for link in links)
    assert browser.wait("return document.querySelector('.not-found img').naturalWidth")
    assert browser.console() == []


def test_other_sites_find_a_title_a_description_and_a_picture_of_every_page(
    built: Path, repository: Path, pages: dict[str, _Tags]
) -> None:
    home = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Documentation"]
    for name, page in pages.items():
        for meta in ("og:title", "og:description", "og:image:alt", "description"):
            assert len(page.meta(meta)) > 5, (name, meta)
        card = page.meta("og:image")
        assert card.startswith(home)
        size = int(page.meta("og:image:width")), int(page.meta("og:image:height"))
        assert png_size(built / card.removeprefix(home)) == size == (1200, 630)
    general = pages["index.html"].meta("description")
    descriptions = Counter(page.meta("description") for page in pages.values())
    assert [text for text, count in descriptions.items() if count > 1 and text != general] == []
    assert all(len(text) <= 202 for text in descriptions)


def test_every_picture_says_what_there_is_to_see(pages: dict[str, _Tags]) -> None:
    """The logo is not described where a name is beside it."""
    seen = 0
    for name, page in pages.items():
        for image in page.found.get("img", []):
            source = image["src"] or ""
            if not source.endswith("logo.svg"):
                seen += 1
                text = image.get("alt") or ""
                assert len(text.split()) >= 5, f"{name}: {source} has the alt text {text!r}"
    assert seen > 40


def test_pictures_reserve_their_room_and_are_sharp_on_fine_screens(built: Path, pages: dict[str, _Tags]) -> None:
    for name, page in pages.items():
        for image in page.found.get("img", []):
            source = image["src"] or ""
            if source.endswith(".png"):
                wide, high = png_size((built / name).parent / source)
                shown = int(image.get("width") or 0), int(image.get("height") or 0)
                assert abs(shown[0] / shown[1] - wide / high) < 0.02 * wide / high, (name, source)
                # A column of text is 690 pixels wide.
                assert wide >= 1.9 * min(shown[0], 690), (name, source)


@pytest.mark.parametrize("page", ["pictures/", "study/"])
def test_on_a_phone_a_wide_picture_keeps_its_text_legible_and_scrolls(browser, address: str, page: str) -> None:
    browser.open(f"{address}/{page}", 360)
    sizes = browser.run(
        "return [...document.querySelectorAll('article p > img')]"
        ".map(i => i.getBoundingClientRect().width / Number(i.getAttribute('width')))"
    )
    assert min(sizes) > 0.6
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("page", ["pictures/", "which-partitioner/"])
def test_a_gallery_has_a_small_picture_of_each_section_with_one(browser, address: str, page: str) -> None:
    browser.open(f"{address}/{page}", 1280)
    links = browser.run(
        "return [...document.querySelectorAll('.gallery a')]"
        ".map(a => [a.innerText, document.getElementById(a.hash.slice(1)).innerText.replace('¶', ''), a.offsetHeight])"
    )
    assert len(links) > 10
    assert all(name.strip() == title.strip() and 80 < height < 200 for name, title, height in links)


@pytest.mark.parametrize("width", [pytest.param(1280, id="desk"), pytest.param(768, id="tablet")])
def test_lines_of_text_are_of_comfortable_length(browser, address: str, width: int) -> None:
    browser.open(f"{address}/study/", width)
    letters = browser.run(
        """
        return [...document.querySelectorAll('.md-content__inner > p:not(.wide-picture)')].map(p =>
          p.textContent.length / Math.round(p.clientHeight / parseFloat(getComputedStyle(p).lineHeight)))
        """
    )
    assert 60 < max(letters) < 95
