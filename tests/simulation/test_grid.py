"""A grid whose nodes live in this process behaves like Flower's own."""

from __future__ import annotations

import contextlib
import enum
import gc
import io
import logging
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from flskew import _flower
from flskew._flower import Identity, _read, new_run
from flskew.client import client_app
from flskew.simulation import LocalGrid
from flskew.typing import Parameters

Handler = Callable[[Message, Context], Any]


def app_of(handler: Handler) -> ClientApp:
    """Return an app that trains with a function, which returns the reply or its content."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        answer = handler(message, context)
        return Message(answer, reply_to=message) if isinstance(answer, RecordDict) else answer

    return app


def echo(message: Message, context: Context) -> RecordDict:
    return message.content


def content(**records: Any) -> RecordDict:
    return RecordDict(records or {"metrics": MetricRecord({"x": 1})})


@pytest.fixture
def grid() -> Iterator[LocalGrid]:
    with LocalGrid(app_of(echo), 3) as grid:
        yield grid


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Records of Flower's logger, which may be set not to propagate them."""
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    return caplog


def messages(grid: Grid, records: RecordDict | None = None, **arguments: Any) -> list[Message]:
    return [Message(records or content(), node, "train", **arguments) for node in grid.get_node_ids()]


def test_it_is_a_flower_grid_with_one_node_per_partition(grid: LocalGrid) -> None:
    assert isinstance(grid, Grid)
    assert grid.get_node_ids() == [1000, 1001, 1002]


def test_nodes_know_their_partition_and_the_run_config() -> None:
    seen = []

    def handler(message: Message, context: Context) -> RecordDict:
        seen.append((context.node_id, context.run_id, dict(context.node_config), dict(context.run_config)))
        return content()

    with LocalGrid(app_of(handler), 2, {"lr": 0.1, "model": {"hidden": 64}}) as grid:
        grid.send_and_receive(messages(grid))
        run_id = grid.run.run_id
        assert dict(grid.run.override_config) == {"lr": 0.1, "model.hidden": 64}
    config = {"lr": 0.1, "model.hidden": 64}
    assert seen == [
        (1000, run_id, {"partition-id": 0, "num-partitions": 2}, config),
        (1001, run_id, {"partition-id": 1, "num-partitions": 2}, config),
    ]


def test_clients_run_in_the_order_of_their_messages() -> None:
    order: list[int] = []

    def handler(message: Message, context: Context) -> RecordDict:
        order.append(context.node_id)
        return content()

    with LocalGrid(app_of(handler), 3) as grid:
        replies = grid.send_and_receive(messages(grid)[::-1])
    assert order == [reply.metadata.src_node_id for reply in replies] == [1002, 1001, 1000]


def test_a_reply_has_the_same_metadata_as_in_flower(grid: LocalGrid) -> None:
    sent = messages(grid, group_id="7", ttl=60.0)
    replies = grid.send_and_receive(iter(sent))
    assert len({message.metadata.message_id for message in (*sent, *replies)}) == 6
    for message, reply in zip(sent, replies, strict=True):
        assert (message.metadata.run_id, message.metadata.src_node_id) == (grid.run.run_id, 1)
        assert reply.metadata.run_id == grid.run.run_id
        assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (message.metadata.dst_node_id, 1)
        assert reply.metadata.reply_to_message_id == message.metadata.message_id
        assert (reply.metadata.group_id, reply.metadata.message_type) == ("7", "train")
        # The rest of the message's own time to live.
        assert 0 < reply.metadata.ttl <= 60


def test_replies_are_pulled_once_by_the_ids_of_the_messages(grid: LocalGrid) -> None:
    first, second, third = grid.push_messages(messages(grid))
    (reply,) = grid.pull_messages([second, second])
    assert reply.metadata.reply_to_message_id == second
    replies = grid.pull_messages([first, second, third])
    assert [reply.metadata.reply_to_message_id for reply in replies] == [first, second, third]
    assert [reply.has_error() for reply in replies] == [False, True, False]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_second_pull_and_an_unknown_id_are_answered_by_the_server_as_on_flowers_grids(
    grid: LocalGrid, is_known: bool
) -> None:
    (message_id,) = grid.push_messages(messages(grid)[:1]) if is_known else ["unknown"]
    if is_known:
        grid.pull_messages([message_id])
    (reply,) = grid.pull_messages([message_id])
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert reply.metadata.reply_to_message_id == message_id
    # What Flower's SuperLink replies, in 1.22 and in 1.42.
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id, reply.metadata.message_type) == (1, 1, "system")


def numbered() -> tuple[LocalGrid, list[int]]:
    """Return a grid whose client counts its runs in its replies, and the list of these counts."""
    ran: list[int] = []

    def handler(message: Message, context: Context) -> RecordDict:
        ran.append(len(ran) + 1)
        return content(metrics=MetricRecord({"x": ran[-1]}))

    return LocalGrid(app_of(handler), 2), ran


def test_one_message_object_sent_twice_in_a_call_is_one_message_as_on_a_superlink() -> None:
    grid, ran = numbered()
    (message, other) = messages(grid)
    with grid:
        assert len(grid.send_and_receive([message, other, message])) == 2
        first, second, third = grid.push_messages([message, other, message])
        assert first == third != second
        assert len(grid.pull_messages([first, second, third])) == 2
    assert ran == [1, 2, 3, 4]


def test_a_message_sent_again_before_its_reply_is_pulled_does_not_run_again() -> None:
    grid, ran = numbered()
    (message, _) = messages(grid)
    with grid:
        ids = [*grid.push_messages([message]), *grid.push_messages([message])]
        (reply,) = grid.pull_messages(ids)
    assert (ids[0] == ids[1], ran, reply.content["metrics"]["x"]) == (True, [1], 1)


def test_a_message_sent_again_after_its_reply_is_a_new_one() -> None:
    grid, ran = numbered()
    (message, _) = messages(grid)
    with grid:
        replies = [*grid.send_and_receive([message]), *grid.send_and_receive([message])]
    assert [reply.content["metrics"]["x"] for reply in replies] == ran == [1, 2]


def test_a_message_to_an_unknown_node_is_skipped_as_in_flowers_simulation(grid: LocalGrid) -> None:
    (reply,) = grid.send_and_receive([Message(content(), 5, "train"), Message(content(), 1001, "train")])
    assert reply.metadata.src_node_id == 1001
    assert grid.send_and_receive([]) == []


def test_create_message_makes_the_same_message_as_the_constructor(grid: LocalGrid) -> None:
    message = grid.create_message(content(), "train", 1001, "3", ttl=5.0)
    assert (message.metadata.dst_node_id, message.metadata.group_id, message.metadata.ttl) == (1001, "3", 5.0)
    (reply,) = grid.send_and_receive([message])
    assert reply.content == content()


def test_the_run_can_be_set_as_in_old_and_new_releases_of_flower(grid: LocalGrid) -> None:
    grid.set_run(77)
    assert grid.run.run_id == 77
    grid.set_run(new_run(78, {}))
    (reply,) = grid.send_and_receive(messages(grid)[:1])
    assert reply.metadata.run_id == 78


def test_a_context_has_the_number_of_the_current_run() -> None:
    seen = []

    def handler(message: Message, context: Context) -> RecordDict:
        seen.append((context.node_id, context.run_id))
        return content()

    with LocalGrid(app_of(handler), 2) as grid:
        first = grid.run.run_id
        grid.send_and_receive(messages(grid)[:1])
        grid.set_run(77)
        grid.send_and_receive(messages(grid))
    assert seen == [(1000, first), (1000, 77), (1001, 77)]


def test_a_client_that_changes_its_message_does_not_affect_the_others() -> None:
    seen = []

    def handler(message: Message, context: Context) -> RecordDict:
        config = {key: str(value) for key, value in message.content["config"].items()}
        seen.append((config, message.content["arrays"]["0"].numpy()[0], len(message.content)))
        message.content["config"]["lr"] = -1.0
        message.content["config"]["layers"].append(9)  # type: ignore[union-attr]
        message.content["arrays"]["0"].data = message.content["arrays"]["1"].data
        del message.content["arrays"]["1"]
        message.content["more"] = MetricRecord()
        message.metadata.dst_node_id = 9
        return content()

    shared = RecordDict(
        {"config": ConfigRecord({"lr": 0.1, "layers": [1, 2]}), "arrays": ArrayRecord([np.zeros(2), np.ones(2)])}
    )
    with LocalGrid(app_of(handler), 3) as grid:
        sent = messages(grid, shared)
        grid.send_and_receive(sent)
    assert seen == [({"lr": "0.1", "layers": "[1, 2]"}, 0.0, 2)] * 3
    assert shared["config"] == {"lr": 0.1, "layers": [1, 2]}
    assert list(shared["arrays"]) == ["0", "1"]
    assert [message.metadata.dst_node_id for message in sent] == [1000, 1001, 1002]


class Level(enum.IntEnum):
    HIGH = 3


def test_values_and_keys_of_subclasses_arrive_as_pythons_own_as_over_a_network() -> None:
    seen = []

    def handler(message: Message, context: Context) -> RecordDict:
        ((name, config),) = message.content.items()
        ((key, value), (_, values)) = config.items()
        seen.extend([type(name), type(key), type(value), type(values[0])])  # type: ignore[index]
        return content(metrics=MetricRecord({"level": Level.HIGH, "levels": [Level.HIGH]}))

    sent = {np.str_("config"): ConfigRecord({np.str_("level"): Level.HIGH, "levels": [Level.HIGH]})}
    with LocalGrid(app_of(handler), 1) as grid:
        (reply,) = grid.send_and_receive(messages(grid, RecordDict(sent)))
    assert seen == [str, str, int, int]
    level, levels = reply.content["metrics"].values()
    assert type(level) is type(levels[0]) is int  # type: ignore[index]


@pytest.mark.parametrize(("name", "value"), [("dtype", 4), ("shape", (2.0,)), ("stype", None), ("data", [1, 2])])
def test_an_array_with_a_value_that_no_network_could_deliver_is_an_error_reply(name: str, value: Any) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        setattr(message.content["arrays"]["0"], name, value)
        return message.content

    with LocalGrid(app_of(handler), 1) as grid:
        (reply,) = grid.send_and_receive(messages(grid, content(arrays=ArrayRecord([np.zeros(2)]))))
    assert "TypeError" in str(reply.error.reason)


def test_a_client_that_keeps_its_context_cannot_change_its_state_later() -> None:
    kept: list[Context] = []

    def handler(message: Message, context: Context) -> RecordDict:
        for earlier in kept:
            earlier.state["count"]["n"] = 99
            earlier.state["more"] = MetricRecord()
            earlier.node_config["partition-id"] = 99
            earlier.run_config["lr"] = 99.0
        context.state["count"] = MetricRecord({"n": 1})
        kept.append(context)
        return content()

    with LocalGrid(app_of(handler), 2, {"lr": 0.1}) as grid:
        for _round in range(2):
            grid.send_and_receive(messages(grid))
        assert grid.node_states() == {node_id: content(count=MetricRecord({"n": 1})) for node_id in (1000, 1001)}
    assert [kept[-1].node_config["partition-id"], kept[-1].run_config["lr"]] == [1, 0.1]


def test_a_client_that_keeps_its_reply_cannot_change_it_later() -> None:
    kept = []

    def handler(message: Message, context: Context) -> RecordDict:
        for earlier in kept:
            earlier["metrics"]["x"] = 99
        kept.append(content())
        return kept[-1]

    with LocalGrid(app_of(handler), 3) as grid:
        replies = grid.send_and_receive(messages(grid))
    assert [reply.content["metrics"]["x"] for reply in replies] == [1, 1, 1]


def test_the_bytes_of_arrays_are_shared_and_not_copied() -> None:
    seen = []

    def handler(message: Message, context: Context) -> RecordDict:
        seen.append(message.content["arrays"]["0"].data)
        return message.content

    shared = RecordDict({"arrays": ArrayRecord([np.zeros(2)])})
    with LocalGrid(app_of(handler), 2) as grid:
        replies = grid.send_and_receive(messages(grid, shared))
    data = shared["arrays"]["0"].data
    assert all(other is data for other in (*seen, *(reply.content["arrays"]["0"].data for reply in replies)))


def test_records_that_flower_has_already_digested_can_be_sent(grid: LocalGrid) -> None:
    shared = RecordDict({"arrays": ArrayRecord([np.zeros(2)])})
    assert shared.object_id  # from here on, deepcopy and pickle fail
    assert len(grid.send_and_receive(messages(grid, shared))) == 3


def test_each_node_keeps_its_own_state_from_round_to_round() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        count = context.state.setdefault("count", MetricRecord({"n": 0}))
        count["n"] += context.node_id
        return RecordDict({"metrics": MetricRecord(dict(count))})

    with LocalGrid(app_of(handler), 2) as grid:
        rounds = [grid.send_and_receive(messages(grid)) for _ in range(3)]
    assert [[reply.content["metrics"]["n"] for reply in replies] for replies in rounds] == [
        [1000, 1001],
        [2000, 2002],
        [3000, 3003],
    ]


def counts(message: Message, context: Context) -> RecordDict:
    """Count the messages in the state, and reply with the state."""
    count = context.state.setdefault("count", MetricRecord({"n": 0}))
    count["n"] += 1  # type: ignore[operator]
    return context.state


def test_a_node_costs_nothing_until_it_is_asked() -> None:
    tracemalloc.start()
    with LocalGrid(app_of(counts), 100_000) as grid:
        (reply,) = grid.send_and_receive([Message(content(), 100_999, "train")])
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert list(grid.node_states()) == [100_999]
        assert grid.send_and_receive([Message(content(), 101_000, "train")]) == []
    assert reply.content["count"] == {"n": 1}
    assert used < 1_000_000


def test_states_are_listed_in_the_order_of_the_nodes_and_without_those_that_have_none() -> None:
    with LocalGrid(app_of(counts), 4) as grid:
        for node_id in (1003, 1000, 1003):
            grid.send_and_receive([Message(content(), node_id, "train")])
        states = grid.node_states()
    assert list(states) == [1000, 1003]
    assert states[1003] == content(count=MetricRecord({"n": 2}))


def test_restored_states_replace_those_of_all_nodes_and_reach_nodes_that_were_never_asked() -> None:
    with LocalGrid(app_of(counts), 3) as grid:
        grid.send_and_receive(messages(grid)[:2])
        grid.restore_node_states({1001: content(count=MetricRecord({"n": 5})), 1002: content()})
        assert grid.node_states() == {1001: content(count=MetricRecord({"n": 5})), 1002: content()}
        replies = grid.send_and_receive(messages(grid))
    assert [reply.content["count"]["n"] for reply in replies] == [1, 6, 1]


def test_the_state_of_an_unknown_node_cannot_be_restored(grid: LocalGrid) -> None:
    with pytest.raises(ValueError, match="node 7 does not exist; nodes are 1000 to 1002"):
        grid.restore_node_states({1000: content(), 7: content()})
    assert grid.node_states() == {}


def test_an_exception_becomes_flowers_error_reply_and_its_changes_to_the_state_are_dropped() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        seen = list(context.state)
        context.state["touched"] = MetricRecord({"x": 1})
        if context.node_id == 1001:
            raise ValueError(f"bad luck, state {seen}")
        return content()

    with LocalGrid(app_of(handler), 3) as grid:
        for _ in range(2):
            replies = grid.send_and_receive(messages(grid))
            assert [reply.has_error() for reply in replies] == [False, True, False]
            error = replies[1].error
            assert error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            assert str(error.reason).startswith("ValueError: bad luck, state []\nTraceback (most recent call last)")
            assert "in handler" in str(error.reason)
            assert replies[1].metadata.src_node_id == 1001


def test_a_client_that_exits_is_an_error_reply() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        raise SystemExit(3)

    with LocalGrid(app_of(handler), 1) as grid:
        (reply,) = grid.send_and_receive(messages(grid))
    assert str(reply.error.reason).startswith("SystemExit: 3")


def test_a_keyboard_interrupt_in_a_client_is_raised() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        raise KeyboardInterrupt

    with LocalGrid(app_of(handler), 1) as grid, pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))


def test_an_interrupted_round_leaves_no_replies() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        if context.node_id == 1001:
            raise KeyboardInterrupt
        return content()

    with LocalGrid(app_of(handler), 2) as grid:
        requests = messages(grid)
        with pytest.raises(KeyboardInterrupt):
            grid.push_messages(requests)
        replies = grid.pull_messages([request.metadata.message_id for request in requests])
        assert [reply.error.code for reply in replies] == [ErrorCode.MESSAGE_UNAVAILABLE] * 2


def test_a_client_left_behind_by_an_interrupt_does_not_change_the_state_of_its_node() -> None:
    started, released = threading.Event(), threading.Event()

    def handler(message: Message, context: Context) -> RecordDict:
        if context.node_id == 1001:
            started.wait()
            raise KeyboardInterrupt
        started.set()
        with contextlib.suppress(KeyboardInterrupt):
            released.wait()
        context.state["late"] = MetricRecord({"x": 1})
        return content()

    with LocalGrid(app_of(handler), 2, max_workers=2) as grid:
        with pytest.raises(KeyboardInterrupt):
            grid.send_and_receive(messages(grid))
        released.set()
        for thread in threading.enumerate():
            if thread.name.startswith("flskew"):
                thread.join()
        assert grid.node_states() == {}


ENDLESS = """
import os
import signal
import threading

import numpy as np
from flwr.app import ArrayRecord

from flskew import FedAvg, LocalGrid, client_app


class Endless:
    def fit(self, parameters, config):
        os.write(1, b"started\\n")  # in one piece, unlike print
        threading.Event().wait()


# A shell's background jobs ignore Ctrl-C, and pass that on to this program.
signal.signal(signal.SIGINT, signal.default_int_handler)
FedAvg().start(LocalGrid(client_app(lambda context: Endless()), 4, max_workers=2), ArrayRecord([np.zeros(1)]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_ends_the_program_while_clients_run_in_threads(python: str) -> None:
    program = subprocess.Popen([python, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == ["started\n"] * 2
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)  # waiting for the clients would take forever
    finally:
        program.kill()
        program.communicate()
    assert errors.endswith("KeyboardInterrupt\n")
    assert program.returncode == -signal.SIGINT


class Unprintable(ValueError):
    def __str__(self) -> str:
        raise SystemExit


class Untraceable(ValueError):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise ValueError


class Interrupting(ValueError):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def test_an_interrupt_while_an_exception_is_printed_is_raised() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        raise Interrupting

    with LocalGrid(app_of(handler), 1) as grid, pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))


class OddText(str):
    def __format__(self, spec: str) -> str:
        raise ValueError

    def __str__(self) -> str:
        return self


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unprintable(), "Unprintable: <text unavailable: SystemExit was raised>\nTraceback (most recent call last)"),
        (Untraceable("odd"), "Untraceable: odd\n<Traceback unavailable: ValueError was raised>"),
        (ValueError(OddText("odd")), "ValueError: odd\n<Traceback unavailable: ValueError was raised>"),
    ],
)
@pytest.mark.parametrize("max_workers", [1, 2])
def test_an_exception_that_cannot_be_printed_is_a_failed_reply(error: Exception, text: str, max_workers: int) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        if context.node_id == 1001:
            raise error
        return content()

    with LocalGrid(app_of(handler), 3, max_workers=max_workers) as grid:
        replies = grid.send_and_receive(messages(grid))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert str(replies[1].error.reason).startswith(text)


def test_clients_that_fail_in_the_same_way_share_one_log_entry(log: pytest.LogCaptureFixture) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        raise ValueError(f"no data on {context.node_id}")

    with LocalGrid(app_of(handler), 1000) as grid:
        replies = grid.send_and_receive(messages(grid))
    assert len(replies) == 1000
    (entry,) = log.messages
    assert entry.startswith(
        "1000 clients failed in the same way, on nodes 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009 "
        "and 990 more. The client of node 1000 raised ValueError: no data on 1000\nTraceback (most recent call last)"
    )


def test_clients_that_fail_differently_are_logged_separately(log: pytest.LogCaptureFixture) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        if context.node_id == 1000:
            raise ValueError("no data")
        if context.node_id == 1001:
            raise ValueError("no labels")
        raise TypeError("no model")

    with LocalGrid(app_of(handler), 3, max_workers=3) as grid:
        grid.send_and_receive(messages(grid))
    assert [entry.partition("\n")[0] for entry in log.messages] == [
        "The client of node 1000 raised ValueError: no data",
        "The client of node 1001 raised ValueError: no labels",
        "The client of node 1002 raised TypeError: no model",
    ]


def test_failures_before_an_interrupt_are_logged(log: pytest.LogCaptureFixture) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        raise KeyboardInterrupt if context.node_id == 1001 else ValueError("no data")

    with LocalGrid(app_of(handler), 2) as grid, pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))
    assert log.messages[0].startswith("The client of node 1000 raised ValueError: no data")


@pytest.mark.parametrize(
    ("node_ids", "entry"),
    [
        ([5], "Node 5 does not exist; its message is lost"),
        ([5, 6], "Nodes 5, 6 do not exist; their 2 messages are lost"),
        (range(20), "Nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more do not exist; their 20 messages are lost"),
    ],
)
def test_nodes_that_do_not_exist_share_one_log_entry(
    node_ids: Sequence[int], entry: str, grid: LocalGrid, log: pytest.LogCaptureFixture
) -> None:
    assert grid.send_and_receive([Message(content(), node_id, "train") for node_id in node_ids]) == []
    assert log.messages == [entry]


def test_the_error_of_a_client_app_that_returns_no_reply_says_how_to_make_one() -> None:
    def fresh(message: Message, context: Context) -> Message:
        return Message(content(), 1, "train")

    for handler, reason in (
        (lambda message, context: None, "must return a Message, got NoneType"),
        (fresh, "not a reply"),
    ):
        with LocalGrid(app_of(handler), 1) as grid:
            (reply,) = grid.send_and_receive(messages(grid))
        assert reason in str(reply.error.reason)
        assert "use Message(content, reply_to=message)" in str(reply.error.reason)


def test_a_message_of_a_type_without_a_handler_is_an_error_reply(grid: LocalGrid) -> None:
    (reply,) = grid.send_and_receive([Message(content(), 1000, "evaluate")])
    assert "No evaluate function registered" in str(reply.error.reason)


class Meeting:
    """Lets clients continue once `size` of them run at the same time."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=10)

    def __call__(self, message: Message, context: Context) -> RecordDict:
        self.barrier.wait()
        return content(metrics=MetricRecord({"node": context.node_id}))


def test_max_workers_clients_run_at_the_same_time_and_replies_keep_the_order_of_the_messages() -> None:
    with LocalGrid(app_of(Meeting(3)), 6, max_workers=3) as grid:
        replies = grid.send_and_receive(messages(grid))
    assert [reply.content.metric_records["metrics"]["node"] for reply in replies] == list(range(1000, 1006))


def test_at_most_max_workers_clients_run_at_the_same_time() -> None:
    lock = threading.Lock()
    running = 0
    most = 0

    def handler(message: Message, context: Context) -> RecordDict:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1
        return content()

    with LocalGrid(app_of(handler), 20, max_workers=3) as grid:
        grid.send_and_receive(messages(grid))
    assert most <= 3


def test_one_node_gets_its_messages_in_order_whatever_the_number_of_threads() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        seen = context.state.metric_records.get("seen") or MetricRecord({"numbers": [0]})
        number = message.content.metric_records["metrics"]["x"]
        assert isinstance(number, int)
        time.sleep(0.02 / number)  # the first takes longest, so one that overtook it would finish first
        context.state["seen"] = MetricRecord({"numbers": [*seen["numbers"], number]})  # type: ignore[misc,list-item]
        return context.state

    with LocalGrid(app_of(handler), 3, max_workers=3) as grid:
        sent = [
            Message(content(metrics=MetricRecord({"x": number})), node, "train")
            for number in range(1, 5)
            for node in grid.get_node_ids()
        ]
        last = grid.send_and_receive(sent)[-3:]
    assert [reply.content.metric_records["seen"]["numbers"] for reply in last] == [[0, 1, 2, 3, 4]] * 3


def test_one_worker_runs_messages_to_several_nodes_in_their_order() -> None:
    order = []

    def handler(message: Message, context: Context) -> RecordDict:
        order.append(context.node_id)
        return content()

    with LocalGrid(app_of(handler), 2) as grid:
        grid.send_and_receive([Message(content(), node, "train") for node in (1001, 1000, 1001)])
    assert order == [1001, 1000, 1001]


def test_a_client_that_raises_in_a_thread_is_an_error_reply_like_any_other() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        if context.node_id == 1001:
            raise ValueError("no data")
        return content()

    with LocalGrid(app_of(handler), 3, max_workers=3) as grid:
        replies = grid.send_and_receive(messages(grid))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert "ValueError: no data" in str(replies[1].error.reason)


def test_an_interrupt_in_a_thread_stops_the_round() -> None:
    ran = []

    def handler(message: Message, context: Context) -> RecordDict:
        ran.append(context.node_id)
        time.sleep(0.01)
        raise KeyboardInterrupt

    with LocalGrid(app_of(handler), 100, max_workers=2) as grid, pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))
    assert len(ran) < 100


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (None, TypeError)])
def test_an_invalid_number_of_workers_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_workers must be"):
        LocalGrid(app_of(echo), 1, max_workers=value)


class Clock:
    """Stands for the `time` module."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("grid", "_messages"):
        monkeypatch.setattr(f"flskew.simulation.{module}.time", clock)
    return clock


def test_a_client_that_takes_longer_than_the_timeout_is_late_and_the_others_are_not(clock: Clock) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        clock.now += 31 if context.node_id == 1001 else 29
        return content()

    with LocalGrid(app_of(handler), 3) as grid:
        # The third starts after a minute, but on a network they would work in parallel.
        replies = grid.send_and_receive(messages(grid), timeout=30)
        assert [reply.metadata.src_node_id for reply in replies] == [1000, 1002]
        assert len(grid.send_and_receive(messages(grid))) == 3


def test_time_spent_by_one_client_is_not_counted_for_the_next(clock: Clock) -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        clock.now += 60
        return content()

    began = clock.now
    with LocalGrid(app_of(handler), 3) as grid:
        sent = messages(grid, ttl=100.0)
        assert not any(reply.has_error() for reply in grid.send_and_receive(sent)[2:])
    assert [message.metadata.created_at - began for message in sent] == [0, 60, 120]


def test_a_message_that_outlives_its_time_to_live_is_answered_by_the_server_as_unavailable(clock: Clock) -> None:
    ran = []

    def handler(message: Message, context: Context) -> RecordDict:
        ran.append(context.node_id)
        return content()

    with LocalGrid(app_of(handler), 3) as grid:
        late = Message(content(), 1000, "train", ttl=10.0)
        fast, slow = Message(content(), 1001, "train", ttl=1000.0), Message(content(), 1002, "train", ttl=50.0)
        clock.now += 20
        message_ids = grid.push_messages([late, fast, slow])
        clock.now += 60
        replies = grid.pull_messages(message_ids)
    assert ran == [1001, 1002]
    assert [reply.has_error() for reply in replies] == [True, False, True]
    for message, reply in ((late, replies[0]), (slow, replies[2])):
        assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
        assert reply.metadata.src_node_id == 1
        assert reply.metadata.reply_to_message_id == message.metadata.message_id


def test_flowers_own_strategy_runs_on_it() -> None:
    def handler(message: Message, context: Context) -> RecordDict:
        value = float(context.node_config["partition-id"])
        return content(arrays=ArrayRecord([np.full(2, value)]), metrics=MetricRecord({"num-examples": 1}))

    with LocalGrid(app_of(handler), 3) as grid:
        result = FlowerFedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
    np.testing.assert_allclose(result.arrays["0"].numpy(), [1.0, 1.0])


@pytest.mark.parametrize("value", [0, -1])
def test_fewer_than_one_node_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=f"num_supernodes must be at least 1, got {value}"):
        LocalGrid(ClientApp(), value)


@pytest.mark.parametrize("value", [2.0, "3", None, True])
def test_a_number_of_nodes_that_is_not_an_integer_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"num_supernodes must be an integer, got {value!r}"):
        LocalGrid(ClientApp(), value)


def test_a_numpy_integer_is_an_integer() -> None:
    with LocalGrid(ClientApp(), np.int64(2)) as grid:  # type: ignore[arg-type]
        assert len(grid.get_node_ids()) == 2


@pytest.mark.parametrize("value", [None, lambda context: None, ClientApp])
def test_only_a_client_app_is_accepted(value: Any) -> None:
    with pytest.raises(
        TypeError, match=r"client_app must be a flwr.clientapp.ClientApp, got .*client_app\(client_fn\)"
    ):
        LocalGrid(value, 3)


def test_the_identity_is_that_of_the_latest_open_grid_and_is_restored_at_the_end() -> None:
    before = _read()
    first, second = LocalGrid(ClientApp(), 1), LocalGrid(ClientApp(), 1)
    within = _read()
    first.close()  # not in reverse order of opening
    assert _read() == within
    second.close()
    second.close()
    assert _read() == before


def test_a_grid_that_is_garbage_collected_releases_its_identity() -> None:
    before = _read()
    grid = LocalGrid(ClientApp(), 1)
    Message(content(), 1000, "train")
    del grid
    gc.collect()
    assert _read() == before


def test_an_identity_that_other_code_has_set_in_the_meantime_is_kept() -> None:
    ours = Identity(3)
    theirs = Identity(4)  # stands for Flower's own engine
    Identity._held.remove(theirs)
    within = _read()
    ours.release()
    ours.release()
    assert _read() == within
    Identity._held.append(theirs)
    theirs.release()


def test_flowers_identity_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may release an identity in the middle of another import, so that must import nothing."""
    imported: list[str] = []

    def counted(name: str) -> Any:
        imported.append(name)
        return import_module(name)

    _flower._task_identity.cache_clear()
    monkeypatch.setattr(_flower, "import_module", counted)
    for _ in range(2):
        Identity(7).release()
    assert imported == ["flwr.supercore.task_identity"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_progress_bar_that_is_erased_afterwards(
    grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    grid.send_and_receive(messages(grid))
    shown = terminal.getvalue()
    assert shown.startswith("\rtrain:   0%|")
    assert "0/3" in shown
    assert shown.endswith("\r")
    assert set(shown.split("\r")[-2]) == {" "}  # the bar is erased
    assert "\n" not in shown


def test_it_prints_as_the_call_that_makes_it(grid: LocalGrid) -> None:
    assert re.fullmatch(r"LocalGrid\(client_app=<.*ClientApp.*>, num_supernodes=3\)", repr(grid))


def test_no_progress_bar_is_written_to_a_file(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    grid.send_and_receive(messages(grid))
    assert stream.getvalue() == ""


class Large:
    """Holds its model and one temporary of the same size while it works."""

    def fit(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[Parameters, int, dict[str, float]]:
        own = [array + 1 for array in parameters]
        return own, 10, {"sum": float((own[0] * 2).sum())}

    def evaluate(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[float, int, dict[str, float]]:
        own = [array + 1 for array in parameters]
        return float((own[0] * 2).sum()), 10, {}


@pytest.mark.parametrize("max_workers", [1, 2])
def test_memory_is_used_only_by_running_clients_and_by_replies(max_workers: int) -> None:
    model = ArrayRecord([np.zeros(2**17)])  # 1 MiB
    peaks: dict[tuple[str, int], float] = {}
    for nodes in (4, 40):
        with LocalGrid(client_app(lambda context: Large()), nodes, max_workers=max_workers) as grid:
            for message_type in ("train", "evaluate"):
                content = RecordDict({"arrays": model, "config": ConfigRecord()})
                messages = [Message(content, node_id, message_type) for node_id in grid.get_node_ids()]
                tracemalloc.start()
                replies = grid.send_and_receive(messages)
                peaks[message_type, nodes] = tracemalloc.get_traced_memory()[1] / 2**20
                tracemalloc.stop()
                assert len(replies) == nodes
    # Its parameters, a model, a temporary and a reply: four for each client at work.
    at_work = 4.5 * max_workers
    assert peaks["evaluate", 40] < at_work
    assert peaks["train", 40] < 40 + at_work
    assert peaks["train", 4] < 4 + at_work


def test_a_failure_that_comes_every_round_is_logged_once_by_a_grid(caplog: pytest.LogCaptureFixture) -> None:
    app = ClientApp()

    @app.train()
    def _(message: Message, context: Context) -> Message:
        raise ValueError(f"no data on {context.node_id}")

    with LocalGrid(app, 3) as grid:
        for _round in range(5):
            grid.send_and_receive([Message(RecordDict(), node_id, "train") for node_id in grid.get_node_ids()])
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage().partition(".")[0] for record in errors] == [
        "3 clients failed in the same way, on nodes 1000, 1001, 1002"
    ]
