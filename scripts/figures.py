"""What the pages that are made of JSON have in common: tables, and how figures are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

MADE_BY = "<!-- Made by `make pages` of the JSON files that it names. Change the script, not the page. -->"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column is aligned to the left and whose others are to the right."""
    lines = ["| " + " | ".join(header) + " |", "| :-- |" + " --: |" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(fraction: float) -> str:
    """Return 0.98765 as 98.8."""
    return f"{100 * fraction:.1f}"


def number(value: float) -> str:
    """Return two digits, and every digit before the point: 0.12, 1.3, 45, 1,234."""
    if value == 0:
        return "0"
    if abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{number(value / 1e-6)} µs"


def made_with(about: dict[str, Any]) -> str:
    """Return the date, the machine and the versions in one sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in about.items() if name not in ("date", "machine"))
    return f"{about['date']}, {about['machine']}; {versions}."
