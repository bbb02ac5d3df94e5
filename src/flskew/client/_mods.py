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


def check_mods(mods: Sequence[object]) -> None:
    """Refuse mods that cannot work.

    Raises:
        TypeError: A mod is not callable.
        ValueError: A mod is one of Flower's SecAgg protocols.
    """
    for mod in mods:
        if not callable(mod):
            raise TypeError(f"a mod must be callable, got {type(mod).__name__}; pass a list of Flower's mods")
        if str(getattr(mod, "__module__", "")).startswith(_SECAGG):
            name = getattr(mod, "__name__", type(mod).__name__)
            raise ValueError(
                f"{name} answers the messages of SecAggPlusWorkflow, which is part of Flower's legacy ServerApps; no "
                f"strategy of the Message API sends them. Keep ClientApp(client_fn, mods=[{name}]) and the legacy "
                "ServerApp with the workflow, or remove the mod"
            )


def with_mods(answer: Answer, mods: Sequence[Mod]) -> Answer:
    """Return `answer` inside mods, the first one outermost."""
    for mod in reversed(mods):
        answer = partial(_call, mod, answer)
    return answer


def _call(mod: Mod, call_next: Answer, message: Message, context: Context) -> Message:
    return mod(message, context, call_next)
