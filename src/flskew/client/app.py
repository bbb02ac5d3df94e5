"""A NumPy client as a Flower `ClientApp` for the Message API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from flskew.client.metrics import LOSS_KEY, NUM_EXAMPLES_KEY, metric_record, metric_value, num_examples
from flskew.client.protocols import (
    ClientError,
    Config,
    ReturnedParameters,
    SupportsEvaluate,
    SupportsFit,
    WrapsNumPyClient,
)
from flskew.parameters import Parameters, array_from_numpy, parameters_from_record

__all__ = ["ClientFn", "client_app"]

ClientFn: TypeAlias = Callable[[Context], SupportsFit | Client]
"""Makes the client of one node for one message; what must last longer goes into `context.state`."""

Mod: TypeAlias = Callable[[Message, Context, Callable[[Message, Context], Message]], Message]
"""One of Flower's modifiers: it gets the message, the context and what to call next."""

Record = TypeVar("Record", ArrayRecord, ConfigRecord)

_METRICS_KEY = "metrics"


def client_app(client_fn: ClientFn, *, mods: Sequence[Mod] | None = None) -> ClientApp:
    """Return a Flower `ClientApp` that answers train and evaluate messages with a NumPy client.

    `client_fn(context)` is called for each message and returns any object with
    `fit(parameters, config) -> (parameters, num_examples, metrics)` and, unless the strategy's fraction_evaluate is 0,
    `evaluate(parameters, config) -> (loss, num_examples, metrics)`. A `flwr.client.NumPyClient` is such an object, and
    so is the result of its `to_client()`.

    The client owns the parameters it is given: writable arrays, private to it. Those it returns go back under the names
    and the key of the server's record, after a check that their count, shapes and dtypes are as they came. The metrics
    go into the record "metrics" beside "num-examples", and the loss of `evaluate` under "loss".

    Args:
        client_fn: Makes the client; `flskew.client.partition(context)` tells it which data are its own.
        mods: Flower's modifiers, the first one outermost.

    Raises:
        TypeError: `client_fn` cannot be called.

    Example:
        >>> import numpy as np
        >>> class Mean:
        ...     def fit(self, parameters, config):
        ...         return [np.array([4.0])], 10, {"loss": np.float32(0.5)}
        >>> app = client_app(lambda context: Mean())
        >>> type(app).__name__
        'ClientApp'
    """
    if isinstance(client_fn, ClientApp) or not callable(client_fn):
        raise TypeError(
            f"client_fn must be a function of the context that returns a client, got {type(client_fn).__name__}; "
            "e.g. client_app(lambda context: MyClient())"
        )
    app = ClientApp(mods=list(mods) if mods is not None else None)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(_make_client(client_fn, context), message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(_make_client(client_fn, context), message)

    return app


def _train(client: object, message: Message) -> Message:
    if not isinstance(client, SupportsFit) or _is_inherited(client.fit, NumPyClient.fit):
        raise ClientError(f"{type(client).__name__} has no method fit(parameters, config)")
    key, arrays, config = _request(message)
    returned = client.fit(_private_copies(arrays), config)
    parameters, count, metrics = _three(returned, client, "fit", "(parameters, num_examples, metrics)")
    reply = RecordDict()
    reply[key] = _checked_record(parameters, arrays)
    reply[_METRICS_KEY] = metric_record(metrics, {NUM_EXAMPLES_KEY: num_examples(count)})  # type: ignore[arg-type]
    return Message(reply, reply_to=message)


def _evaluate(client: object, message: Message) -> Message:
    if not isinstance(client, SupportsEvaluate) or _is_inherited(client.evaluate, NumPyClient.evaluate):
        raise ClientError(
            f"{type(client).__name__} has no method evaluate(parameters, config); give it one, or set "
            "fraction_evaluate=0.0 on the strategy"
        )
    _, arrays, config = _request(message)
    returned = client.evaluate(_private_copies(arrays), config)
    loss, count, metrics = _three(returned, client, "evaluate", "(loss, num_examples, metrics)")
    number = metric_value(LOSS_KEY, loss)
    if isinstance(number, list):
        raise ClientError(f"the loss must be one number, got a list of {len(number)}; return its mean")
    reserved = {LOSS_KEY: number, NUM_EXAMPLES_KEY: num_examples(count)}
    return Message(RecordDict({_METRICS_KEY: metric_record(metrics, reserved)}), reply_to=message)  # type: ignore[arg-type]


def _make_client(client_fn: ClientFn, context: Context) -> object:
    client = client_fn(context)
    if isinstance(client, WrapsNumPyClient):
        return client.numpy_client
    if isinstance(client, Client):
        raise ClientError(f"{type(client).__name__} is a flwr.client.Client; make it a flwr.client.NumPyClient")
    return client


def _request(message: Message) -> tuple[str, ArrayRecord, Config]:
    """Return the key of the server's ArrayRecord, the record, and the config as a plain dictionary."""
    key, arrays = _only(message, ArrayRecord)
    if arrays is None:
        raise ClientError("the message carries no ArrayRecord; the strategy sends one under 'arrays'")
    _, config = _only(message, ConfigRecord)
    return key, arrays, {} if config is None else dict(config)


def _only(message: Message, kind: type[Record]) -> tuple[str, Record | None]:
    found = [(key, record) for key, record in message.content.items() if isinstance(record, kind)]
    if len(found) > 1:
        raise ClientError(
            f"the message carries {len(found)} records of type {kind.__name__}, {[key for key, _ in found]}; "
            "a NumPy client takes one"
        )
    return found[0] if found else ("", None)


def _private_copies(arrays: ArrayRecord) -> Parameters:
    return [view.copy(order="K") for view in parameters_from_record(arrays)]


def _three(returned: object, client: object, method: str, shape: str) -> tuple[object, object, object]:
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        got = f"{len(returned)} values" if isinstance(returned, tuple | list) else type(returned).__name__
        raise ClientError(f"{type(client).__name__}.{method} must return {shape}, got {got}")
    first, second, third = returned
    return first, second, third


def _checked_record(parameters: object, sent: ArrayRecord) -> ArrayRecord:
    if not isinstance(parameters, Sequence) or isinstance(parameters, str | bytes):
        raise ClientError(f"fit must return a list of arrays, got {type(parameters).__name__}")
    returned: ReturnedParameters = parameters
    if len(returned) != len(sent):
        raise ClientError(f"fit was given {len(sent)} arrays and returned {len(returned)}; return them all, in order")
    record = ArrayRecord()
    for array, (name, origin) in zip(returned, sent.items(), strict=True):
        made = array_from_numpy(array, f"array {name!r}")
        if tuple(made.shape) != tuple(origin.shape):
            raise ClientError(f"array {name!r}: came with shape {tuple(origin.shape)}, returned with {made.shape}")
        if np.dtype(made.dtype) != np.dtype(origin.dtype):
            raise ClientError(
                f"array {name!r}: came as {origin.dtype}, returned as {made.dtype}; "
                f"use .astype({origin.dtype!r}), or update it in place"
            )
        record[name] = made
    return record


def _is_inherited(method: object, flowers: object) -> bool:
    # A NumPyClient that overrides neither inherits a fit that returns nothing and an evaluate whose loss is 0.
    return getattr(method, "__func__", None) is flowers
