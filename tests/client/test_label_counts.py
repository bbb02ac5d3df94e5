"""Label counts leave a client only if the strategy asks, and noise is drawn once per run."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from flskew import Assignment, ClassAware, FedAvg, IidPartitioner, LocalGrid, RoundError, client_app
from flskew.client._label_counts import label_counts_record

START = ArrayRecord([np.zeros((3, 2)), np.zeros(3)])
SPLIT = Assignment.from_counts([[3, 0, 1], [0, 2, 2]], labels=[0, 0, 0, 2, 1, 1, 2, 2])
EXACT = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())


class Client:
    """Returns what it received, and has the attributes given."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def fit(self, parameters: Any, config: Any) -> Any:
        config.clear()  # whatever a client does with its config
        return parameters, 4, {}


class Wire:
    """Keeps the label counts that each node sends, in order."""

    def __init__(self) -> None:
        self.sent: dict[int, list[Any]] = defaultdict(list)

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        reply = call_next(message, context)
        self.sent[context.node_id].append(dict(reply.content.get("flskew-labels", {})).get("counts"))
        return reply


def run(strategy: FedAvg, client: Client, rounds: int = 1) -> dict[int, list[Any]]:
    """Return the label counts on the wire, by node and round."""
    wire = Wire()
    with LocalGrid(client_app(lambda context: client, mods=[wire]), 2) as grid:
        strategy.start(grid, START, num_rounds=rounds)
    return wire.sent


def refusal(client: Client) -> str:
    """Return the reason for which the server drops the client."""
    with pytest.raises(RoundError) as error:
        run(FedAvg(fraction_evaluate=0.0, min_replies=2, averaging=ClassAware()), client)
    return error.value.failures[0].reason


def test_the_counts_of_the_partition_come_from_the_assignment() -> None:
    assert run(EXACT, Client(assignment=SPLIT)) == {1000: [[3, 0, 1]], 1001: [[0, 2, 2]]}


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, None])
def test_the_attribute_label_counts_comes_first(dtype: Any) -> None:
    counts = [1, 2, 3] if dtype is None else np.array([1, 2, 3], dtype)
    assert run(EXACT, Client(assignment=SPLIT, label_counts=counts))[1001] == [[1, 2, 3]]


def test_counts_are_not_sent_unless_the_strategy_asks() -> None:
    assert run(FedAvg(fraction_evaluate=0.0), Client(assignment=SPLIT)) == {1000: [None], 1001: [None]}


def test_counts_are_not_sent_with_an_evaluation() -> None:
    class Evaluates(Client):
        def evaluate(self, parameters: Any, config: Any) -> Any:
            return 0.5, 4, {}

    assert run(FedAvg(averaging=ClassAware()), Evaluates(assignment=SPLIT))[1000] == [[3, 0, 1], None]


def test_counts_are_not_kept_in_the_history() -> None:
    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())
    run(strategy, Client(label_counts=[1, 2, 3]))
    assert [set(reply.records) & {"flskew-labels"} for reply in strategy.history[0].replies] == [set(), set()]


# What a client has instead of counts, and what it is told. No text may quote a count.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "Client has no label counts; set its attribute label_counts"),
    "a split without labels": (
        {"assignment": Assignment.from_partitions([[0], [1]])},
        "Client.assignment was made without labels; set its attribute label_counts",
    ),
    "a split of fewer clients": (
        {"assignment": IidPartitioner(1).assign([0, 1, 2])},
        "partition-id in this node's config is not a partition of Client.assignment",
    ),
    "fractions": ({"label_counts": [0.25, 7.5]}, "must be a list of integers, one per class, at least two"),
    "a table": ({"label_counts": [[77, 78], [79, 80]]}, "got an array of shape (2, 2) and dtype int64"),
    "a single class": ({"label_counts": [77]}, "at least two, got an array of shape (1,)"),
    "a method": ({"label_counts": lambda: [77, 78]}, "got an array of shape () and dtype object"),
    "negative counts": ({"label_counts": [77, -78]}, "label_counts must be from 0 to 2^53"),
}


@pytest.mark.parametrize(("attributes", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_client_without_counts_is_told_what_to_do_and_nothing_is_quoted(
    attributes: dict[str, Any], reason: str
) -> None:
    # Without the place where it was raised, and an id, which may be any number.
    told, _, _ = refusal(Client(**attributes)).rpartition(" (")
    assert told.startswith("ClientError: ")
    assert reason in told
    assert not any(number in told for number in ("77", "78", "79", "7.5"))


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf, "1", True])
def test_a_scale_that_is_no_number_of_rows_is_refused(noise: Any) -> None:
    config = ConfigRecord({"label-counts": True, "label-count-noise": noise})
    strategy = FedAvg(fraction_evaluate=0.0)
    with (
        LocalGrid(client_app(lambda context: Client(label_counts=[1, 2, 3])), 2) as grid,
        pytest.raises(RoundError, match=r"must be a number of rows, from 0 to 2\^53"),
    ):
        strategy.start(grid, START, num_rounds=1, train_config=config)


def a_context() -> Context:
    return Context(1, 1, {}, RecordDict(), {})


@pytest.mark.parametrize("scale", [0.5, 4.0, 100.0])
def test_noise_has_the_scale_requested(scale: float) -> None:
    """Mean 0 and variance 2q / (1 - q)^2 with q = exp(-1 / scale); and 0 with probability (1 - q) / (1 + q)."""
    size, q = 30_000, math.exp(-1 / scale)
    sent = label_counts_record(Client(label_counts=np.full(size, 10**6)), a_context(), scale)["counts"]
    noise = np.array(sent) - 10**6
    deviation = math.sqrt(2 * q) / (1 - q)
    # The kurtosis is at most 6 + 1 / variance, so this is far beyond six standard errors.
    assert noise.std() == pytest.approx(deviation, rel=0.05)
    assert abs(noise.mean()) < 6 * deviation / math.sqrt(size)
    zero = (1 - q) / (1 + q)
    assert np.mean(noise == 0) == pytest.approx(zero, abs=6 * math.sqrt(zero / size))


def test_counts_with_noise_are_whole_numbers_from_0() -> None:
    sent = label_counts_record(Client(label_counts=np.zeros(1000, int)), a_context(), 50.0)["counts"]
    assert all(type(count) is int for count in sent)  # type: ignore[union-attr]
    assert min(sent) == 0  # type: ignore[arg-type]
    assert np.mean(np.array(sent) == 0) == pytest.approx(0.5, abs=0.1)  # half of the noise is negative


def test_noise_is_drawn_once_so_the_mean_over_rounds_does_not_remove_it() -> None:
    noisy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware(count_noise=1e6))
    sent = run(noisy, Client(label_counts=[10**9] * 3), rounds=5)
    assert all(len(set(map(tuple, rounds))) == 1 for rounds in sent.values())
    assert sent[1000] != sent[1001]
    # Nor does any seed repeat it in the next run.
    assert run(noisy, Client(label_counts=[10**9] * 3))[1000][0] != sent[1000][0]


def test_new_rows_do_not_show_through_the_noise() -> None:
    context = a_context()
    first = label_counts_record(Client(label_counts=[100, 100]), context, 5.0)
    assert label_counts_record(Client(label_counts=[101, 100]), context, 5.0) == first


@pytest.mark.parametrize("other", [0.0, 4.0])
def test_a_server_cannot_ask_again_with_less_noise(other: float) -> None:
    context = a_context()
    label_counts_record(Client(label_counts=[100, 100]), context, 5.0)
    with pytest.raises(ValueError, match="different scale of noise than before"):
        label_counts_record(Client(label_counts=[100, 100]), context, other)


def test_a_resumed_run_sends_the_same_noise(tmp_path: Path) -> None:
    wire = Wire()
    app = client_app(lambda context: Client(label_counts=[10**9] * 3), mods=[wire])
    for rounds in (1, 3):
        noisy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware(count_noise=1e6))
        with LocalGrid(app, 2) as grid:
            noisy.start(grid, START, rounds, checkpoint_dir=tmp_path, resume=True)
    assert [len(rounds) for rounds in wire.sent.values()] == [3, 3]
    assert all(len(set(map(tuple, rounds))) == 1 for rounds in wire.sent.values())
