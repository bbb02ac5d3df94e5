"""Hooks of mkdocs: what the site says about the project, and what Markdown does not say about a page.

The project's address and version are only in pyproject.toml and src/flskew/_version.py.
"""

from __future__ import annotations

import html
import posixpath
import re
import struct
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Pixels of a page that show one inch of a picture. PNG files have more pixels than that, for sharp screens.
PIXELS_PER_INCH = 110
# Pixels: a wider picture does not fit a phone, so it scrolls there.
WIDEST_ON_PHONE = 500
# Letters: search engines cut what is longer.
LONGEST_DESCRIPTION = 200

IMAGE = re.compile(r'<img (?P<rest>[^>]*src="(?P<source>[^":]+\.png)"[^>]*)>')
GIVEN_WIDTH = re.compile(r' width="(\d+)"')
ALONE = re.compile(r"<p>(<img [^>]*--width[^>]*>)</p>")
# What a page contains where its gallery belongs.
GALLERY = "<!-- gallery -->"
SECTION = re.compile(r'<h[23] id="([^"]+)">(.*?)<a class="headerlink"(.*?)(?=<h[23] |\Z)', re.DOTALL)
# Sentences: not a link or a button.
PARAGRAPH = re.compile(r"<p>((?:(?!</p>).)*[.:?])\s*</p>", re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read the project's address and version."""
    root = Path(config.config_file_path).parent
    urls = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    (version,) = re.findall(r'^__version__ = "(.+)"$', (root / "src/flskew/_version.py").read_text("utf-8"), re.M)
    config.site_url = urls["Documentation"]
    config.repo_url = urls["Repository"]
    config.repo_name = urlsplit(urls["Repository"]).path.strip("/")
    config.extra["release"] = version
    return config


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Describe the page by its first paragraph, and give each picture its size, so that text does not jump."""
    if "description" not in page.meta and not page.is_homepage and (found := PARAGRAPH.search(content)):
        page.meta["description"] = html.escape(description(found[1]))

    def sized(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(page.url, found["source"]))
        file = files.get_file_from_path(path)
        if file is None or file.abs_src_path is None:
            return found[0]
        width, height = shown_size(Path(file.abs_src_path))
        if given := GIVEN_WIDTH.search(found["rest"]):
            width, height = int(given[1]), round(height * int(given[1]) / width)
        wide = f' style="--width: {width}px"' if width > WIDEST_ON_PHONE else ""
        return f'<img width="{width}" height="{height}"{wide} loading="lazy" {GIVEN_WIDTH.sub("", found["rest"])}>'

    content = IMAGE.sub(sized, content)
    content = content.replace(GALLERY, gallery(content))
    return ALONE.sub(r'<p class="wide-picture">\1</p>', content)


def gallery(content: str) -> str:
    """Return small pictures that link to the sections of a page, one for the first picture of each section."""
    links = [
        f'<a href="#{found[1]}">{image[0]}<span>{found[2]}</span></a>'
        for found in SECTION.finditer(content)
        if (image := IMAGE.search(found[3])) is not None
    ]
    return f'<div class="gallery">{"".join(links)}</div>'


def description(paragraph: str) -> str:
    """Return the sentences at the start of a paragraph of HTML that fit a description, as plain text."""
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).split()).rstrip(":")
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    end = text.rfind(". ", 0, LONGEST_DESCRIPTION) + 1
    return text[:end] if end else text[:LONGEST_DESCRIPTION].rsplit(" ", 1)[0] + " …"


def shown_size(png: Path) -> tuple[int, int]:
    """Return the width and height of a picture on the page, in pixels, from its size in inches."""
    head = png.read_bytes()[:256]
    width, height = struct.unpack(">II", head[16:24])
    place = head.find(b"pHYs")
    per_inch = struct.unpack(">I", head[place + 4 : place + 8])[0] * 0.0254 if place > 0 else PIXELS_PER_INCH
    scale = PIXELS_PER_INCH / per_inch
    return round(width * scale), round(height * scale)
