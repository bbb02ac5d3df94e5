"""JSON in which short lists and objects take one line, so that a change of a figure is a change of a line."""

from __future__ import annotations

import json
from pathlib import Path

_WIDTH = 2000


def compact(content: object, indent: int = 0) -> str:
    """Return JSON, with what fits into a line in a line."""
    line = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if len(line) <= _WIDTH or not isinstance(content, dict | list | tuple):
        return line
    inner, outer = " " * (indent + 1), " " * indent
    if isinstance(content, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}:{compact(value, indent + 1)}" for key, value in content.items()
        ]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}}}"
    return "[\n" + ",\n".join(inner + compact(value, indent + 1) for value in content) + f"\n{outer}]"


def write_compact(path: Path, content: object) -> None:
    """Write such a file, replacing an existing one atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(compact(content) + "\n", encoding="utf-8")
    new.replace(path)
