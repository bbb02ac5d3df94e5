"""What a cell depends on, as a digest: the same for equal tasks in every process, another once code or data change."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import ModuleType
from typing import NamedTuple

from flskew._version import __version__
from flskew.study._digests import Walk

__all__ = ["TaskKey", "code_key", "key_of"]

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


class TaskKey(NamedTuple):
    """What identifies a task.

    Attributes:
        digest: Of its state and its code, 32 hexadecimal digits.
        versions: Of Python, flskew, Flower, NumPy, and the other packages that its code uses.
        parts: The digest of each attribute and global variable, by where it is.
    """

    digest: str
    versions: Mapping[str, str]
    parts: Mapping[str, str]

    def changed(self, later: TaskKey) -> str | None:
        """Return where a later state differs, such as "task.model"; None if it does not."""
        if later.digest == self.digest:
            return None
        places = [place for place in (*self.parts, *later.parts) if self.parts.get(place) != later.parts.get(place)]
        return max(places, key=lambda place: place.count("."), default="task")


def key_of(task: object) -> TaskKey:
    """Return the key of a task.

    State is what is in its attributes. Code is that of its class and of all functions, classes and constants that the
    class uses, as far as they are the user's own; installed packages count by name and version.

    Raises:
        TypeError: An attribute can be neither read nor pickled, such as an open file; or the task is a module.
    """
    if isinstance(task, ModuleType):
        raise TypeError(f"task must be an object, got the module {task.__name__}; write a class with these methods")
    walk = Walk()
    digest = walk.digest(task, "task")
    known = {"python": platform.python_version(), "flskew": __version__}
    others = {*walk.modules, *_backends(walk.modules)} - {*sys.stdlib_module_names, "flskew", "flwr", "numpy"}
    for module in ("flwr", "numpy", *sorted(others)):
        found = _version(module)
        if found is not None:
            known[module] = found
    return TaskKey(digest, known, walk.parts)


def code_key(*classes: type) -> str:
    """Return the digest of the code of classes; those of installed packages count by name."""
    return Walk().digest(list(classes), "")


def _backends(modules: Collection[str]) -> Iterator[str]:
    """Yield the framework that computes for Keras."""
    if "keras" in modules:
        try:
            yield str(import_module("keras").backend.backend())
        except ImportError:  # A task that uses it fails, too.
            return


@cache
def _version(module: str) -> str | None:
    try:
        return version(_DISTRIBUTIONS.get(module, module))
    except PackageNotFoundError:  # a distribution with another name, such as tensorflow-cpu
        names = packages_distributions().get(module)
        return version(names[0]) if names else None
