"""Flower's modifiers around a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from flwr.app import Context, Message

from flskew.typing import Mod

__all__ = ["Answer", "check_mods", "with_mods"]

Answer: TypeAlias = Callable[[Message, Context], Message]

_SECAGG = "flwr.client.mod.secure_aggregation"


def check_mods(name: str, mods: object) -> None:
    """Refuse mods that cannot work.

    Raises:
        TypeError: They are not a list, or a mod is not callable or is a class.
        ValueError: A mod is one of Flower's SecAgg protocols.
    """
    if not isinstance(mods, Sequence) or isinstance(mods, str):
        raise TypeError(f"{name} must be a list of mods, got {type(mods).__name__}; for a single one, use {name}=[mod]")
    for mod in mods:
        if not callable(mod):
            raise TypeError(f"{name}: a mod must be callable, got {type(mod).__name__}")
        if isinstance(mod, type):
            raise TypeError(f"{name}: a mod must be callable, got the class {mod.__name__}; use {mod.__name__}(...)")
        if str(getattr(mod, "__module__", "")).startswith(_SECAGG):
            secagg = getattr(mod, "__name__", type(mod).__name__)
            raise ValueError(
                f"{secagg} answers the messages of SecAggPlusWorkflow, which is part of Flower's legacy ServerApps; no "
                f"strategy of the Message API sends them. Keep ClientApp(client_fn, mods=[{secagg}]) and the legacy "
                "ServerApp with the workflow, or remove the mod"
            )


def with_mods(answer: Answer, mods: Sequence[Mod]) -> Answer:
    """Return `answer` inside mods, the first one outermost."""
    for mod in reversed(mods):
        answer = partial(_call, mod, answer)
    return answer


def _call(mod: Mod, call_next: Answer, message: Message, context: Context) -> Message:
    return mod(message, context, call_next)
