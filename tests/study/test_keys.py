"""A task has one key in every process, and another one once its code or its data change."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from sklearn.linear_model import SGDClassifier

from flskew.study._keys import key_of

# A task, a module that it uses, and one that this module uses: what a user has.
TASK = '''
"""A task."""
import numpy as np
import first_helper
from first_helper import Base, scaled

RATE = 0.1
unrelated = 1

def default(x, power=2, *, shift=0):
    return x ** power + shift

def make(offset):
    return lambda x: x + offset

class Client:
    def __init__(self, rows):
        self.rows = rows
    def fit(self, parameters, config):
        """Train."""
        try:
            return [scaled(parameters[0]) * RATE], len(self.rows), {}
        finally:
            pass

class Task(Base):
    """What to study."""
    labels, test_labels = [0, 1], [0, 1]
    move = staticmethod(make(3))

    def __init__(self):
        self.features = np.arange(6, dtype=np.int32)
        self.kind = "linear"

    def initial(self, seed):
        return [np.zeros(2)]

    def client(self, rows):
        from second_helper import deep
        return Client(deep(rows))

    @functools_cached
    def slow(self):
        return sum([x for x in ("a", "b")])

    def evaluate(self, parameters, rows):
        return {"accuracy": first_helper.score(default(parameters[0]))}

def nobody_calls_this():
    return 1
'''.replace("@functools_cached", "@__import__('functools').cached_property")
FIRST = """
import second_helper as other

def scaled(x):
    return other.deep(x) + 1

def score(x):
    return x > other.LIMIT

class Base:
    factor = 2
    def twice(self, x):
        return self.factor * x
"""
SECOND = """
LIMIT = 5
def deep(x):
    return deeper(x)
def deeper(x):
    return deeper(x) if x is None else x
"""
SOURCES = {"own_task": TASK, "first_helper": FIRST, "second_helper": SECOND}


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return the key of the task after replacing text in one of the modules."""
    numbers = iter(range(100))

    def key_after(module: str = "own_task", old: str = "", new: str = "") -> str:
        assert old in SOURCES[module]
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        for name, source in SOURCES.items():
            text = source.replace(old, new, 1) if name == module and old else source
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
            sys.modules.pop(name, None)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            return key_of(importlib.import_module("own_task").Task()).digest

    yield key_after
    for name in SOURCES:
        sys.modules.pop(name, None)


CHANGES = {
    "an array element": ("own_task", "np.arange(6, dtype=np.int32)", "np.array([0, 1, 2, 3, 4, 6], dtype=np.int32)"),
    "a dtype": ("own_task", "np.int32", "np.int64"),
    "an attribute": ("own_task", '"linear"', '"cubic"'),
    "a class attribute": ("own_task", "test_labels = [0, 1], [0, 1]", "test_labels = [0, 1], [1, 0]"),
    "a constant in a method": ("own_task", "np.zeros(2)", "np.zeros(3)"),
    "a constant in a comprehension": ("own_task", '("a", "b")', '("a", "c")'),
    "a name that a method calls": ("own_task", "np.zeros(2)", "np.ones(2)"),
    "a global constant": ("own_task", "RATE = 0.1", "RATE = 0.2"),
    "a default argument": ("own_task", "power=2", "power=3"),
    "the default of a keyword": ("own_task", "shift=0", "shift=1"),
    "how an argument is passed": ("own_task", "power=2, *, shift=0", "power=2, shift=0"),
    "a closure's variable": ("own_task", "make(3)", "make(4)"),
    "the code of the client": ("own_task", "* RATE", "+ RATE"),
    "what is tried": ("own_task", "        finally:\n            pass", "        except KeyError:\n            raise"),
    "a function of another module": ("first_helper", "deep(x) + 1", "deep(x) + 2"),
    "a function that another module calls": ("second_helper", "if x is None else x", "if x is None else -x"),
    "a constant of another module": ("second_helper", "LIMIT = 5", "LIMIT = 6"),
    "a base class": ("first_helper", "self.factor * x", "self.factor + x"),
    "an attribute of a base class": ("first_helper", "factor = 2", "factor = 3"),
}
NO_CHANGES = {
    "nothing": ("own_task", "", ""),
    "a comment": ("own_task", "RATE = 0.1", "RATE = 0.1  # the learning rate"),
    "blank lines": ("own_task", "RATE = 0.1", "\n\n\nRATE = 0.1"),
    "the docstring of a class": ("own_task", '"""What to study."""', '"""Something else."""'),
    "the docstring of a method": ("own_task", '"""Train."""', '"""Train for one epoch."""'),
    "no docstring": ("own_task", '        """Train."""\n', ""),
    "the docstring of the module": ("own_task", '"""A task."""', ""),
    "a new docstring": ("first_helper", "return other.deep(x) + 1", '"""Scale."""\n    return other.deep(x) + 1'),
    "an unrelated function": ("own_task", "nobody_calls_this():\n    return 1", "nobody_calls_this():\n    return 2"),
    "an unrelated constant": ("own_task", "unrelated = 1", "unrelated = 2"),
    "an unrelated global named like an attribute": ("own_task", "unrelated = 1", "labels = kind = 2"),
    "an annotation": ("own_task", "def initial(self, seed):", "def initial(self, seed: int) -> list:"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_task_has_another_key_after_a_change_of(change: str, key: Callable[..., str]) -> None:
    assert key(*CHANGES[change]) != key()


@pytest.mark.parametrize("change", NO_CHANGES)
def test_a_task_has_the_same_key_after_a_change_of(change: str, key: Callable[..., str]) -> None:
    assert key(*NO_CHANGES[change]) == key()


def test_the_key_is_the_same_in_other_processes(tmp_path: Path, python: str, key: Callable[..., str]) -> None:
    """With another hash seed, from compiled files, and when the task is defined in the script itself."""
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    show = "from flskew.study._keys import key_of; print(key_of(Task()).digest)"
    (tmp_path / "script.py").write_text(f"{TASK}\n{show}", encoding="utf-8")
    found = []
    # The second process reads what the first one compiled.
    for number, arguments in enumerate([["-c", f"from own_task import Task; {show}"]] * 2 + [["script.py"]]):
        environment = {"PYTHONHASHSEED": str(number), "PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
        run = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        found.append(run.stdout.strip())
    assert (tmp_path / "__pycache__").exists()
    assert found == [key()] * 3


class Colour(Enum):
    RED = 1
    BLUE = 2


class Word(StrEnum):
    YES = "yes"


class Pair(NamedTuple):
    first: int
    second: str


@dataclass
class Settings:
    rate: float = 0.1
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    rate: float


class Slots:
    __slots__ = ("first", "second")

    def __init__(self, first: int) -> None:
        self.first = first  # and no second


class Text(str):
    """A string with attributes."""


class Rows(list):
    """A list with attributes."""


class Loop:
    def __init__(self, number: int) -> None:
        self.number, self.own = number, self


class Holds:
    """A task, as far as keys are concerned."""

    def __init__(self, value: object) -> None:
        self.value = value


def ping(count: int) -> int:
    return count and pong(count - 1)


def pong(count: int) -> int:
    return count and ping(count - 1)


def stepped(seed: int, draws: int) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    rng.random(draws)
    return rng


def masked(hidden: bool) -> np.ma.MaskedArray:
    return np.ma.array([1, 2], mask=[False, hidden])


# Two ways to make equal values, and a different value.
VALUES: dict[str, tuple[Callable[[], object], Callable[[], object], Callable[[], object]]] = {
    "integers": (lambda: 3, lambda: int("3"), lambda: 3.0),
    "long integers": (lambda: [10**5000], lambda: [10**5000], lambda: [10**5000 + 1]),
    "booleans": (lambda: [True], lambda: [1 == 1], lambda: [1]),
    "nested lists": (lambda: [[1], [2, 3]], lambda: [[1], [2, 3]], lambda: [[1, 2], [3]]),
    "tuples": (lambda: (1, 2), lambda: (*[1], 2), lambda: [1, 2]),
    "sets": (lambda: {"a", "b", 1}, lambda: {1, "b", "a"}, lambda: {"a", "b", 2}),
    "dicts": (lambda: {"a": 1}, lambda: {"a": int("1")}, lambda: {"a": 2}),
    "nested dicts": (lambda: {"a": {"b": [1.0]}}, lambda: {"a": {"b": [1.0]}}, lambda: {"a": {"b": [2.0]}}),
    "strings and bytes": (lambda: "a", lambda: "a", lambda: b"a"),
    "enums": (lambda: Colour.RED, lambda: Colour(1), lambda: Colour.BLUE),
    "string enums": (lambda: Word.YES, lambda: Word("yes"), lambda: "yes"),
    "named tuples": (lambda: Pair(1, "a"), lambda: Pair(first=1, second="a"), lambda: Pair(1, "b")),
    "data classes": (lambda: Settings(0.5), lambda: Settings(rate=0.5), lambda: Settings(0.5, ["a"])),
    "frozen data classes with slots": (lambda: Slotted(1.0), lambda: Slotted(rate=1.0), lambda: Slotted(2.0)),
    "slots": (lambda: Slots(1), lambda: Slots(1), lambda: Slots(2)),
    "subclasses of str": (lambda: Text("a"), lambda: Text("a"), lambda: Text("b")),
    "subclasses of list": (lambda: Rows([1]), lambda: Rows([1]), lambda: Rows([2])),
    "loops": (lambda: Loop(1), lambda: Loop(1), lambda: Loop(2)),
    "partial functions": (
        lambda: functools.partial(ping, 1),
        lambda: functools.partial(ping, 1),
        lambda: functools.partial(ping, count=1),
    ),
    "functions that call each other": (lambda: ping, lambda: ping, lambda: pong.__defaults__),
    "bound methods": (lambda: Holds(1).__init__, lambda: Holds(1).__init__, lambda: Holds(2).__init__),
    "methods of built-in objects": (lambda: [1].index, lambda: [1].index, lambda: [2].index),
    "lambdas": (lambda: lambda x: x + 1, lambda: lambda x: x + 1, lambda: lambda x: x + 2),
    "arrays": (lambda: np.arange(4), lambda: np.arange(8)[:4], lambda: np.arange(4)[::-1]),
    "shapes": (lambda: np.zeros((2, 3)), lambda: np.zeros((2, 3), order="F"), lambda: np.zeros((3, 2))),
    "byte orders": (lambda: np.arange(4), lambda: np.arange(4).astype(">i8"), lambda: np.arange(4.0)),
    "dates": (
        lambda: np.array(["2020-01-01"], "M8[D]"),
        lambda: np.array(["2020-01-01"], "M8[D]"),
        lambda: np.array([18262], "M8[s]"),
    ),
    "strings in arrays": (lambda: np.array(["a"]), lambda: np.array(["a"], "U9"), lambda: np.array(["b"])),
    "objects in arrays": (
        lambda: np.array(["a", None], object),
        lambda: np.array(["a", None], object),
        lambda: np.array(["a", 0], object),
    ),
    "fields of arrays": (
        lambda: np.array([(1, 2.0)], [("a", int), ("b", float)]),
        lambda: np.array([(1, 2.0)], [("a", int), ("b", float)]),
        lambda: np.array([(1, 2.0)], [("a", int), ("c", float)]),
    ),
    "masks": (lambda: masked(True), lambda: masked(True), lambda: masked(False)),
    "numbers of NumPy": (lambda: np.float32(1), lambda: np.float32(1), lambda: np.float64(1)),
    "dtypes": (lambda: np.dtype("f4"), lambda: np.dtype(np.float32), lambda: np.dtype("f8")),
    "generators": (lambda: stepped(0, 3), lambda: stepped(0, 3), lambda: stepped(0, 2)),
    "data frames": (
        lambda: pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        lambda: pd.DataFrame({"b": ["x", "y"], "a": [1, 2]})[["a", "b"]],
        lambda: pd.DataFrame({"a": [1, 2], "b": ["x", "z"]}),
    ),
    "columns": (
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.DataFrame({"b": [1]}),
    ),
    "dtypes of columns": (
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.DataFrame({"a": [1]}, dtype="int32"),
    ),
    "indexes": (lambda: pd.Series([1], [0]), lambda: pd.Series([1], [0]), lambda: pd.Series([1], [1])),
    "categories": (
        lambda: pd.Series(["a"], dtype=pd.CategoricalDtype(["a", "b"])),
        lambda: pd.Series(["a"], dtype=pd.CategoricalDtype(["a", "b"])),
        lambda: pd.Series(["a"], dtype=pd.CategoricalDtype(["b", "a"])),
    ),
    "lists in columns": (
        lambda: pd.Series([[1], [2]]),
        lambda: pd.Series([[1], [2]]),
        lambda: pd.Series([[1], [3]]),
    ),
    "Hugging Face data sets": (
        lambda: Dataset.from_dict({"a": [1, 2]}),
        lambda: Dataset.from_dict({"a": [1, 2]}),
        lambda: Dataset.from_dict({"a": [1, 3]}),
    ),
    "estimators": (
        lambda: SGDClassifier(alpha=0.1),
        lambda: SGDClassifier(alpha=0.1),
        lambda: SGDClassifier(alpha=0.2),
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_equal_values_have_equal_keys_and_different_ones_do_not(kind: str) -> None:
    first, same, other = (key_of(Holds(make())).digest for make in VALUES[kind])
    assert first == same != other


@pytest.mark.torch
def test_tensors_count_by_value_and_dtype() -> None:
    import torch

    same = [torch.ones(2, dtype=torch.bfloat16), torch.ones(4, dtype=torch.bfloat16)[::2]]
    others = [torch.ones(2), torch.ones(2, dtype=torch.float16), torch.zeros(2, dtype=torch.bfloat16)]
    found = [key_of(Holds(tensor)) for tensor in (*same, *others)]
    assert len({one.digest for one in found[:2]}) == 1
    assert len({one.digest for one in found}) == 4
    assert "torch" in found[0].versions
    model = torch.nn.Linear(2, 2)
    before = key_of(Holds(model))
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert key_of(Holds(model)).digest != before.digest


class Cached:
    def __init__(self) -> None:
        self.size = 3

    @functools.cached_property
    def model(self) -> list[int]:
        return [0] * self.size

    @functools.lru_cache  # noqa: B019
    def scaled(self, factor: int) -> int:
        return factor * self.size

    def use(self) -> None:
        assert self.model
        assert self.scaled(2) == 6


def test_what_caches_hold_is_not_part_of_the_key() -> None:
    task = Cached()
    before = key_of(task).digest
    task.use()
    assert key_of(task).digest == before


def test_what_an_attribute_caches_is_found_by_name() -> None:
    task = Holds({"models": []})
    before = key_of(task)
    task.value["models"].append(1)  # type: ignore[index]
    assert before.changed(key_of(task)) == "task.value"
    assert before.changed(before) is None


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(Path(__file__).open, "TextIOWrapper", id="open file"),
        pytest.param(threading.Lock, "lock", id="lock"),
        pytest.param(lambda: (x for x in ()), "generator", id="generator"),
    ],
)
def test_an_attribute_that_cannot_be_read_is_an_error_that_names_it(make: Callable[[], object], kind: str) -> None:
    value = make()
    try:
        with pytest.raises(TypeError, match=rf"task\.value\[0\] is a {kind}.*cached_property"):
            key_of(Holds([value]))
    finally:
        getattr(value, "close", lambda: None)()


LOCKS = {"lock": threading.Lock(), "limit": 1}


def limit() -> object:
    return LOCKS["limit"]


def test_a_global_that_cannot_be_read_does_not_hide_what_is_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(Holds(limit)).digest
    assert key_of(Holds(limit)).digest == before
    monkeypatch.setitem(LOCKS, "limit", 2)
    assert key_of(Holds(limit)).digest != before


def test_a_module_cannot_be_a_task() -> None:
    with pytest.raises(TypeError, match="write a class with these methods"):
        key_of(functools)


def test_the_framework_that_computes_for_keras_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = ModuleType("keras")
    vars(keras).update(__file__=np.__file__, backend=SimpleNamespace(backend=lambda: "pandas"))
    monkeypatch.setitem(sys.modules, "keras", keras)

    class Task:
        def initial(self) -> object:
            return keras

    assert "pandas" in key_of(Task()).versions


def test_versions_are_those_of_the_packages_that_the_code_uses() -> None:
    found = key_of(Holds(lambda: SGDClassifier(loss=pd.NA))).versions
    assert {"python", "flskew", "flwr", "numpy", "pandas", "sklearn"} == {*found}
    assert all(found.values())
    assert {"python", "flskew", "flwr", "numpy"} == {*key_of(Holds(1)).versions}
