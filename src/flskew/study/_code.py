"""What a function does, wherever its source stands: its instructions, and the globals that they use."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec, resolve_name
from types import CodeType, ModuleType

from flskew._util.frames import is_own

__all__ = ["global_values", "is_users", "is_users_module", "steps"]

# A class body stores these, which come from where its source stands, and documentation.
_NOT_CODE = ("__doc__", "__firstlineno__", "__static_attributes__")
_SCRIPTS = ("__main__", "__mp_main__")


def is_users(module: str, file: str | None = None) -> bool:
    """Return whether code is the user's own, rather than part of an installed package.

    Args:
        module: Name of its module.
        file: Its file, if that is known.
    """
    if module in _SCRIPTS:  # In a worker process, sys.modules has another script under this name.
        return True
    if file is None or file.startswith("<"):
        if module.partition(".")[0] in sys.stdlib_module_names:
            return False
        file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or is_own(file)


def is_users_module(module: ModuleType) -> bool:
    """Return whether a module is the user's own."""
    return is_users(module.__name__, getattr(module, "__file__", None))


def steps(code: CodeType) -> list[tuple[str, object]]:
    """Return the instructions, each with the value of its argument; constants as they are.

    Positions in tables, line numbers and names of files are left out, and so are docstrings: no instruction uses that
    of a function.
    """
    found: list[tuple[str, object]] = []
    for step in dis.get_instructions(code):
        if step.opname.startswith("STORE") and step.argval in _NOT_CODE and found:
            found.pop()
        else:
            found.append((step.opname, step.argval))
    return found


def global_values(code: CodeType, known: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the globals that code uses by name, and what it uses of the user's own modules.

    Args:
        code: That of a function.
        known: The globals of the function.
    """
    before: list[object] = [None, None]
    current: object = None
    imported: list[ModuleType] = []
    for name, value in steps(code):
        if isinstance(value, CodeType):
            yield from global_values(value, known)
        elif ("GLOBAL" in name or name == "LOAD_NAME") and value in known:
            current = known[str(value)]
            yield str(value), current
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(current, ModuleType) and is_users_module(current):
            current = vars(current).get(str(value))
            yield str(value), current
        else:
            current = None
            if name == "IMPORT_NAME":
                imported += _imported(str(value), before[0], known)
        before = [before[1], value]
    for module in imported:
        yield module.__name__, module
        if is_users_module(module):
            # Names that come from it, or are attributes of it, as far as the instructions tell.
            yield from ((name, vars(module)[name]) for name in sorted(set(code.co_names)) if name in vars(module))


def _imported(name: str, level: object, known: Mapping[str, object]) -> list[ModuleType]:
    """Return a module that code imports; of an installed package, an empty one with its name."""
    try:
        if level:
            name = resolve_name("." * int(str(level)) + name, str(known.get("__package__")))
        root = name.partition(".")[0]
        spec = find_spec(root)
        if spec is None:
            return []
        return [import_module(name) if is_users(root, spec.origin) else ModuleType(root)]
    except Exception:  # It does not exist, or fails when it is imported: code that uses it does, too.
        return []
