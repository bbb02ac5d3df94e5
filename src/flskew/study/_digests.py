"""Digests of objects with their code: the same in every process, others once code or data change."""

from __future__ import annotations

import copyreg
import functools
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._util import archive
from flskew.study._code import global_values, is_users, is_users_module, steps

__all__ = ["Walk"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LISTED = {bool, int, float, str, type(None)}  # A list of these prints as no other list does.
# What Python adds to a class, and documentation.
_NOT_CODE = {
    "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__static_attributes__", "__weakref__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl", "__qualname__", "__slotnames__",
}  # fmt: skip
_REMEDY = "make it a functools.cached_property, whose value does not count, or store what it is made from"


class Walk:
    """Visits everything that an object refers to, once.

    Attributes:
        parts: The digest of each attribute and global variable, by where it is.
        modules: The installed modules that were met.
    """

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.modules: set[str] = set()
        self._digests: dict[int, str] = {}
        self._open: dict[int, int] = {}
        self._kept: list[object] = []  # so that no id is used twice
        self._depth_of_code = 0

    def digest(self, value: object, path: str) -> str:
        """Return the digest of a value; `path` says where it is.

        Raises:
            TypeError: Its content cannot be read, such as that of an open file.
        """
        if type(value) in _PLAIN:
            return _hash(*_plain(value))
        key = id(value)
        if key in self._open:  # such as a function that calls itself
            return _hash("cycle", str(len(self._open) - self._open[key]))
        if key not in self._digests:
            self._open[key] = len(self._open)
            self._kept.append(value)
            try:
                self._digests[key] = _hash(*self._parts(value, path))
            finally:
                del self._open[key]
        return self._digests[key]

    def _named(self, entries: Iterable[tuple[str, object]], path: str) -> list[str]:
        """Return the digests of attributes or globals, and remember each."""
        found = []
        for name, entry in entries:
            place = f"{path}.{name}" if path else name
            self.parts[place] = self.digest(entry, place)
            found.append(f"{name}={self.parts[place]}")
        return found

    def _all(self, values: Iterable[object], path: str) -> list[str]:
        return [self.digest(value, f"{path}[{place}]") for place, value in enumerate(values)]

    def _parts(self, value: Any, path: str) -> list[str | bytes]:
        kind = type(value)
        if kind in (np.ndarray, np.memmap):
            return self._array(value, path)
        if isinstance(value, np.generic):
            return ["scalar", value.dtype.str, value.tobytes()]
        if kind in (list, tuple):
            return [kind.__name__, *self._list(value, path)]
        if kind in (set, frozenset):
            return [kind.__name__, *sorted(self.digest(entry, path) for entry in value)]
        if isinstance(value, Mapping) and kind.__module__ == "builtins":  # a dict, or the attributes of a class
            if _are_listed(value) and _are_listed(value.values()):
                return ["dict", *self._list([*value, *value.values()], path)]
            return ["dict", *(self.digest(one, f"{path}[{key!r:.40}]") for key in value for one in (key, value[key]))]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType):
            self._note(value.__name__, is_users_module(value))
            return ["module", value.__name__]
        code = self._callable(value, path)
        return self._state(value, path) if code is None else code

    def _list(self, values: Any, path: str) -> list[str]:
        if _are_listed(values):
            try:
                return [repr([*values])]
            except ValueError:  # an integer of thousands of digits
                pass
        return self._all(values, path)

    def _array(self, array: NDArray[Any], path: str) -> list[str | bytes]:
        kind, shape = array.dtype.kind, str(array.shape)
        if array.dtype.names is not None:
            return ["table", *(part for name in array.dtype.names for part in (name, *self._array(array[name], path)))]
        if kind == "V":  # such as bfloat16
            array = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        elif kind not in "biufcmMSU":
            return ["array", str(array.dtype), shape, *self._list(array.ravel().tolist(), path)]
        dtype = "" if kind == "U" else array.dtype.newbyteorder("<").str
        return ["array", dtype, shape, archive.digest({"": array})]

    def _state(self, value: Any, path: str) -> list[str | bytes]:
        """Return what an object of any other class contains."""
        kind = type(value)
        root = kind.__module__.partition(".")[0]
        try:
            if root == "pandas" and hasattr(value, "memory_usage") and hasattr(value, "index"):
                return ["pandas", *self._frame(value, path)]
            if root == "datasets" and isinstance(getattr(value, "_fingerprint", None), str):
                return ["dataset", value._fingerprint]
            if root in ("jax", "jaxlib", "tensorflow", "torch") and hasattr(value, "__array__"):
                self._note(root, False)
                return ["tensor", kind.__qualname__, *self._array(_as_array(value), path)]
            reduce = copyreg.dispatch_table.get(kind)
            reduced: Any = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception as error:
            if self._depth_of_code:  # a global such as a lock
                return ["unknown", kind.__qualname__]
            raise TypeError(f"{path} is a {kind.__name__}, whose content cannot be read: {error}; {_REMEDY}") from error
        if isinstance(reduced, str):
            self._note(kind.__module__, is_users(kind.__module__))
            return ["global", kind.__qualname__, reduced]
        function, arguments, state, *items = (*reduced, None)[: max(len(reduced), 3)]
        parts = [self.digest(function, path), *self._all(arguments, path), *self._all(map(_listed, items), path)]
        plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if not all(isinstance(one, dict | None) for one in (plain, slots)):
            return ["object", *parts, self.digest(state, path)]
        for attributes in (plain, slots):
            parts += self._named(sorted(_counting(kind, attributes or {}), key=lambda entry: str(entry[0])), path)
        return ["object", *parts]

    def _frame(self, value: Any, path: str) -> Iterator[str | bytes]:
        """Yield what a pandas object contains; its blocks depend on how it was made."""
        import pandas as pd
        from pandas.util import hash_pandas_object

        columns = dict(enumerate(value.items())) if isinstance(value, pd.DataFrame) else {0: (value.name, value)}
        yield from (str(type(value).__name__), self._hashed_index(value.index, path))
        for name, column in columns.values():
            yield from (self.digest(name, path), str(column.dtype))
            if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
                yield from self._array(column.to_numpy(), path)
                continue
            if isinstance(column.dtype, pd.CategoricalDtype):
                yield from self._list(column.cat.categories.tolist(), path)
            try:
                yield from self._array(hash_pandas_object(column, index=False).to_numpy(), path)
            except TypeError:  # such as lists
                yield from self._list(column.tolist(), path)

    def _hashed_index(self, index: Any, path: str) -> str:
        from pandas.util import hash_pandas_object

        hashed = hash_pandas_object(index).to_numpy()
        return _hash(repr(list(index.names)), str(index.dtype), *self._array(hashed, path))

    def _callable(self, value: Any, path: str) -> list[str | bytes] | None:
        """Return what a function or a descriptor does; None for any other object."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, functools._lru_cache_wrapper):
            return ["cached", self.digest(value.__wrapped__, path)]
        if isinstance(value, cached_property):
            return ["cached", self.digest(value.func, path)]
        if isinstance(value, property):
            return ["property", *self._all((value.fget, value.fset, value.fdel), path)]
        if isinstance(value, staticmethod | classmethod):
            return [type(value).__name__, self.digest(value.__func__, path)]
        if isinstance(value, GetSetDescriptorType | MemberDescriptorType):
            return ["slot", value.__name__]
        if isinstance(value, BuiltinFunctionType):
            owner = value.__self__
            is_free = owner is None or isinstance(owner, ModuleType | type)
            return ["builtin", value.__qualname__, "" if is_free else self.digest(owner, path)]
        return None

    def _class(self, value: type) -> list[str | bytes]:
        name = f"{value.__module__}.{value.__qualname__}"
        if self._note(value.__module__, is_users(value.__module__)):
            return ["class", name]
        self._depth_of_code += 1
        try:
            own = sorted((key, entry) for key, entry in vars(value).items() if key not in _NOT_CODE)
            bases = self._all((type(value), *value.__bases__), value.__qualname__)
            return ["class", *bases, *self._named(own, value.__qualname__)]
        finally:
            self._depth_of_code -= 1

    def _function(self, value: FunctionType) -> list[str | bytes]:
        code, module = value.__code__, value.__module__ or ""
        if self._note(module, is_users(module, code.co_filename)):
            return ["function", f"{module}.{value.__qualname__}"]
        self._depth_of_code += 1
        try:
            path = value.__qualname__
            cells = zip(code.co_freevars, value.__closure__ or (), strict=False)
            closure = self._named(((name, cell.cell_contents) for name, cell in cells if _is_filled(cell)), path)
            used = self._named(global_values(code, value.__globals__), module)
            parts = self._all((code, value.__defaults__, value.__kwdefaults__, vars(value)), path)
            return ["function", *parts, *closure, *used]
        finally:
            self._depth_of_code -= 1

    def _code(self, code: CodeType) -> list[str | bytes]:
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0xFFFFFF)
        names = (code.co_varnames, code.co_freevars, code.co_exceptiontable)
        found = [f"{name} {self.digest(argument, code.co_name)}" for name, argument in steps(code)]
        return ["code", str(counts), str(names), *found]

    def _note(self, module: str, is_own: bool) -> bool:
        """Return whether a module is installed, and if so, remember it."""
        if not is_own:
            self.modules.add(module.partition(".")[0])
        return not is_own


def _plain(value: Any) -> tuple[str, str | bytes]:
    kind = type(value)
    return kind.__name__, value if kind in (str, bytes) else hex(value) if kind is int else repr(value)


def _counting(kind: type, attributes: Mapping[Any, object]) -> Iterator[tuple[Any, object]]:
    """Yield the attributes that are part of the state: not what a cached property has computed."""
    for name, entry in attributes.items():
        if not (isinstance(name, str) and isinstance(getattr(kind, name, None), cached_property)):
            yield name, entry


def _as_array(tensor: Any) -> NDArray[Any]:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        try:
            return np.asarray(tensor)
        except TypeError:  # bfloat16
            import torch

            return np.asarray(tensor.contiguous().view(torch.uint8))
    return np.asarray(tensor)


def _are_listed(values: Iterable[object]) -> bool:
    return set(map(type, values)) <= _LISTED


def _listed(items: Any) -> object:
    return list(items) if hasattr(items, "__next__") else items


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _hash(*parts: str | bytes) -> str:
    state = blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(b"%d:" % len(content))
        state.update(content)
    return state.hexdigest()
