"""Whether code is the user's own."""

from __future__ import annotations

import re
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["is_own"]

# Code without a file is generated, like the methods of a dataclass, unless it was typed at a prompt.
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]|^<(?!stdin|ipython-input|python-input)")


def is_own(file: str) -> bool:
    """Return whether a file is the user's own, not part of flskew, Flower, Python or another library."""
    path = Path(file)
    return not _INSTALLED.search(file) and not any(path.is_relative_to(library) for library in _libraries())


@cache
def _libraries() -> tuple[Path, ...]:
    flower = find_spec("flwr")
    own = [
        Path(__file__).parent.parent,
        *(Path(place) for place in (flower and flower.submodule_search_locations) or []),
    ]
    return (*own, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")))
