"""Make a notebook of each page listed below, which the page offers for download; mkdocs calls `on_files`.

A Python block becomes a cell, and the text block after it the cell's output. If a picture follows, the cell ends with
`figure`, and the picture is its output. So a notebook shows what its page shows before anybody runs it. Each installs
what it needs, and the extra `notebook`: without ipywidgets, a progress bar is a column of lines.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = ["four-clinics.md", "tutorial.md", "which-strategy.md"]

Cell: TypeAlias = dict[str, Any]

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```\n|^!\[(?P<alt>[^\]]*)\]\((?P<image>[^)]+)\)", re.M | re.S)
SNIPPET = re.compile(r'^--8<-- "(?P<path>[^":]+):(?P<section>[\w-]+)"$', re.M)
COMMENT = re.compile(r"^<!--.*?-->\n", re.M | re.S)
DOWNLOAD = re.compile(r"^.*\]\([\w-]+\.ipynb\).*\n+", re.M)
TEXT = r"\[((?:`[^`]+`|[^\]`])+)\]"
REFERENCE = re.compile(rf"{TEXT}\[flskew[^\]]*\]")
LINK = re.compile(rf"(?<!!){TEXT}\((?!https:)([^)#]*)(#[^)]*)?\)")
INSTALL = re.compile(r"^pip install 'flskew\[([^]]+)\]'")
WITH_NOTEBOOK = r"pip install 'flskew[\1,notebook]'"
ATTRIBUTES = re.compile(r"\{ [^}\n]* \}")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks to the site."""
    from mkdocs.structure.files import File  # the tests of this module need no mkdocs

    for page in PAGES:
        path = page.replace(".md", ".ipynb")
        files.append(File.generated(config, path, content=notebook(page, config.site_url)))
    return files


def notebook(page: str, site_url: str | None = None) -> str:
    """Return the notebook of a page.

    Args:
        page: Its path in the folder of the docs.
        site_url: Where links to other pages lead; without it, they become text.
    """
    source = SNIPPET.sub(included, (DOCS / page).read_text("utf-8"))
    parts = cells(source, page, site_url)
    if not any(cell["metadata"].get("tags") == ["install"] for cell in parts):
        parts.insert(1, install_cell(["%pip install 'flskew[notebook]'"]))
    made = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(parts)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def included(found: re.Match[str]) -> str:
    """Return the section of a file that a page includes."""
    name = re.escape(found["section"])
    section = re.search(
        rf"--8<-- \[start:{name}\][^\n]*\n(.*?)\n[^\n]*--8<-- \[end:{name}\]",
        (ROOT / found["path"]).read_text("utf-8"),
        re.DOTALL,
    )
    assert section is not None, found[0]
    return section[1]


def cells(source: str, page: str, site_url: str | None) -> list[Cell]:
    """Return the cells, without ids."""
    made: list[Cell] = []
    prose, start = "", 0
    for found in BLOCK.finditer(source):
        prose += source[start : found.start()]
        start = found.end()
        # The output of a block follows it without any text between.
        block = made[-1] if made and made[-1]["cell_type"] == "code" and not prose.strip() else None
        if found["image"]:
            png = base64.b64encode((DOCS / normpath(join(dirname(page), found["image"]))).read_bytes()).decode()
            alt = " ".join(found["alt"].split())
            if block is None:
                prose += f"![{alt}](data:image/png;base64,{png})"
            else:
                block["source"] += "\nfigure"
                block["outputs"].append(display(png, alt))
        elif found["language"] == "text" and block is not None:
            block["outputs"].append({"output_type": "stream", "name": "stdout", "text": found["code"]})
        elif (code := code_of(found)) is not None:
            made += [*text_cells(prose, page, site_url), code]
            prose = ""
        else:
            prose += found[0]
    return [*made, *text_cells(prose + source[start:], page, site_url)]


def code_of(found: re.Match[str]) -> Cell | None:
    """Return the cell of a block that a reader runs: Python, and installations, by IPython's command for them."""
    lines = found["code"].rstrip().splitlines()
    if found["language"] == "bash" and all(line.startswith("pip install ") for line in lines):
        return install_cell([f"%{INSTALL.sub(WITH_NOTEBOOK, line)}" for line in lines])
    return code_cell(lines) if found["language"] == "python" else None


def code_cell(lines: list[str], **metadata: list[str]) -> Cell:
    """Return a cell of code that has not been run."""
    source = "\n".join(lines)
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def install_cell(lines: list[str]) -> Cell:
    """Return a cell with commands of IPython that install what the others need."""
    return code_cell(lines, tags=["install"])


def display(png: str, alt: str) -> Cell:
    """Return the output of a cell that ends with a figure."""
    return {"output_type": "display_data", "metadata": {}, "data": {"image/png": png, "text/plain": alt}}


def text_cells(prose: str, page: str, site_url: str | None) -> list[Cell]:
    """Return a cell with the text, or none if there is no text."""

    def absolute(found: re.Match[str]) -> str:
        if site_url is None:
            return found[1]
        place = normpath(join(dirname(page), found[2])) if found[2] else page
        address = site_url.rstrip("/") + "/" + place.removesuffix(".md").removesuffix("index") + "/"
        return f"[{found[1]}]({address}{found[3] or ''})"

    for pattern in (COMMENT, DOWNLOAD, ATTRIBUTES):
        prose = pattern.sub("", prose)
    prose = LINK.sub(absolute, REFERENCE.sub(r"\1", prose)).strip()
    return [{"cell_type": "markdown", "metadata": {}, "source": prose}] if prose else []
