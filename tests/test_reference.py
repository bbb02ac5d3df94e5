"""What the pages in docs/reference show beside the names, which test_package.py checks: pictures, uses and papers."""

from __future__ import annotations

import ast
import doctest
import inspect
import operator
import re
from pathlib import Path

import pytest

import flskew

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
ENTRY = re.compile(r"^::: flskew\.(?P<name>\S+)\n(?P<options>(?: +.*\n)*)", re.MULTILINE)
OPTION = re.compile(r"^ {8}(picture|alt|code): (.+)$", re.MULTILINE)

ENTRIES = {
    found["name"]: dict(OPTION.findall(found["options"]))
    for page in sorted(REFERENCE.glob("*.md"))
    for found in ENTRY.finditer(page.read_text("utf-8"))
}
PARTITIONERS = sorted(
    name
    for name in flskew.partitioners.__all__
    if name.endswith("Partitioner") and name not in {"Partitioner", "LabelPartitioner"}
)
SHIFTS = ["Affine", "Blur", "Channels", "Missing", "Noise", "Quantize", "Relabel", "Rotate", "SwapLabels"]
PLOTS = sorted(name for name in flskew.plots.__all__ if name.islower())
SHOWN = [
    *PARTITIONERS,
    *(f"shifts.{name}" for name in SHIFTS),
    *(f"plots.{name}" for name in PLOTS),
    "synthetic.fcube",
    "synthetic.synthetic",
]
STRATEGIES = ["Checked", "ClassAware", "FedAvg", "FedDyn", "FedNova", "FedProx", "Scaffold"]
REPORTS = ["advise", "alpha_for", "audit", "compare", "feature_report", "kinds", "report", "severity_for"]
# No paper proposes these.
WITHOUT_PAPER = {"Checked", "CrossPartitioner", "IidPartitioner", "shifts.Quantize"}
CITING = [name for name in [*STRATEGIES, *SHOWN] if not name.startswith("plots.") and name not in WITHOUT_PAPER]


def paragraphs(name: str) -> list[str]:
    return (inspect.getdoc(operator.attrgetter(name)(flskew)) or "").split("\n\n")


def test_the_lists_are_complete() -> None:
    assert len(PARTITIONERS) == 18
    changes = [name for name in flskew.shifts.__all__ if isinstance(getattr(flskew.shifts, name), type)]
    bases = {"FeatureShift", "ImageShift", "LabelShift", "Shift"}
    own = [name for name in changes if issubclass(getattr(flskew.shifts, name), flskew.shifts.Shift)]
    assert sorted({*own} - bases - {"Chain"}) == SHIFTS


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "plots.explore"])  # That is a widget.
def test_a_scheme_or_a_plot_has_a_picture_with_a_text_that_says_what_to_see(name: str) -> None:
    options = ENTRIES[name]
    assert (ROOT / "docs" / "assets" / options["picture"]).is_file()
    assert re.fullmatch(r'"[A-Z].{20,}\."', options["alt"]), options["alt"]


@pytest.mark.parametrize("name", [name for name, options in ENTRIES.items() if "picture" in options])
def test_a_picture_leads_to_the_page_that_has_its_code(name: str) -> None:
    options = ENTRIES[name]
    page = (ROOT / "docs" / options["code"].partition("#")[0]).read_text("utf-8")
    assert f"assets/{options['picture']})" in page


@pytest.mark.parametrize("name", [*STRATEGIES, *SHOWN, *(f"skew.{name}" for name in REPORTS)])
def test_a_docstring_says_when_to_use_it_right_after_what_it_does(name: str) -> None:
    assert re.match(r"Use it when [a-z]", paragraphs(name)[1])
    assert paragraphs(name)[1].endswith(".")


@pytest.mark.parametrize("name", CITING)
def test_a_docstring_cites_where_the_scheme_comes_from(name: str) -> None:
    text = "\n\n".join(paragraphs(name))
    sources = text.partition("\nReferences:\n")[2].partition("\nExamples:\n")[0]
    assert re.search(r'[A-Z]\. [A-Z].*: "[A-Z].*",.*(19|20)\d\d', " ".join(sources.split())) or "a course" in sources


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "flskew").rglob("*.py")), ids=lambda path: path.stem)
def test_a_line_of_an_example_fits_the_site(path: Path) -> None:
    """The formatter shortens code, but neither comments nor strings, nor what is printed."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for example in doctest.DocTestParser().get_examples(ast.get_docstring(node) or ""):
                prompted = [f">>> {line}" for line in example.source.splitlines()]
                wide = [line for line in [*prompted, *example.want.splitlines()] if len(line) > 80]
                assert not wide, f"{path.name}: more than 80 characters"
