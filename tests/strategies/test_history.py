"""The history of a run, and its export."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower

from flskew import plots
from flskew.strategies import Checked, Checkpoint, Failure, FedAvg, History, Reply, Round

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

HISTORY = History(
    [
        Round(
            1,
            "train",
            (
                Reply(1000, 20.0, {"num-examples": 20, "loss": 0.5}, 1.5, "a" * 64, update_norm=0.25),
                Reply(1001, 4.0, {"num-examples": 4, "loss": math.nan, "by-class": [0.25, math.inf]}, math.nan),
            ),
            (Failure(1002, "ValueError: no data", "Traceback ..."),),
            2.5,
        ),
        Round(1, "evaluate", (Reply(1000, 5.0, {"num-examples": 5, "reason": 3}, 0.5),), (), 0.75),
    ]
)


@pytest.mark.parametrize("value", [HISTORY[0], HISTORY[0].replies[0], HISTORY[0].failures[0]])
def test_history_entries_are_immutable(value: Round | Reply | Failure) -> None:
    for name in vars(value):
        with pytest.raises(AttributeError, match="cannot assign to field"):
            setattr(value, name, None)


def test_a_failure_without_a_traceback_has_an_empty_one() -> None:
    assert Failure(1000, "no data").traceback == ""


def test_a_frame_has_a_row_for_each_node_and_phase() -> None:
    frame = HISTORY.to_frame()
    assert frame[["server_round", "phase", "node_id", "counted", "round_seconds"]].to_numpy().tolist() == [
        [1, "train", 1000, True, 2.5],
        [1, "train", 1001, True, 2.5],
        [1, "train", 1002, False, 2.5],
        [1, "evaluate", 1000, True, 0.75],
    ]
    assert frame["reason"].dropna().tolist() == ["ValueError: no data"]
    assert frame["assignment"].dropna().tolist() == ["a" * 64]
    assert frame["seconds"].dropna().tolist() == [1.5, 0.5]
    assert frame["num_examples"].dropna().tolist() == [20.0, 4.0, 5.0]
    assert frame["update_norm"].dropna().tolist() == [0.25]


def test_metric_columns_cannot_collide_with_other_columns() -> None:
    frame = HISTORY.to_frame()
    assert [name for name in frame if name.startswith("metrics.")] == [
        "metrics.num-examples", "metrics.loss", "metrics.by-class", "metrics.reason",
    ]  # fmt: skip
    assert frame["metrics.loss"].dropna().tolist() == [0.5]
    assert frame["metrics.by-class"][1] == [0.25, math.inf]
    assert frame["metrics.reason"].dropna().tolist() == [3]


def test_the_frame_of_an_empty_history_has_all_columns() -> None:
    frame = History().to_frame()
    assert frame.shape == (0, 13)
    assert list(frame) == [name for name in HISTORY.to_frame() if not name.startswith("metrics.")]


def test_json_lines_contain_the_same_data_as_the_frame(tmp_path: Path) -> None:
    HISTORY.to_jsonl(tmp_path / "history.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text("utf-8").splitlines()]
    assert lines[2] == {
        "server_round": 1, "phase": "train", "node_id": 1002, "counted": False, "absent": False, "num_examples": None,
        "seconds": None, "round_seconds": 2.5, "assignment": None, "reason": "ValueError: no data", "update_norm": None,
        "partition_id": None, "name": None,
        "metrics": {},
    }  # fmt: skip
    assert lines[0]["metrics"] == {"num-examples": 20, "loss": 0.5}
    frame, read = HISTORY.to_frame(), pd.json_normalize(lines)
    assert list(read) == list(frame)
    pd.testing.assert_series_equal(read["metrics.loss"], frame["metrics.loss"])


def test_json_lines_are_strict_json(tmp_path: Path) -> None:
    HISTORY.to_jsonl(str(tmp_path / "history.jsonl"))
    text = (tmp_path / "history.jsonl").read_text("utf-8")

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert lines[1]["metrics"] == {"num-examples": 4, "loss": None, "by-class": [0.25, None]}


def test_a_metric_by_round_has_the_numbers_of_the_replies_that_have_it() -> None:
    later = Round(3, "train", (Reply(1000, 20.0, {"loss": 2}, 1.0), Reply(1003, 20.0, {}, 1.0)), (), 1.0)
    empty = Round(2, "train", (), (Failure(1000, "late"),), 1.0)
    history = History([*HISTORY, empty, later])
    losses = history.metric("loss", "train")
    assert list(losses) == [1, 3]
    assert losses[1][0] == 0.5
    assert math.isnan(losses[1][1])
    assert losses[3] == [2]
    assert history.metric("reason") == {1: [3]}


def test_the_error_of_an_unknown_metric_lists_the_available_ones() -> None:
    with pytest.raises(LookupError, match=r"'loss'; available are \['num-examples', 'reason'\]"):
        HISTORY.metric("loss")
    with pytest.raises(LookupError, match=r"no accepted train reply has the metric 'loss'; available are \[\]"):
        History().metric("loss", "train")


def test_a_metric_that_is_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match=r"metric 'by-class' is a list of 2 numbers; use reply.metrics"):
        HISTORY.metric("by-class", "train")


def test_the_accuracy_plot_accepts_a_metric_of_a_history() -> None:
    replies = tuple(Reply(1000 + node, 1.0, {"accuracy": node / 10}, 1.0) for node in range(3))
    history = History([Round(number, "evaluate", replies, (), 1.0) for number in (1, 2)])
    axes = plots.accuracy(history.metric("accuracy")).axes[0]
    (median,) = axes.lines
    assert median.get_xydata().tolist() == [[1, 0.1], [2, 0.1]]


def test_the_error_of_an_unknown_metric_lists_only_a_few_of_ten_thousand() -> None:
    history = History([Round(1, "evaluate", (Reply(1000, 1.0, {f"m{i}": 1.0 for i in range(10_000)}, 1.0),), (), 1.0)])
    with pytest.raises(LookupError, match=r"'m0', 'm1', .* and 9,990 more") as caught:
        history.metric("loss")
    assert len(str(caught.value)) < 200


def test_ten_thousand_nodes_that_fail_in_the_same_way_share_one_line_with_a_count() -> None:
    failures = tuple(Failure(node, "OSError: no disk") for node in range(10_000))
    (line,) = History([Round(1, "train", (), failures, 1.0)]).dropped()
    assert line == ("nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 9,990 more: 1 of 1 train replies dropped; OSError: no disk")


def test_dropped_replies_are_counted_by_node_and_phase() -> None:
    failed = Round(2, "train", (), (Failure(1000, "early"), Failure(1001, "early"), Failure(1002, "late")), 1.0)
    assert History([*HISTORY, failed]).dropped() == [
        "node 1002: 2 of 2 train replies dropped; late",
        "nodes 1000, 1001: 1 of 2 train replies dropped; early",
    ]
    assert History().dropped() == []


STRATEGIES = [FedAvg, lambda **arguments: Checked(flower.FedAvg(**arguments))]
ZERO = ArrayRecord([np.zeros(1)])


def half_fails(index: int, message: Message) -> dict[str, Any]:
    """Reply with an additional record of 40 KB, or fail."""
    if index % 2:
        raise ValueError("no data")
    return {
        "arrays": message.content["arrays"],
        "metrics": MetricRecord({"num-examples": 1, "loss": 0.5}),
        "extra": ConfigRecord({"bytes": os.urandom(40_000)}),
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_additional_records_and_tracebacks_are_kept_for_the_latest_round_only(
    strategy: Any, federation: MakesFederation
) -> None:
    seen = []

    def look(server_round: int, result: object) -> bool:
        seen.append([sorted({*reply.records}) for entry in running.history for reply in entry.replies])
        return False

    running = strategy(fraction_evaluate=1.0)
    running.start(federation(train=half_fails, evaluate=half_fails), ZERO, num_rounds=2, should_stop=look)
    # Two replies in each phase of a round.
    assert seen == [[["extra"] if entry < 2 else ["arrays", "extra"] for entry in range(4)], [[]] * 4 + seen[0]]
    assert [bool(entry.failures[0].traceback) for entry in running.history] == [False, False, True, True]
    assert [entry.failures[0].reason for entry in running.history] == ["ValueError: no data"] * 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_checkpoint_and_a_resumed_run_have_the_history_of_the_run(
    strategy: Any, federation: MakesFederation, tmp_path: Path
) -> None:
    grid = federation(train=half_fails, evaluate=half_fails)
    running = strategy(fraction_evaluate=1.0)
    for rounds in (2, 3):
        running.start(grid, ZERO, rounds, checkpoint_dir=tmp_path, resume=True)
        saved = Checkpoint.load(tmp_path).history
        assert saved == running.history
        detailed = [entry.server_round for entry in saved for reply in entry.replies if reply.records]
        assert detailed == [rounds] * 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_texts_of_a_history_share_one_object(strategy: Any, federation: MakesFederation) -> None:
    def answer(index: int, message: Message) -> dict[str, Any]:
        number = message.content["config"]["server-round"]  # so that Python does not share them on its own
        if index:
            raise ValueError("long ago" + "!" * (number - number + 10))
        metrics = MetricRecord({"num-examples": 1, "lo" + "ss" * (number - number + 1): 0.5})
        return {
            "arrays": message.content["arrays"], "metrics": metrics,
            "flskew": ConfigRecord({"assignment": "ab" * (number - number + 9)}),
        }  # fmt: skip

    running = strategy(fraction_evaluate=0.0)
    running.start(federation(train=answer), ZERO, num_rounds=3)
    for texts in (
        [failure.reason for entry in running.history for failure in entry.failures],
        [reply.assignment for entry in running.history for reply in entry.replies],
        [list(reply.metrics)[1] for entry in running.history for reply in entry.replies],
    ):
        assert len(texts) >= 3
        assert len({id(text) for text in texts}) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_replies_are_freed_after_their_round_even_without_the_garbage_collector(
    strategy: Any, federation: MakesFederation
) -> None:
    # `RecordDict.array_records` makes a reference cycle at each access: two clients of 100 MB peaked at 1.6 GB.
    def train(index: int, message: Message) -> dict[str, Any]:
        return {"arrays": ArrayRecord([np.ones(1)]), "metrics": MetricRecord({"num-examples": 1})}

    alive = []
    running = strategy(fraction_evaluate=0.0)
    gc.collect()
    gc.disable()
    try:
        running.start(
            federation(train=train), ZERO, num_rounds=6,
            should_stop=lambda *_: bool(alive.append(sum(isinstance(o, ArrayRecord) for o in gc.get_objects()))),  # type: ignore[func-returns-value]
        )  # fmt: skip
    finally:
        gc.enable()
    assert len(set(alive[1:])) == 1, alive


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_memory_stays_flat_over_a_thousand_rounds_in_which_half_of_the_clients_fail(
    strategy: Any, federation: MakesFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("flwr"), "disabled", True)  # pytest keeps everything that is logged
    traced = {}

    def look(server_round: int, result: object) -> bool:
        if server_round % 100 == 0:
            traced[server_round] = tracemalloc.get_traced_memory()[0]
        return False

    tracemalloc.start()
    try:
        strategy().start(federation(train=half_fails, nodes=10), ZERO, num_rounds=1000, should_stop=look)
    finally:
        tracemalloc.stop()
    # 2000 replies and failures in 100 rounds.
    assert (traced[1000] - traced[200]) / 8 < 1e6
