"""The packages of the extra `study`, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["needed"]


def needed(name: str) -> ModuleType:
    """Return a module of the extra `study`.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"studies need {package}, which is not installed; pip install 'flskew[study]'", name=package
        ) from error
