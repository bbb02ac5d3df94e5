"""A hook of MkDocs that lists, on docs/reference/index.md, the entries of all other pages of the reference.

The line `<!-- names -->` becomes a table for each page, in the order of the navigation. Each name is beside the first
paragraph of its docstring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

PLACE = "<!-- names -->"
TITLE_GROUP_OR_ENTRY = re.compile(r"^# (?P<title>.+)|^## (?P<group>.+)|^::: flskew\.(?P<entry>\S+)", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables in their place, if the page has one."""
    if PLACE not in markdown:
        return markdown
    source = Path(config.config_file_path).parent / "src"
    extensions = griffe.load_extensions(str(Path(__file__).with_name("functions_first.py")))
    package = griffe.load("flskew", search_paths=[source], extensions=extensions)
    lines: list[str] = []
    while (page := page.next_page) and page.file.src_uri.startswith("reference/"):
        lines += _lines(page.file.content_string, Path(page.file.src_uri).name, package)
    return markdown.replace(PLACE, "\n".join(lines))


def _lines(text: str, address: str, package: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yield a heading for a page and a table of its groups and entries."""
    for found in TITLE_GROUP_OR_ENTRY.finditer(text):
        if found["title"]:
            yield from ("", f"## [{found['title']}]({address})", "", "| Name | What it does |", "|---|---|")
        elif found["group"]:
            yield f"| **{found['group']}** | |"
        else:
            name = found["entry"]
            docstring = package[name].docstring
            assert docstring is not None, f"flskew.{name} has no docstring"
            summary = " ".join(docstring.value.partition("\n\n")[0].split()).replace("|", r"\|")
            yield f"| [`{name}`][flskew.{name}] | {summary} |"
