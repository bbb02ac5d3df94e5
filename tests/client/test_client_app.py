"""A NumPy client as a Flower app."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flwr.client
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from flskew._wire import does_not_evaluate
from flskew.client import client_app
from flskew.client._metrics import MetricsReader
from flskew.simulation import LocalGrid


class RefusedError(Exception):
    """The reason of an error reply."""


Fit = Callable[[list[NDArray[Any]], dict[str, Any]], Any]
ARRAYS = ArrayRecord({"conv.weight": Array(np.arange(6, dtype=np.float32).reshape(2, 3)), "steps": Array(np.array(7))})


class Client:
    """A client from one or two functions."""

    def __init__(self, fit: Fit, evaluate: Fit | None = None) -> None:
        self.fit = fit
        if evaluate is not None:
            self.evaluate = evaluate


def echo(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
    return parameters, 3, {}


@pytest.fixture(autouse=True)
def _identity() -> Iterator[None]:
    """Flower needs a grid's identity to make messages."""
    with LocalGrid(ClientApp(), 1):
        yield


def context() -> Context:
    return Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})


def answer(client: object, kind: str = "train", records: Mapping[str, Any] | None = None) -> Message:
    """Return the message that the client's app replies."""
    content = RecordDict({"arrays": ARRAYS, "config": ConfigRecord({"lr": 0.5})} if records is None else {**records})
    return client_app(lambda context: client)(Message(content, 1000, kind), context())  # type: ignore[arg-type, return-value]


def ask(client: object, kind: str = "train", records: Mapping[str, Any] | None = None) -> RecordDict:
    """Return the content of that message.

    Raises:
        RefusedError: It is an error.
    """
    reply = answer(client, kind, records)
    if reply.has_error():
        raise RefusedError(reply.error.reason)
    return reply.content


def test_names_shapes_dtypes_and_values_survive_the_round_trip() -> None:
    def fit(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        weight, steps = parameters
        return [weight * 2, steps + 1], 3, {}

    reply = ask(Client(fit))["arrays"]
    assert list(reply) == ["conv.weight", "steps"]
    weight, steps = reply.to_numpy_ndarrays()
    np.testing.assert_array_equal(weight, 2 * ARRAYS["conv.weight"].numpy(), strict=True)
    np.testing.assert_array_equal(steps, np.array(8), strict=True)


def test_a_client_may_change_its_parameters_in_place() -> None:
    before = [array.data for array in ARRAYS.values()]
    seen = []

    def fit(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        seen.append([array.copy() for array in parameters])
        for array in parameters:
            array[...] = 0
        return parameters, 3, {}

    client = Client(fit)
    ask(client)
    ask(client)
    assert [array.data for array in ARRAYS.values()] == before
    np.testing.assert_array_equal(seen[0][0], seen[1][0])


def test_fortran_order_is_kept_in_both_directions() -> None:
    matrix = np.asfortranarray(np.arange(6.0).reshape(2, 3))

    def fit(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        assert parameters[0].flags.f_contiguous
        return parameters, 1, {}

    reply = ask(Client(fit), records={"arrays": ArrayRecord([matrix])})
    np.testing.assert_array_equal(reply["arrays"]["0"].numpy(), matrix)


def test_the_config_is_a_plain_dictionary_and_empty_without_a_record() -> None:
    seen: list[object] = []

    def fit(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        seen.append(config)
        return parameters, 3, {}

    ask(Client(fit))
    ask(Client(fit), records={"arrays": ARRAYS})
    assert seen == [{"lr": 0.5}, {}]
    assert type(seen[0]) is dict


def test_the_only_record_of_a_type_is_found_under_any_key_and_the_reply_uses_that_key() -> None:
    reply = ask(Client(echo), records={"model": ARRAYS, "settings": ConfigRecord({"lr": 0.5})})
    assert set(reply) == {"model", "metrics"}


def test_metrics_are_sent_with_the_number_of_examples_and_the_loss() -> None:
    client = Client(
        lambda parameters, config: (parameters, np.int64(3), {"accuracy": np.float32(0.5), "done": np.True_}),
        lambda parameters, config: (np.float32(0.25), 4, {"correct": np.int64(2), "by-class": np.array([0.5, 1])}),
    )
    assert ask(client)["metrics"] == {"num-examples": 3, "accuracy": 0.5, "done": 1}
    assert ask(client, "evaluate")["metrics"] == {
        "loss": 0.25,
        "num-examples": 4,
        "correct": 2,
        "by-class": [0.5, 1.0],
    }
    assert set(ask(client, "evaluate")) == {"metrics"}


class Existing(NumPyClient):
    """A client as in Flower's tutorials."""

    def fit(self, parameters: Any, config: Any) -> Any:
        return [parameters[0] + 1, parameters[1]], 5, {"train_loss": 0.5}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return 0.5, 5, {"accuracy": 0.9}


@pytest.mark.parametrize("make", [Existing, lambda: Existing().to_client()], ids=["itself", "to_client"])
def test_a_flower_numpyclient_works_unchanged(make: Callable[[], object]) -> None:
    assert ask(make())["metrics"] == {"num-examples": 5, "train_loss": 0.5}
    assert ask(make(), "evaluate")["metrics"] == {"loss": 0.5, "num-examples": 5, "accuracy": 0.9}


def test_a_numpyclient_that_flower_wraps_in_another_works_too() -> None:
    class Wrapper(NumPyClient):
        """Like the wrappers in Flower's modules: a fit defined by Flower, but not by NumPyClient."""

        __module__ = "flwr.client.wrapper"

        def fit(self, parameters: Any, config: Any) -> Any:
            return Existing().fit(parameters, config)

    assert ask(Wrapper())["metrics"] == {"num-examples": 5, "train_loss": 0.5}


def test_flowers_other_type_of_client_is_refused_with_a_remedy() -> None:
    class Other(flwr.client.Client):
        pass

    with pytest.raises(RefusedError, match=r"Other is a flwr.client.Client; make it a flwr.client.NumPyClient"):
        ask(Other())


@pytest.mark.parametrize("count", [3, 3.0, np.int32(3), np.float32(3), np.array(3), np.array(3.0)])
def test_the_number_of_examples_may_be_any_type_of_whole_number(count: Any) -> None:
    reply = ask(Client(lambda parameters, config: (parameters, count, {})))
    assert reply["metrics"]["num-examples"] == 3
    assert type(reply["metrics"]["num-examples"]) is int


DICT, SECRET = {"a": 1}, "Alice Smith"


@pytest.mark.parametrize(
    "value",
    ["warm", None, DICT, 1j, [1, "a"], np.eye(2), 2**63, float, [[1]], np.array("a"), b"a", [2**63], object()],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_metric_that_cannot_be_sent_is_left_out_and_the_reply_counts(kind: str, value: object) -> None:
    metrics = {"loss-of-fit": 0.5, "odd": value}
    reply = ask(
        Client(lambda parameters, config: (parameters, 3, metrics), lambda parameters, config: (0.25, 3, metrics)), kind
    )
    sent = {"num-examples": 3, "loss-of-fit": 0.5} | ({} if kind == "train" else {"loss": 0.25})
    assert reply["metrics"] == sent
    assert reply["flskew"] == {"unsent-metrics": ["odd"]}


def test_a_metric_whose_key_is_not_text_is_reported_by_the_type_of_its_key() -> None:
    reply = ask(Client(lambda parameters, config: (parameters, 3, {(SECRET,): 1, 7: 2, "a\n\x1b[31mb": None, "a": 1})))
    assert reply["metrics"] == {"num-examples": 3, "a": 1}
    assert reply["flskew"] == {"unsent-metrics": ["(tuple)", "(int)", "a??[31mb"]}


def test_a_key_that_cannot_be_encoded_is_left_out() -> None:
    assert ask(Client(lambda parameters, config: (parameters, 3, {"\ud800": 1})))["flskew"] == {"unsent-metrics": ["?"]}


def test_each_unsent_name_is_logged_once_and_ten_thousand_in_one_line(
    log: pytest.LogCaptureFixture,
) -> None:
    app = client_app(lambda context: Client(lambda p, config: (p, 3, dict.fromkeys(config["names"], "text"))))  # type: ignore[arg-type, return-value]

    def reply_to(names: list[str]) -> RecordDict:
        config = ConfigRecord({"names": names})
        return app(Message(RecordDict({"arrays": ARRAYS, "config": config}), 1000, "train"), context()).content

    beginning = "Metrics left out of the reply, since only numbers and lists of numbers can be sent: "
    for _ in range(2):
        assert reply_to(["a", "b"])["flskew"] == {"unsent-metrics": ["a", "b"]}
    assert log.messages == [f"{beginning}a, b"]
    log.clear()
    assert len(reply_to([str(number) for number in range(10_000)])["flskew"]["unsent-metrics"]) == 100
    (message,) = log.messages
    assert message.endswith(", 98, 99 and 9900 more")
    assert len(reply_to(["x" * 1000])["flskew"]["unsent-metrics"][0]) == 100


def test_copies_of_a_reader_log_each_unsent_name_once(log: pytest.LogCaptureFixture) -> None:
    reader = MetricsReader()
    for _ in range(3):
        copied = copy.deepcopy(reader)  # as Ray copies the app for each message
        assert copied.read({"when": "today"}, {})[1] == ["when"]
    assert len(log.messages) == 1


def test_a_zero_dimensional_parameter_may_become_a_scalar() -> None:
    reply = ask(
        Client(lambda parameters, config: ([parameters[0] - np.float32(1)], 1, {})),
        records={"arrays": ArrayRecord([np.array(3, np.float32)])},
    )
    np.testing.assert_array_equal(reply["arrays"]["0"].numpy(), np.array(2, np.float32), strict=True)


class OnlyFits(NumPyClient):
    def fit(self, parameters: Any, config: Any) -> Any:
        return parameters, 1, {}


@pytest.mark.parametrize("client", [Client(echo), OnlyFits()], ids=["no method", "Flower's own"])
def test_a_client_without_evaluate_replies_that_it_does_not_evaluate_and_what_to_do(client: object) -> None:
    reply = answer(client, "evaluate")
    assert does_not_evaluate(reply)
    assert reply.error.reason == (
        f"{type(client).__name__} does not evaluate; give it evaluate(parameters, config), or set "
        "fraction_evaluate=0.0 on the strategy so that it is not asked"
    )


def test_other_replies_do_not_mean_that_a_client_does_not_evaluate() -> None:
    assert not does_not_evaluate(answer(Client(echo)))
    request = Message(RecordDict(), 1000, "evaluate")
    for code in range(20):  # Flower's own codes, and possible future ones
        assert not does_not_evaluate(Message(Error(code, "does not evaluate"), reply_to=request))


@pytest.mark.parametrize("client", [object(), NumPyClient()], ids=["no method", "Flower's own"])  # type: ignore[abstract]
def test_a_client_without_fit_is_an_error(client: object) -> None:
    with pytest.raises(RefusedError, match=r"has no method fit\(parameters, config\)"):
        ask(client)


class Detachable:
    """Has a method that only PyTorch tensors have."""

    def detach(self) -> None: ...


WEIGHT, STEPS = (array.numpy() for array in ARRAYS.values())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"Client.fit must return \(parameters, num_examples, metrics\), got NoneType"),
        (([WEIGHT, STEPS], 3), r"metrics\), got tuple of 2: \(list, int\)"),
        ([WEIGHT, STEPS, STEPS], r"got list of 3: \(ndarray, ndarray, ndarray\)"),
        (
            (WEIGHT, 3, {}),
            r"a list of arrays, got one array of shape \(2, 3\); return a list of 2, in the",
        ),
        (({"w": WEIGHT}, 3, {}), "fit must return a list of arrays, got dict; return them in the order received"),
        ((iter([WEIGHT]), 3, {}), "fit must return a list of arrays, got list_iterator"),
        (("ab", 3, {}), "fit must return a list of arrays, got str"),
        (
            ([WEIGHT], 3, {}),
            "fit received 2 arrays and returned 1; return all .*: array 'steps' is missing. For a",
        ),
        (
            ([STEPS], 3, {}),
            r"returned 1; .*: array number 0 should be 'conv.weight' of shape \(2, 3\), but has shape \(\)",
        ),
        (
            ([WEIGHT, STEPS, WEIGHT], 3, {}),
            r"2 arrays and returned 3; .*: array number 2, of shape \(2, 3\), was not",
        ),
        (([None], 3, {}), r"number 0 should be 'conv.weight' of shape \(2, 3\), but has shape None"),
        (
            ([WEIGHT.T, STEPS], 3, {}),
            r"array 'conv.weight' was received with shape \(2, 3\) and .* with \(3, 2\); return",
        ),
        (
            ([WEIGHT.astype(float), STEPS], 3, {}),
            r"'conv.weight' was received as float32 and returned as float64, NumPy's default; "
            r"use .astype\('float32'\), or update it in place",
        ),
        (
            ([WEIGHT.astype(complex), STEPS], 3, {}),
            r"received as float32 and returned as complex128; use .astype\('float32'\)",
        ),
        (([WEIGHT, STEPS.astype(np.uint64)], 3, {}), r"'steps' was received as int64 and returned as uint64; use .as"),
        (([WEIGHT, [7]], 3, {}), "array 'steps': must be a NumPy array, got list; use numpy.asarray"),
        (([WEIGHT, 7], 3, {}), "array 'steps': must be a NumPy array, got int"),
        (([WEIGHT, Detachable()], 3, {}), r"'steps': .* got Detachable; use tensor.detach\(\).cpu\(\).numpy\(\)"),
        (
            ([WEIGHT, STEPS], 2.5, {}),
            r"num_examples, the second value that fit returns, .* got float; return",
        ),
        (([WEIGHT, STEPS], None, {}), r"must be a whole number, got NoneType; .* e.g. len\(dataset\)"),
        (([WEIGHT, STEPS], True, {}), "must be a whole number, got bool; return"),
        (([WEIGHT, STEPS], {}, 3), "must be a whole number, got dict of length 0"),
        (([WEIGHT, STEPS], "3", {}), "must be a whole number, got str of length 1"),
        (([WEIGHT, STEPS], float("nan"), {}), "must be a whole number, got float; return"),
        (([WEIGHT, STEPS], 2**70, {}), "num_examples does not fit 64 bits"),
        (([WEIGHT, STEPS], 3, None), "metrics must be a dictionary, got NoneType; return {} when there are none"),
        (
            ([WEIGHT, STEPS], 3, {"local-epochs": -1}),
            r"metrics\['local-epochs'\] must be one finite number >= 0, got int; report",
        ),
        (
            ([WEIGHT, STEPS], 3, {"local-epochs": [1, 2]}),
            "one finite number >= 0, got list of length 2; report how many",
        ),
        (([WEIGHT, STEPS], 3, {"local-epochs": float("nan")}), "one finite number >= 0, got float"),
        (([WEIGHT, STEPS], 3, {"local-epochs": "two"}), "one finite number >= 0, got str of length 3; report how many"),
        (([WEIGHT, STEPS], 3, {"num-examples": 4}), r"metrics\['num-examples'\] contradicts the num-ex.*; ren"),
    ],
)
def test_an_invalid_result_of_fit_is_an_error_with_a_remedy(returned: object, message: str) -> None:
    with pytest.raises(RefusedError, match=rf"^(Client|Parameters)Error: .*{message}"):
        ask(Client(lambda parameters, config: returned))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            ([1.0, 2.0], 3, {}),
            r"the loss, the first value that evaluate returns, must be one number, got list of length 2; return its",
        ),
        (
            ("low", 3, {}),
            "the loss, .*, must be one number, got str of length 3; return its mean over the rows, then",
        ),
        ((None, 3, {}), "the loss, .* got NoneType"),
        (
            (0.5, {}, 3),
            "num_examples, the second value that evaluate returns, must be a whole number, got dict of length 0",
        ),
        (
            (0.5, 3, {"loss": 0.25}),
            r"metrics\['loss'\] contradicts the loss returned with it; rename it",
        ),
        ((0.5, {}), r"must return \(loss, num_examples, metrics\), got tuple of 2: \(float, dict\)"),
    ],
)
def test_an_invalid_result_of_evaluate_is_an_error_with_a_remedy(returned: object, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        ask(Client(echo, lambda parameters, config: returned), "evaluate")


def test_a_diverged_loss_is_sent_unchanged() -> None:
    metrics = ask(Client(echo, lambda parameters, config: (float("nan"), 3, {"loss": float("nan")})), "evaluate")
    assert np.isnan(metrics["metrics"]["loss"])


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_that_is_not_a_weight_is_sent_for_the_strategy_to_check(count: int) -> None:
    metrics = ask(Client(lambda parameters, config: (parameters, count, {})))["metrics"]
    assert metrics["num-examples"] == count


def test_a_message_without_arrays_or_with_two_records_is_refused() -> None:
    with pytest.raises(RefusedError, match="ClientError: the message has no ArrayRecord"):
        ask(Client(echo), records={"config": ConfigRecord()})
    with pytest.raises(RefusedError, match=r"2 records of type ArrayRecord, \['a', 'b'\]"):
        ask(Client(echo), records={"a": ARRAYS, "b": ARRAYS})


@pytest.mark.parametrize("key", ["metrics", "flskew"])
def test_arrays_under_a_key_that_the_reply_needs_are_refused(key: str) -> None:
    with pytest.raises(RefusedError, match=f"the ArrayRecord is called '{key}', .* call it 'arrays'"):
        ask(Client(echo), records={key: ARRAYS})


def test_metrics_that_the_server_sends_are_ignored() -> None:
    assert "arrays" in ask(Client(echo), records={"arrays": ARRAYS, "extra": MetricRecord({"x": 1})})


def test_the_client_gets_the_context_of_its_node_with_its_state() -> None:
    def client_fn(context: Context) -> Client:
        rounds = context.state.setdefault("memory", MetricRecord({"rounds": 0}))

        def fit(parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
            rounds["rounds"] += 1
            return parameters, 1, {"rounds": rounds["rounds"]}

        return Client(fit)

    app, mine = client_app(client_fn), context()  # type: ignore[arg-type]
    replies = [app(Message(RecordDict({"arrays": ARRAYS}), 1000, "train"), mine).content for _ in range(3)]
    assert [reply["metrics"]["rounds"] for reply in replies] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_the_first_mod_is_outermost(kind: str) -> None:
    calls: list[str] = []

    def named(name: str) -> Any:
        def mod(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
            calls.append(f"{name} {message.metadata.message_type}")
            reply = call_next(message, context)
            calls.append(f"{name} reply")
            return reply

        return mod

    client = Client(echo, lambda parameters, config: (0.5, 1, {}))
    app = client_app(lambda context: client, mods=[named("outer"), named("inner")])  # type: ignore[arg-type, return-value]
    app(Message(RecordDict({"arrays": ARRAYS}), 1000, kind), context())
    assert calls == [f"outer {kind}", f"inner {kind}", "inner reply", "outer reply"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "client_fn returned None; end it with `return client`"),
        (Client, "client_fn returned the class Client; return an instance of it"),
    ],
)
def test_a_client_fn_that_does_not_return_a_client_is_an_error(made: object, message: str) -> None:
    for kind in ("train", "evaluate"):
        with pytest.raises(RefusedError, match=message):
            ask(made, kind)


@pytest.mark.parametrize("client_fn", [lambda: Client(echo), Existing, lambda context, cid: Client(echo)])
def test_a_client_fn_that_does_not_take_the_context_is_refused_immediately(client_fn: object) -> None:
    with pytest.raises(TypeError, match=r"client_fn must take one argument, the context, got \("):
        client_app(client_fn)  # type: ignore[arg-type]


def test_flowers_old_form_of_client_fn_is_refused_with_the_new_one() -> None:
    with pytest.raises(TypeError, match=r"make it client_fn\(context\), and cid = flskew.partition_id\(context\)"):
        client_app(lambda cid: Client(echo))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "client_fn",
    [Client, functools.partial(lambda data, context: Client(echo), None), lambda *args: Client(echo), max],
    ids=["class", "partial", "any arguments", "one without a signature"],
)
def test_any_callable_that_takes_the_context_alone_is_accepted(client_fn: object) -> None:
    assert isinstance(client_app(client_fn), ClientApp)  # type: ignore[arg-type]


@pytest.mark.parametrize("client_fn", [None, Client(echo), ClientApp()])
def test_a_client_fn_that_is_not_callable_is_refused(client_fn: object) -> None:
    with pytest.raises(TypeError, match=r"client_fn must be a function .* client_app\(lambda context: MyClient\(\)\)"):
        client_app(client_fn)  # type: ignore[arg-type]
