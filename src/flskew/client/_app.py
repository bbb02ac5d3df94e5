"""A NumPy client as a Flower `ClientApp` for the Message API."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from flskew._flower import isolated_records, new_records
from flskew._wire import (
    FLSKEW_KEY,
    KEPT_KEY,
    LABELS_KEY,
    LOSS_KEY,
    METRICS_KEY,
    NUM_EXAMPLES_KEY,
    SERVER_ROUND_KEY,
    TERM_KEY,
)
from flskew.client._exchange import Exchange
from flskew.client._failures import Failures
from flskew.client._label_counts import label_counts_record, requested_noise
from flskew.client._metrics import MetricsReader, check_local_epochs, loss_value, num_examples
from flskew.client._model import private_parameters, read_request, record_like, refuse_legacy
from flskew.client._mods import check_mods, with_mods, with_train_mods
from flskew.client._private import checked_patterns, keep_private, private_names, with_private
from flskew.client._protocols import AbsentError, ClientError, SupportsFit
from flskew.client._replies import DoesNotEvaluateError, absent_reply, check_presence, flskew_record
from flskew.typing import Mod, Record

__all__ = ["ClientFn", "client_app"]

ClientFn: TypeAlias = Callable[[Context], SupportsFit | Client]
"""Returns the client of a node for one message. Anything that must last longer goes into `context.state`."""


def client_app(
    client_fn: ClientFn,
    *,
    errors: Literal["private", "full"] = "private",
    mods: Sequence[Mod] = (),
    train_mods: Sequence[Mod] = (),
    evaluate_mods: Sequence[Mod] = (),
    same_shapes: bool = True,
    keep_local: Sequence[str] = (),
) -> ClientApp:
    """Return a Flower `ClientApp` that answers train and evaluate messages with a NumPy client.

    `client_fn(context)` is called for each message and returns any object with `fit(parameters, config) -> (parameters,
    num_examples, metrics)` and, optionally, `evaluate(parameters, config) -> (loss, num_examples, metrics)`. A
    `flwr.client.NumPyClient` is such an object, and so is the result of its `to_client()`. A client without `evaluate`
    replies that it does not evaluate. The strategies of this package then do not ask it again, and Flower's ignore the
    reply. A client with `query(content) -> content`, both `RecordDict`s, also answers Flower's query messages;
    `flskew.tables` uses them.

    The client owns the parameters it receives: writable arrays that nothing else uses. The arrays that `fit` returns
    are sent under the names and the key of the server's record, if their number, shapes and dtypes match those
    received. An array of another dtype is converted if that is exact, such as float32 to float64. bfloat16 is received
    as float32, and rounded when it is returned. Metrics go into the record "metrics", together with "num-examples" and
    the "loss" of `evaluate`. Metrics that cannot be sent, such as text, are left out; the node's log names them.

    If the client has an attribute `assignment`, an `Assignment`, each reply includes its fingerprint. Strategies use it
    to detect clients that split the data differently and so train on each other's rows.

    `assignment` may also be a `Schedule`, in which the rows of a client change from round to round. A client without
    rows in a round is then absent from it: neither `fit` nor `evaluate` is called, and the reply says so.

    If the strategy asks for label counts, as with `ClassAware`, each training reply includes them. They are the
    client's attribute `label_counts`, (num_classes,) integers >= 0, or else the counts of its partition in the
    `assignment`. Other strategies do not receive them.

    Each reply also says which partition the client holds, so that the history of a strategy has results per site: the
    "partition-id" of the node config, and a name if there is one. That is the client's attribute `name`, if it is a
    string, or the partition's name in the `assignment`. Set `name = ""` to send no name.

    If `client_fn`, the client or a mod raises an exception, the reply is an error, and `context.state` is restored.
    Raise `ClientError` to tell the server something: its message is sent. Raise `AbsentError` to take no part in a
    round.

    Args:
        client_fn: Makes the client; `flskew.partition(context)` returns its partition.
        errors: What an error reply says. "private": the type of the exception, where it was raised (file name, line and
            function), and an id. The message and the traceback, which may quote data, stay in the node's log under this
            id. Only the messages of `ClientError`, `ParametersError` and `PartitionIdError` are sent: flskew's own
            quote no data. "full": message and traceback of any exception, for development and simulation.
        mods: Flower's modifiers, for every kind of message; the first one is outermost.
        train_mods: Modifiers for training only, inside `mods`, such as `fixedclipping_mod`.
        evaluate_mods: Modifiers for evaluation only, inside `mods`.
        same_shapes: True requires that `fit` returns arrays of the shapes received. Set it to False for models that
            change shape, such as trees that grow. They keep the names received if their number is the same; otherwise
            they are "0", "1", and so on, with the dtypes returned.
        keep_local: Arrays that never leave this node: shell patterns for names in the server's record, such as `"*bn*"`
            (FedBN) or `"head.*"` (FedPer). Each client trains its own, in `context.state["flskew-private"]`, and `fit`
            and `evaluate` receive them among the parameters. In their place, the reply carries what was received. With
            `without_local`, the server does not send them either.

    Raises:
        TypeError: `client_fn` cannot be called with the context alone, or has Flower's old form, client_fn(cid). Or a
            list of mods or `keep_local` is not a list, or one of its elements has the wrong type.
        ValueError: `errors` has another value, a mod is one of Flower's SecAgg protocols, or `keep_local` has an empty
            pattern or is combined with `same_shapes=False`.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import FedAvg, LocalGrid, client_app
        >>> class Mean:
        ...     def fit(self, parameters, config):
        ...         return [np.array([4.0])], 10, {"loss": np.float32(0.5)}
        >>> app = client_app(lambda context: Mean())
        >>> with LocalGrid(app, num_supernodes=2) as grid:
        ...     strategy = FedAvg(fraction_evaluate=0.0)
        ...     result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
        >>> result.arrays.to_numpy_ndarrays()
        [array([4.])]
        >>> dict(result.train_metrics_clientapp[1])
        {'loss': 0.5}
    """
    _check_client_fn(client_fn)
    for name, given in (("mods", mods), ("train_mods", train_mods), ("evaluate_mods", evaluate_mods)):
        check_mods(name, given)
    patterns = checked_patterns(keep_local)
    if patterns and not same_shapes:
        raise ValueError("keep_local needs a model with constant names and shapes; remove same_shapes=False")
    metrics = MetricsReader()

    def train(message: Message, context: Context) -> Message:
        return _train(_make_client(client_fn, context), context, message, metrics, patterns, same_shapes=same_shapes)

    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(_make_client(client_fn, context), context, message, metrics, patterns)

    def query(message: Message, context: Context) -> Message:
        return _query(_make_client(client_fn, context), context, message)

    app = _App(Failures(errors))
    app.train()(with_train_mods(train, [*mods, *train_mods]))
    app.evaluate()(with_mods(evaluate, [*mods, *evaluate_mods]))
    app.query()(with_mods(query, mods))
    return app


class _App(ClientApp):
    """A `ClientApp` that turns exceptions into error replies; Flower's engines would send the text of an exception.

    It does so outside the mods, since some of Flower's cannot handle replies without content.
    """

    def __init__(self, failures: Failures) -> None:
        super().__init__()
        self._failures = failures

    def __call__(self, message: Message, context: Context) -> Message:
        before = isolated_records(context.state)
        try:
            refuse_legacy(message)
            reply = super().__call__(message, context)
            if not isinstance(reply, Message):
                raise ClientError(f"a mod returned {type(reply).__name__}; end it with `return reply`, a Message")
        except DoesNotEvaluateError as refusal:
            return refusal.reply(message)
        except AbsentError as absence:
            context.state = before
            return absent_reply(absence, message)
        except Exception as error:
            # Engines differ in whether the state of a failed client survives.
            context.state = before
            return self._failures.reply(error, message)
        return reply


def _train(
    client: object,
    context: Context,
    message: Message,
    metrics_reader: MetricsReader,
    patterns: Sequence[str],
    *,
    same_shapes: bool,
) -> Message:
    fit = getattr(client, "fit", None)
    if not callable(fit) or _is_inherited(fit, NumPyClient.fit):
        raise ClientError(f"{type(client).__name__} has no method fit(parameters, config)")
    key, arrays, config = read_request(message)
    if key in (METRICS_KEY, FLSKEW_KEY, LABELS_KEY, TERM_KEY):
        raise ClientError(f"the ArrayRecord is called {key!r}, like another record of the reply; call it 'arrays'")
    check_presence(client, context, config)
    noise, server_round = requested_noise(config), config.get(SERVER_ROUND_KEY)
    model = with_private(arrays, patterns, client, config, context.state)
    private = private_names(model, patterns)
    exchange = Exchange.of(message.content, model, config, context.state, private)
    with exchange.open():
        returned = fit(private_parameters(model), config)
    parameters, count, metrics = _three(returned, client, "fit", "(parameters, num_examples, metrics)")
    record, unsent = metrics_reader.read(metrics, {NUM_EXAMPLES_KEY: num_examples(count, "fit")})
    check_local_epochs(record)
    trained = record_like(model, parameters, same_shapes=same_shapes)
    content: dict[str, Record] = {
        key: keep_private(trained, arrays, patterns, context.state), METRICS_KEY: record,
    }  # fmt: skip
    exchange.close(content, trained, record, context.state)
    if noise is not None:
        counts = content[LABELS_KEY] = label_counts_record(client, context, noise, server_round)
        if private:
            counts[KEPT_KEY] = [place for place, name in enumerate(model) if name in private]
    return _reply(content, flskew_record(client, context, unsent), message)


def _evaluate(
    client: object, context: Context, message: Message, metrics_reader: MetricsReader, patterns: Sequence[str]
) -> Message:
    evaluate = getattr(client, "evaluate", None)
    if not callable(evaluate) or _is_inherited(evaluate, NumPyClient.evaluate):
        raise DoesNotEvaluateError(client)
    _, arrays, config = read_request(message)
    check_presence(client, context, config)
    model = with_private(arrays, patterns, client, config, context.state)
    returned = evaluate(private_parameters(model), config)
    loss, count, metrics = _three(returned, client, "evaluate", "(loss, num_examples, metrics)")
    reserved = {LOSS_KEY: loss_value(loss), NUM_EXAMPLES_KEY: num_examples(count, "evaluate")}
    record, unsent = metrics_reader.read(metrics, reserved)
    return _reply({METRICS_KEY: record}, flskew_record(client, context, unsent), message)


def _query(client: object, context: Context, message: Message) -> Message:
    query = getattr(client, "query", None)
    if not callable(query):
        raise ClientError(f"{type(client).__name__} does not answer queries; give it query(content), see flskew.tables")
    content = query(message.content)
    if not isinstance(content, RecordDict):
        raise ClientError(f"{type(client).__name__}.query must return a RecordDict, got {type(content).__name__}")
    if FLSKEW_KEY in content:
        raise ClientError(f"{type(client).__name__}.query returned a record {FLSKEW_KEY!r}; use another key")
    return _reply(dict(content), flskew_record(client, context, []), message)


def _reply(content: dict[str, Record], record: ConfigRecord, message: Message) -> Message:
    if record:
        content[FLSKEW_KEY] = record
    return Message(new_records(content), reply_to=message)


def _make_client(client_fn: ClientFn, context: Context) -> object:
    client: object = client_fn(context)
    if client is None:
        raise ClientError("client_fn returned None; end it with `return client`")
    if isinstance(client, type):
        raise ClientError(f"client_fn returned the class {client.__name__}; return an instance of it")
    if hasattr(client, "numpy_client"):  # what NumPyClient.to_client() returns
        wrapped: object = client.numpy_client
        return wrapped
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
    # Without an override, NumPyClient's own fit returns nothing, and its evaluate returns a loss of 0.
    return getattr(method, "__func__", None) is flowers
