"""Shifts from text: an assignment file contains what its shift prints as."""

from __future__ import annotations

import ast
from typing import Any

from flskew.shifts.base import Chain, Shift

__all__ = ["parsed"]


def parsed(text: str) -> Shift:
    """Make a shift from what it prints as; nothing is executed but the constructors of shifts, on literals.

    Raises:
        ValueError: The text is not that of a shift, or a class of your own was not imported.
    """
    try:
        tree = ast.parse(text, mode="eval")
        if any(isinstance(node, ast.Set) for node in ast.walk(tree)):
            raise ValueError("it contains a set, which prints in another order in another process; use a tuple")
        shift = _made(tree.body)
    except (RecursionError, MemoryError):  # raised by Python's parser, too
        raise ValueError(f"{text!r:.80} is not a shift: it is nested too deeply") from None
    except (SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r:.80} is not a shift: {error}") from None
    if not isinstance(shift, Shift):
        raise ValueError(f"{text!r:.80} is not a shift")
    return shift


def _made(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Chain(_made(node.left), _made(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        made = Shift._classes.get(node.func.id)
        if made is None:
            raise ValueError(f"it uses {node.func.id}, which is not a class of flskew.shifts; import your own first")
        named = {keyword.arg: _made(keyword.value) for keyword in node.keywords if keyword.arg is not None}
        return made(*map(_made, node.args), **named)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"it contains {ast.unparse(node):.40}, but arguments must be finite numbers, strings, booleans, None, or "
            f"lists, tuples and dicts of these"
        ) from None
