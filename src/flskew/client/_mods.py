"""Flower's modifiers around a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict

from flskew._wire import FEDDYN_ALPHA_KEY, SCAFFOLD_KEY
from flskew.client._protocols import ClientError
from flskew.typing import Mod

__all__ = ["Answer", "check_mods", "with_mods", "with_train_mods"]

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


def with_train_mods(train: Answer, mods: Sequence[Mod]) -> Answer:
    """Return `train` inside mods, which may not change its arrays if the strategy keeps state on its clients.

    That state follows from what `fit` returned, and the server's from what it receives. And a mod that adds noise to
    the model would not protect SCAFFOLD's control variate, which is a second ArrayRecord.
    """
    if not mods:
        return train

    def answer(message: Message, context: Context) -> Message:
        strategy = _strategy_with_state(message.content)
        if not strategy:
            return with_mods(train, mods)(message, context)
        made: list[dict[str, ArrayRecord]] = []

        def noted(message: Message, context: Context) -> Message:
            reply = train(message, context)
            made.append(_arrays(reply))
            return reply

        reply = with_mods(noted, mods)(message, context)
        if not isinstance(reply, Message) or not made:
            return reply
        if reply.has_error() or _arrays(reply) != made[-1]:
            does = "refuses" if reply.has_error() else "changes"
            raise ClientError(
                f"{strategy} needs every array of the reply as the client made it, but a mod {does} them; remove the "
                "mod, or use FedAvg or FedProx"
            )
        return reply

    return answer


def _strategy_with_state(content: RecordDict) -> str:
    """Return the strategy that keeps state on its clients; empty if this is another one."""
    for record in content.values():
        if isinstance(record, ConfigRecord) and FEDDYN_ALPHA_KEY in record:
            return "FedDyn"
        if isinstance(record, ConfigRecord) and record.get(SCAFFOLD_KEY) is True:
            return "Scaffold"
    return ""


def _arrays(reply: Message) -> dict[str, ArrayRecord]:
    """Return copies of the records with arrays, which share their bytes."""
    content = reply.content if reply.has_content() else {}
    return {key: ArrayRecord(dict(record)) for key, record in content.items() if isinstance(record, ArrayRecord)}


def _call(mod: Mod, call_next: Answer, message: Message, context: Context) -> Message:
    return mod(message, context, call_next)
