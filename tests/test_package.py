"""The package as a whole: public names, cost of importing, layers, and supported versions."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import operator
import pkgutil
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import flskew

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Public modules.
SPACES = ("client", "partitioners", "plots", "shifts", "skew", "study", "synthetic", "tables", "testing", "typing")
PUBLIC = sorted(
    [*(set(flskew.__all__) - {"__version__", *SPACES})]
    + [
        f"{space}.{name}"
        for space in SPACES
        for name in importlib.import_module(f"flskew.{space}").__all__
        if name not in {*flskew.__all__} - {*SPACES}
    ]
)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(flskew.__path__, "flskew.") if not module.name.endswith(".__main__")
)

# The modules for frameworks, with the marker of each. The package does not export their names, because they need
# extras, and each of those for clients has a LocalTerm.
FRAMEWORKS = {
    "flskew.client.jax": [pytest.mark.jax],
    "flskew.client.keras": [pytest.mark.tensorflow],
    "flskew.client.sklearn": [],
    "flskew.client.torch": [pytest.mark.torch],
    "flskew.tables.sklearn": [],
}
PRIVATE = {
    "flskew.client._keras_variables": [pytest.mark.tensorflow],
    "flskew.client._torch_steps": [pytest.mark.torch],
}
"""Private modules that need a framework."""
MODULE = pytest.mark.parametrize(
    "name", [pytest.param(name, marks={**FRAMEWORKS, **PRIVATE}.get(name, ())) for name in MODULES]
)

# The layers of CONTRIBUTING.md, highest first: a module imports only from lower layers.
LAYERS = [
    {"study"},
    {"plots"},
    {"skew", "tables"},
    {"simulation", "strategies", "client"},
    {"partitioners"},
    {"testing", "_time_split", "schedule", "synthetic"},
    {"assignment"},
    {"shifts"},
    {"_split"},
    {"_arrays"},
    {"_wire"},
    {"_flower"},
    {"_util"},
    {"typing", "_version"},
]


PAGES = "\n".join(page.read_text("utf-8") for page in sorted((ROOT / "docs" / "reference").glob("*.md")))


def test_every_public_name_is_documented_and_nothing_else_is() -> None:
    documented = re.findall(r"^::: flskew\.([\w.]+)$", PAGES, re.MULTILINE)
    # The names of framework modules have a separate test.
    frameworks = tuple(f"{name.removeprefix('flskew.')}." for name in FRAMEWORKS)
    assert sorted(name for name in documented if not name.startswith(frameworks)) == PUBLIC


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, marks in FRAMEWORKS.items()])
def test_every_name_of_a_framework_module_is_documented_with_an_example(name: str) -> None:
    module = importlib.import_module(name)
    documented = re.findall(rf"^::: {re.escape(name)}\.(\w+)$", PAGES, re.MULTILINE)
    assert sorted(documented) == sorted(module.__all__)
    if name.startswith("flskew.client."):
        assert {"get_parameters", "set_parameters", "LocalTerm"} <= set(documented)
    for exported in documented:
        examples = docstring_examples(getattr(module, exported), f"{name}.{exported}", {})
        assert any(example.name == f"{name}.{exported}" for example in examples), f"{exported} shows no example"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_imported_and_is_in_dir(name: str) -> None:
    assert public_value(name) is public_value(name)
    assert name.split(".")[0] in dir(flskew)


def test_a_name_that_does_not_exist_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="FedMagic"):
        flskew.FedMagic  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_a_public_name_runs_after_importing_the_public_names(name: str) -> None:
    """It imports everything else that it uses, so readers can paste it."""
    value = public_value(name)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return  # A type alias or a table.
    if getattr(value, "_is_protocol", False):  # On Python 3.11, many other classes are called subclasses of Protocol.
        return
    public = {name: getattr(flskew, name) for name in flskew.__all__}
    examples = list(docstring_examples(value, f"flskew.{name}", public))
    assert any(example.name == f"flskew.{name}" for example in examples), f"flskew.{name} shows no example"
    check(examples)


def public_value(name: str) -> object:
    return operator.attrgetter(name)(flskew)


@MODULE
def test_the_examples_of_private_names_run_too(name: str) -> None:
    module = importlib.import_module(name)
    public = {id(public_value(exported)) for exported in PUBLIC}
    examples = docstring_examples(module, name, vars(module))
    check([example for example in examples if id(getattr(module, top_name(example, name), None)) not in public])


def top_name(example: doctest.DocTest, module: str) -> str:
    return example.name.removeprefix(f"{module}.").partition(".")[0]


@pytest.mark.parametrize("name", [name for name in MODULES if "._" not in name and name not in FRAMEWORKS])
def test_a_module_without_an_underscore_has_only_documented_names(name: str) -> None:
    module = importlib.import_module(name)
    documented = {id(public_value(exported)) for exported in PUBLIC}
    private = [exported for exported in module.__all__ if id(getattr(module, exported)) not in documented]
    assert not private, f"{name}: document {private}, or give the module or the names an underscore"


def test_no_line_of_a_docstring_becomes_a_quotation() -> None:
    lines = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.match(r"\s+>(?!>>)", line)
    ]
    assert not lines, "Markdown reads '>' at the start of a line as a quotation; wrap the line elsewhere"


def test_nothing_in_the_reference_is_private() -> None:
    assert not [name for name in PUBLIC if any(part.startswith("_") for part in name.split("."))]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_types_in_a_documented_signature_are_documented_too(name: str) -> None:
    value = public_value(name)
    members = inspect.getmembers(value) if inspect.isclass(value) else [("", value)]
    for member, found in members:
        function = getattr(found, "fget", None) or getattr(found, "__func__", found)
        is_private = member.startswith("_") and member != "__init__"
        if is_private or not inspect.isfunction(function) or not function.__module__.startswith("flskew"):
            continue
        own = names_of_flskew(Path(str(sys.modules[function.__module__].__file__)))
        for annotation in map(str, function.__annotations__.values()):
            undocumented = own.intersection(re.findall(r"[A-Za-z_]\w*", annotation)) - DOCUMENTED
            assert not undocumented, f"{name}.{member}: document {undocumented}, or use another type"


# And Flower's `Run`, which _flower.py finds wherever a release keeps it.
DOCUMENTED = {name.rpartition(".")[2] for name in PUBLIC} | {"Run"}


def names_of_flskew(path: Path) -> set[str]:
    """Return the classes and type aliases that a module defines, and the names that it imports from flskew."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flskew"):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


# Flower's documented modules. Everything else may move or change without notice.
PUBLIC_FLOWER = {
    "flwr.app",
    "flwr.client",
    "flwr.clientapp",
    "flwr.clientapp.typing",
    "flwr.common.constant",
    "flwr.serverapp",
    "flwr.serverapp.strategy",
}


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "flskew").rglob("*.py")), ids=lambda path: path.stem)
def test_only_one_module_touches_flowers_internals(path: Path) -> None:
    if path.name == "_flower.py":
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flwr."):
            assert node.module in PUBLIC_FLOWER, f"{path.name} imports {node.module}; do that in _flower.py"
        if isinstance(node, ast.Attribute) and node.attr == "__dict__":
            raise AssertionError(f"{path.name}, line {node.lineno}: __dict__; do that in _flower.py")


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "flskew").rglob("*.py")), ids=lambda path: path.stem)
def test_the_site_shows_the_whole_prose_of_a_docstring(path: Path) -> None:
    """Markdown passes what looks like an HTML tag through, and browsers hide it: <g, w> is to be ⟨g, w⟩."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            prose = re.sub(r"`[^`]*`", "", (ast.get_docstring(node) or "").partition("\nExamples:\n")[0])
            assert not re.findall(r"<[A-Za-z/].*", prose), f"{path.name}: mark it as code, with backticks"


def docstring_examples(value: object, name: str, names: dict[str, object]) -> Iterator[doctest.DocTest]:
    for test in doctest.DocTestFinder().find(value, name, globs=names):
        if test.examples:
            yield test


def check(examples: Iterator[doctest.DocTest] | list[doctest.DocTest]) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for example in examples:
        runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)


@MODULE
def test_a_public_signature_has_specific_types(name: str) -> None:
    """Array types may contain Any, but no parameter or result of a public function may be Any."""
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", ()):
        value = getattr(module, exported)
        functions = [value] if inspect.isfunction(value) else []
        if inspect.isclass(value):
            functions += [f for n, f in vars(value).items() if inspect.isfunction(f) and n[0] != "_"]
        for function in functions:
            loose = [n for n, annotation in function.__annotations__.items() if annotation == "Any"]
            assert not loose, f"{function.__qualname__}: Any for {loose}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    """benchmarks/import_time.py measures the time."""
    code = "import sys, flskew; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    heavy = {"datasets", "flwr", "flwr_datasets", "matplotlib", "numpy", "pandas", "pyarrow", "ray", "sklearn", "torch"}
    heavy |= {"jax", "keras", "tensorflow"}
    assert heavy & loaded_by(code) == set()


def test_training_loads_no_data_set_library() -> None:
    code = "import sys, flskew; flskew.FedAvg, flskew.client_app, flskew.simulate, flskew.LocalTerm; "
    code += "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    heavy = {
        "datasets",
        "flwr_datasets",
        "jax",
        "keras",
        "matplotlib",
        "pandas",
        "ray",
        "sklearn",
        "tensorflow",
        "torch",
    }
    assert heavy & loaded_by(code) == set()


def test_measuring_counts_loads_no_data_set_library() -> None:
    code = "import sys, flskew, numpy; flskew.skew.report(numpy.array([[3, 1], [1, 3]])); "
    code += "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    assert {"datasets", "flwr", "flwr_datasets", "matplotlib", "pandas", "scipy"} & loaded_by(code) == set()


def test_the_tests_leave_no_data_set_in_the_users_cache() -> None:
    code = "import datasets; print(datasets.config.HF_DATASETS_CACHE, datasets.config.HF_CACHE_HOME, sep='\\n')"
    temporary = Path(tempfile.gettempdir()).resolve()
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found
    assert all(Path(folder).resolve().is_relative_to(temporary) for folder in found.splitlines())


def loaded_by(code: str) -> set[str]:
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "flskew").rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_only_from_lower_layers(path: Path) -> None:
    package = path.relative_to(ROOT / "src" / "flskew").parts[0].removesuffix(".py")
    if package == "__init__":
        return
    for imported in set(imported_packages(path)) - {package}:
        assert level(imported) > level(package), f"{path.name} ({package}) imports from {imported}, which is not below"


def test_contributing_lists_the_layers_in_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    lines = text.partition("## Structure")[2].partition("## ")[0].splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    layers = [{name.removesuffix(".py").removesuffix("/") for name in re.findall(r"`(\S+)`", cell)} for cell in cells]
    assert layers == [{"__init__"}, *LAYERS]


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "flskew":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flskew."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("flskew."))


def level(package: str) -> int:
    found = [number for number, packages in enumerate(LAYERS) if package in packages]
    assert found, f"{package} has no layer: add it to LAYERS"
    return found[0]


def test_the_version_comes_from_one_place() -> None:
    assert flskew.__version__ == importlib.metadata.version("flskew")
    assert PYPROJECT["project"]["dynamic"] == ["readme", "version"]


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(flskew.__file__).parent / "py.typed").is_file()


def test_the_oldest_versions_under_test_are_those_claimed() -> None:
    """Fails if a bound is raised in only one of the two files."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    used = [*project["dependencies"], *extras["plot"], *extras["sklearn"], *extras["study"]]
    claimed = dict(requirement.split(">=") for requirement in used)
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements/oldest.txt").read_text("utf-8"), re.MULTILINE))
    assert claimed.items() <= pinned.items()


@pytest.mark.parametrize(
    "module",
    [
        "matplotlib",
        "sklearn",
        pytest.param("jax", marks=pytest.mark.jax),
        pytest.param("keras", marks=pytest.mark.tensorflow),
        pytest.param("ray", marks=pytest.mark.ray),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def test_the_package_of_an_extra_can_be_imported(module: str) -> None:
    """In a separate process, because some of these modules change the process that imports them."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
