"""A NumPy client as a Flower `ClientApp` for the Message API."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from flskew._wire import FLSKEW_KEY, LOSS_KEY, METRICS_KEY, NUM_EXAMPLES_KEY
from flskew.client._metrics import check_local_epochs, loss_value, metric_record, num_examples
from flskew.client._model import private_parameters, read_request, record_like
from flskew.client._protocols import ClientError, SupportsEvaluate, SupportsFit, WrapsNumPyClient
from flskew.client._replies import DoesNotEvaluateError, add_fingerprint

__all__ = ["ClientFn", "client_app"]

ClientFn: TypeAlias = Callable[[Context], SupportsFit | Client]
"""Returns the client of a node for one message. What must last longer goes into `context.state`."""

Answer: TypeAlias = Callable[[Message, Context], Message]
Mod: TypeAlias = Callable[[Message, Context, Answer], Message]
"""One of Flower's modifiers, given the message, the context and the function to call next."""


def client_app(client_fn: ClientFn, *, mods: Sequence[Mod] | None = None) -> ClientApp:
    """Return a Flower `ClientApp` that answers train and evaluate messages with a NumPy client.

    `client_fn(context)` is called for each message and returns any object with
    `fit(parameters, config) -> (parameters, num_examples, metrics)` and, if it can,
    `evaluate(parameters, config) -> (loss, num_examples, metrics)`. A `flwr.client.NumPyClient` is such an object, and
    so is the result of its `to_client()`. A client without `evaluate` says so once: the strategies of this package
    do not ask it again, and Flower's pass over its answer.

    The client owns the parameters it is given: writable arrays, private to it. Those it returns go back under the names
    and the key of the server's record, after a check that their count, shapes and dtypes are as they came; bfloat16
    comes as float32 and is rounded on its way back. The metrics go into the record "metrics" beside "num-examples", and
    the loss of `evaluate` under "loss".

    If the client has an attribute `assignment`, an `Assignment`, each reply carries its fingerprint, by which the
    strategies find out that two clients were split differently and train on each other's rows.

    Args:
        client_fn: Makes the client; `flskew.partition(context)` tells it which data are its own.
        mods: Flower's modifiers, the first one outermost.

    Raises:
        TypeError: `client_fn` cannot be called with the context alone, or is of Flower's old form, client_fn(cid).

    Examples:
        >>> import numpy as np
        >>> class Mean:
        ...     def fit(self, parameters, config):
        ...         return [np.array([4.0])], 10, {"loss": np.float32(0.5)}
        >>> app = client_app(lambda context: Mean())
        >>> type(app).__name__
        'ClientApp'
    """
    _check_client_fn(client_fn)
    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        return _train(_make_client(client_fn, context), message)

    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(_make_client(client_fn, context), message)

    evaluate_with_mods = _with_mods(evaluate, mods)

    def evaluate_or_say_that_it_does_not(message: Message, context: Context) -> Message:
        # Outside the mods, since some of Flower's own cannot handle a reply without content.
        try:
            return evaluate_with_mods(message, context)
        except DoesNotEvaluateError as refusal:
            return refusal.reply(message)

    app.train()(_with_mods(train, mods))
    app.evaluate()(evaluate_or_say_that_it_does_not)
    return app


def _with_mods(answer: Answer, mods: Sequence[Mod] | None) -> Answer:
    for mod in reversed(mods or ()):
        answer = partial(_call, mod, answer)
    return answer


def _call(mod: Mod, call_next: Answer, message: Message, context: Context) -> Message:
    return mod(message, context, call_next)


def _train(client: object, message: Message) -> Message:
    if not isinstance(client, SupportsFit) or _is_inherited(client.fit, NumPyClient.fit):
        raise ClientError(f"{type(client).__name__} has no method fit(parameters, config)")
    key, arrays, config = read_request(message)
    if key in (METRICS_KEY, FLSKEW_KEY):
        raise ClientError(f"the ArrayRecord is called {key!r}, like another record of the reply; call it 'arrays'")
    returned = client.fit(private_parameters(arrays), config)
    parameters, count, metrics = _three(returned, client, "fit", "(parameters, num_examples, metrics)")
    record = metric_record(metrics, {NUM_EXAMPLES_KEY: num_examples(count, "fit")})
    check_local_epochs(record)
    reply = RecordDict({key: record_like(arrays, parameters), METRICS_KEY: record})
    add_fingerprint(reply, client)
    return Message(reply, reply_to=message)


def _evaluate(client: object, message: Message) -> Message:
    if not isinstance(client, SupportsEvaluate) or _is_inherited(client.evaluate, NumPyClient.evaluate):
        raise DoesNotEvaluateError(client)
    _, arrays, config = read_request(message)
    returned = client.evaluate(private_parameters(arrays), config)
    loss, count, metrics = _three(returned, client, "evaluate", "(loss, num_examples, metrics)")
    reserved = {LOSS_KEY: loss_value(loss), NUM_EXAMPLES_KEY: num_examples(count, "evaluate")}
    reply = RecordDict({METRICS_KEY: metric_record(metrics, reserved)})
    add_fingerprint(reply, client)
    return Message(reply, reply_to=message)


def _make_client(client_fn: ClientFn, context: Context) -> object:
    client: object = client_fn(context)
    if client is None:
        raise ClientError("client_fn returned None; end it with `return client`")
    if isinstance(client, type):
        raise ClientError(f"client_fn returned the class {client.__name__}; return an object of it")
    if isinstance(client, WrapsNumPyClient):
        return client.numpy_client
    if isinstance(client, Client):
        raise ClientError(f"{type(client).__name__} is a flwr.client.Client; make it a flwr.client.NumPyClient")
    return client


def _check_client_fn(client_fn: object) -> None:
    if isinstance(client_fn, ClientApp) or not callable(client_fn):
        raise TypeError(
            f"client_fn must be a function of the context that returns a client, got {type(client_fn).__name__}; "
            "e.g. client_app(lambda context: MyClient())"
        )
    try:
        signature = inspect.signature(client_fn)
    except (TypeError, ValueError):  # callables written in C may have none
        return
    try:
        (name,) = signature.bind(None).arguments
    except (TypeError, ValueError):
        raise TypeError(
            f"client_fn must take one argument, the context, got {signature}; e.g. lambda context: MyClient()"
        ) from None
    if name == "cid":
        raise TypeError(
            "client_fn(cid) is Flower's old form; make it client_fn(context), and cid = flskew.partition_id(context)"
        )


def _three(returned: object, client: object, method: str, shape: str) -> tuple[object, object, object]:
    is_arrays = isinstance(returned, list) and all(isinstance(value, np.ndarray) for value in returned)
    if is_arrays or not isinstance(returned, tuple | list) or len(returned) != 3:
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)}: ({', '.join(type(value).__name__ for value in returned[:5])})"
        raise ClientError(f"{type(client).__name__}.{method} must return {shape}, got {got}")
    first, second, third = returned
    return first, second, third


def _is_inherited(method: object, flowers: object) -> bool:
    # A NumPyClient that overrides neither inherits a fit that returns nothing and an evaluate whose loss is 0.
    return getattr(method, "__func__", None) is flowers
