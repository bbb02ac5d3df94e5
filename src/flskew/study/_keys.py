"""What a cell depends on, as a digest: the same for equal tasks in every process, another once code or data change."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Set
from functools import cached_property, partial
from hashlib import blake2b
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from flskew._util import archive
from flskew._util.frames import is_own
from flskew._version import __version__

__all__ = ["TaskKey", "key_of"]

_FRAMEWORKS = {
    "jax": "jax", "keras": "keras", "sklearn": "scikit-learn", "tensorflow": "tensorflow", "torch": "torch",
}  # fmt: skip

# What Python adds to a class, and documentation.
_NOT_CODE = {
    "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__static_attributes__", "__weakref__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl", "_is_protocol",
}  # fmt: skip


class TaskKey(NamedTuple):
    """What identifies a task.

    Attributes:
        digest: Of its state and its code, 32 hexadecimal digits.
        versions: Of Python, flskew, Flower, NumPy, and the frameworks that its code uses.
    """

    digest: str
    versions: Mapping[str, str]


def key_of(task: object) -> TaskKey:
    """Return the key of a task.

    State is what is in its attributes. Code is that of its class and of all functions, classes and constants that the
    class uses, as far as they are the user's own; installed packages count by name, frameworks also by version.

    Raises:
        TypeError: An attribute can be neither read nor pickled, such as an open file.
    """
    walk = _Walk()
    digest = walk.digest(task, "task")
    known = {"python": platform.python_version(), "flskew": __version__}
    for module in ("flwr", "numpy", *sorted(walk.frameworks)):
        known[module] = _version(module)
    return TaskKey(digest, known)


def _version(module: str) -> str:
    try:
        return version(_FRAMEWORKS.get(module, module))
    except PackageNotFoundError:  # other distributions of the same module, such as flwr-nightly and tensorflow-cpu
        return str(getattr(import_module(module), "__version__", "unknown"))


class _Walk:
    """Visits everything that an object refers to, once."""

    def __init__(self) -> None:
        self.frameworks: set[str] = set()
        self._digests: dict[int, str] = {}
        self._open: list[int] = []
        self._kept: list[object] = []  # so that no id is used twice

    def digest(self, value: Any, path: str) -> str:
        """Return the digest of a value; `path` says in errors where it is."""
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            return _hash(type(value).__name__, repr(value))
        key = id(value)
        if key in self._open:  # such as a function that calls itself
            return _hash("cycle", str(len(self._open) - self._open.index(key)))
        if key not in self._digests:
            self._open.append(key)
            self._kept.append(value)
            try:
                self._digests[key] = _hash(*self._parts(value, path))
            finally:
                self._open.pop()
        return self._digests[key]

    def _parts(self, value: Any, path: str) -> list[str]:
        kind = type(value)
        if isinstance(value, np.ndarray):
            is_plain = value.dtype.kind not in "OV"
            return ["array", archive.digest({"": value}) if is_plain else self.digest(value.tolist(), path)]
        if isinstance(value, np.generic):
            return ["scalar", str(value.dtype), repr(value.item())]
        if isinstance(value, ModuleType):
            self._note(value.__name__)
            return ["module", value.__name__]
        if isinstance(value, type):
            return self._class(value, path)
        if isinstance(value, FunctionType):
            return self._function(value, path)
        if isinstance(value, CodeType):
            return self._code(value, path)
        if isinstance(value, MethodType):
            return ["method", self.digest(value.__func__, path), self.digest(value.__self__, path)]
        if isinstance(value, BuiltinFunctionType):
            return ["builtin", value.__qualname__]
        if isinstance(value, partial):
            return ["partial", *self._all((value.func, value.args, value.keywords), path)]
        if isinstance(value, staticmethod | classmethod):
            return [kind.__name__, self.digest(value.__func__, path)]
        if isinstance(value, property):
            return ["property", *self._all((value.fget, value.fset, value.fdel), path)]
        if isinstance(value, cached_property):
            return ["property", self.digest(value.func, path)]
        if hasattr(value, "__wrapped__"):  # such as functools.lru_cache
            return ["wrapped", self.digest(value.__wrapped__, path)]
        if isinstance(value, Mapping) and kind.__module__ in ("builtins", "types", "collections"):
            entries = [self._all((key, entry), f"{path}[{key!r:.40}]") for key, entry in value.items()]
            return ["mapping", *sorted(_hash(*entry) for entry in entries)]
        if isinstance(value, Set) and kind.__module__ == "builtins":
            return ["set", *sorted(self.digest(entry, path) for entry in sorted(value, key=repr))]
        if isinstance(value, list | tuple) and kind.__module__ == "builtins":
            return [kind.__name__, *self._all(value, path)]
        if kind.__module__.startswith("pandas."):
            return ["pandas", *self._pandas(value, path)]
        for name in ("fingerprint", "_fingerprint"):  # an Assignment, a Hugging Face data set
            if isinstance(getattr(value, name, None), str):
                return ["fingerprint", getattr(value, name)]
        if hasattr(value, "__array__"):  # a tensor
            return ["tensor", kind.__qualname__, self.digest(np.asarray(value), path)]
        return self._object(value, path)

    def _all(self, values: Any, path: str) -> list[str]:
        return [self.digest(value, f"{path}[{place}]") for place, value in enumerate(values)]

    def _pandas(self, value: Any, path: str) -> list[str]:
        from pandas.util import hash_pandas_object

        names = list(getattr(value, "columns", [getattr(value, "name", None)]))
        return [self.digest(np.asarray(hash_pandas_object(value)), path), *self._all(names, path)]

    def _object(self, value: Any, path: str) -> list[str]:
        kind = type(value)
        has_own_state = all(getattr(kind, name) is getattr(object, name) for name in ("__getstate__", "__reduce__"))
        if has_own_state and hasattr(value, "__dict__"):
            # What a cached property has computed is not part of the state.
            state = {
                name: entry
                for name, entry in vars(value).items()
                if not isinstance(getattr(kind, name, None), cached_property)
            }
            parts = [f"{name}={self.digest(entry, f'{path}.{name}')}" for name, entry in sorted(state.items())]
            slots = {name for base in kind.__mro__ for name in getattr(base, "__slots__", ()) if hasattr(value, name)}
            parts += [f"{name}={self.digest(getattr(value, name), f'{path}.{name}')}" for name in sorted(slots)]
            return ["object", self.digest(kind, path), *parts]
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise TypeError(
                f"{path} is a {kind.__name__}, whose content cannot be read: {error}; make it a cached_property, "
                "whose value does not count, or store what it is made from"
            ) from error
        if isinstance(reduced, str):
            return ["global", kind.__module__, reduced]
        return ["reduced", *(self.digest(list(part) if hasattr(part, "__next__") else part, path) for part in reduced)]

    def _class(self, value: type, path: str) -> list[str]:
        module = sys.modules.get(value.__module__)
        name = f"{value.__module__}.{value.__qualname__}"
        file = getattr(module, "__file__", None)
        if value.__module__ == "builtins" or (file is not None and not is_own(file)):
            self._note(value.__module__)
            return ["class", name]
        own = sorted((key, entry) for key, entry in vars(value).items() if key not in _NOT_CODE)
        bases = [self.digest(base, path) for base in value.__bases__]
        return ["class", value.__qualname__, *bases, *(f"{key}={self._lenient(entry)}" for key, entry in own)]

    def _function(self, value: FunctionType, path: str) -> list[str]:
        if not is_own(value.__code__.co_filename) and not value.__code__.co_filename.startswith("<"):
            self._note(value.__module__)
            return ["function", f"{value.__module__}.{value.__qualname__}"]
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        used = [self._lenient(entry) for entry in _globals_of(value.__code__, value.__globals__)]
        given = self._all((value.__code__, value.__defaults__, value.__kwdefaults__), path)
        return ["function", *given, *(self._lenient(cell) for cell in cells), *used]

    def _code(self, code: CodeType, path: str) -> list[str]:
        constants = code.co_consts
        if constants and isinstance(constants[0], str):  # may be the docstring
            constants = constants[1:]
        self._note(*code.co_names)  # of imports within functions
        names = (*code.co_names, *code.co_varnames, *code.co_freevars)
        return ["code", code.co_code.hex(), *names, *self._all(constants, path)]

    def _note(self, *names: str | None) -> None:
        """Remember the frameworks among these names."""
        self.frameworks.update(part for name in names for part in (name or "").split(".") if part in _FRAMEWORKS)

    def _lenient(self, value: Any) -> str:
        """Return the digest of what code refers to, or of its type, such as that of a lock."""
        try:
            return self.digest(value, "")
        except TypeError:
            return _hash("unknown", type(value).__qualname__)


def _globals_of(code: CodeType, known: Mapping[str, object]) -> list[object]:
    """Return the globals that code uses, and what it uses of the user's own modules."""
    names = sorted(_names(code))
    found = [known[name] for name in names if name in known]
    for module in [value for value in found if isinstance(value, ModuleType)]:
        file = getattr(module, "__file__", None)
        if file is not None and is_own(file):
            found += [vars(module)[name] for name in names if name in vars(module)]
    return found


def _names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _hash(*parts: str) -> str:
    state = blake2b(digest_size=16)
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()
