"""Results per site: names and partition ids of replies, in the history, in errors and in the log."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from flskew import Assignment, LocalGrid, client_app, partition_id
from flskew.strategies import Checkpoint, Failure, FedAvg, History, Reply, Round, RoundError

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

ZERO = ArrayRecord([np.zeros(1)])
NAMES = ["Bern", "Lyon", "Graz"]
ASSIGNMENT = Assignment.from_partitions({name: [place] for place, name in enumerate(NAMES)})


class Site:
    """Lyon fails from the second round on."""

    assignment = ASSIGNMENT

    def __init__(self, context: Context) -> None:
        self.number = partition_id(context)

    def fit(self, parameters: Any, config: Any) -> Any:
        if self.number == 1 and config["server-round"] > 1:
            raise ValueError("no data")
        return parameters, 10, {}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return 1.0, 10 * (self.number + 1), {"accuracy": 0.5 + self.number / 10 + config["server-round"] / 100}


def evaluated(server_round: int, *replies: tuple[int, float, int | None, str | None]) -> Round:
    found = (
        Reply(node_id, 1.0, {"accuracy": value}, 1.0, partition_id=number, name=name)
        for node_id, value, number, name in replies
    )
    return Round(server_round, "evaluate", tuple(found), (), 1.0)


def test_a_frame_has_the_partition_and_the_name_of_each_reply_and_failure() -> None:
    strategy = FedAvg()
    strategy.start(LocalGrid(client_app(Site), 3), ZERO, num_rounds=2)
    frame = strategy.history.to_frame()
    assert len(frame) == 2 * 2 * 3
    assert not frame.duplicated(["server_round", "phase", "name"]).any()
    assert frame.groupby("name")["partition_id"].unique().map(list).to_dict() == {"Bern": [0], "Graz": [2], "Lyon": [1]}
    (failed,) = frame[~frame["counted"]].to_dict("records")
    assert (failed["name"], failed["partition_id"], failed["server_round"]) == ("Lyon", 1, 2)


ON_RAY = """
import sys

from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from tests.strategies.test_sites import ZERO, Site

from flskew import FedAvg, client_app

server = ServerApp()


@server.main()
def main(grid, context):
    strategy = FedAvg(min_available_nodes=3)
    strategy.start(grid, ZERO, num_rounds=2)
    strategy.history.to_frame().to_pickle(sys.argv[1])
    strategy.history.clients("accuracy").to_pickle(sys.argv[2])


run_simulation(server, client_app(Site), 3, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_a_frame_has_the_same_rows_on_ray_where_node_ids_are_random(
    repository: Path, python: str, tmp_path: Path
) -> None:
    files = [tmp_path / "frame", tmp_path / "clients"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)])}
    subprocess.run([python, "-c", ON_RAY, *files], check=True, cwd=repository, env=environment, capture_output=True)
    strategy = FedAvg()
    strategy.start(LocalGrid(client_app(Site), 3), ZERO, num_rounds=2)
    columns = ["server_round", "phase", "partition_id", "name", "counted", "metrics.accuracy"]
    here, there = (
        frame[columns].sort_values(columns[:4]).reset_index(drop=True)
        for frame in (strategy.history.to_frame(), pd.read_pickle(files[0]))
    )
    pd.testing.assert_frame_equal(here, there)
    pd.testing.assert_frame_equal(strategy.history.clients("accuracy"), pd.read_pickle(files[1]))


def test_lines_about_a_node_that_has_replied_before_contain_its_name(log: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg(min_replies=3)
    with pytest.raises(RoundError) as caught:
        strategy.start(LocalGrid(client_app(Site), 3), ZERO, num_rounds=2)
    assert "\n  Lyon (node 1001): ValueError at " in str(caught.value)
    assert str(caught.value.failures[0]).startswith("Lyon (node 1001): ValueError at ")
    assert strategy.history.dropped()[0].startswith("Lyon (node 1001): 1 of 2 train replies dropped; ValueError at ")
    assert any("Dropped Lyon (node 1001): ValueError at " in message for message in log.messages)


def test_a_resumed_run_knows_the_names(tmp_path: Path) -> None:
    with LocalGrid(client_app(Site), 3) as grid:
        FedAvg().start(grid, ZERO, num_rounds=1, checkpoint_dir=tmp_path)
        strategy = FedAvg(min_replies=3)
        with pytest.raises(RoundError, match=r"\n  Lyon \(node 1001\): ValueError"):
            strategy.start(grid, ZERO, num_rounds=2, checkpoint_dir=tmp_path, resume=True)
    assert [reply.name for reply in Checkpoint.load(tmp_path).history[0].replies] == NAMES


def shared(fingerprints: list[str | None], ids: list[int]) -> Any:
    def train(index: int, message: Message) -> dict[str, Any]:
        record = ConfigRecord({"partition-id": ids[index]})
        if fingerprints[index] is not None:
            record["assignment"] = fingerprints[index]  # type: ignore[assignment]
        metrics = MetricRecord({"num-examples": 1})
        return {"arrays": message.content["arrays"], "metrics": metrics, "flskew": record}

    return train


def test_nodes_that_hold_the_same_partition_of_the_same_split_are_an_error(federation: MakesFederation) -> None:
    grid = federation(train=shared(["a", "a", "a"], [0, 1, 1]), nodes=3)
    with pytest.raises(RoundError, match=r"both hold partition 1 of the same split, .* start one SuperNode per part"):
        FedAvg(fraction_evaluate=0.0).start(grid, ZERO, num_rounds=1)


def test_nodes_that_may_hold_the_same_partition_are_a_warning_once_in_a_run(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    grid = federation(train=shared(["a", None, None], [1, 1, 1]), nodes=3)
    FedAvg(fraction_evaluate=0.0).start(grid, ZERO, num_rounds=3)
    (warning,) = [message for message in log.messages if "hold partition 1" in message]
    assert "all hold partition 1; if they train on the same rows, start one SuperNode per partition" in warning


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param({"partition-id": -1}, "flskew.partition-id = -1; it must be an integer >= 0", id="negative"),
        pytest.param({"partition-id": True}, "flskew.partition-id = True; it must be", id="a bool"),
        pytest.param({"partition-id": "0"}, "flskew.partition-id = '0'; it must be", id="a text"),
        pytest.param({"partition-name": ""}, "flskew.partition-name = ''; it must be a printable name", id="no text"),
        pytest.param({"partition-name": "a\x1b"}, "flskew.partition-name = 'a\\x1b'; it must be", id="unprintable"),
        pytest.param({"partition-name": "a" * 201}, f"flskew.partition-name = '{'a' * 200}'; it", id="too long"),
        pytest.param({"partition-name": 3}, "flskew.partition-name = 3; it must be", id="a number as name"),
    ],
)
def test_a_reply_with_an_unusable_partition_is_dropped(
    record: dict[str, Any], message: str, federation: MakesFederation
) -> None:
    def train(index: int, asked: Message) -> dict[str, Any]:
        content = {"arrays": asked.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return {**content, "flskew": ConfigRecord(record)} if index else content

    strategy = FedAvg(fraction_evaluate=0.0)
    strategy.start(federation(train=train, nodes=2), ZERO, num_rounds=1)
    (failure,) = strategy.history[0].failures
    assert failure.reason.startswith(message)


def test_clients_are_the_columns_of_one_metric_by_round() -> None:
    strategy = FedAvg()
    strategy.start(LocalGrid(client_app(Site), 3), ZERO, num_rounds=2)
    expected = pd.DataFrame(
        [[0.51, 0.61, 0.71], [0.52, 0.62, 0.72]],
        index=pd.Index([1, 2], name="server_round"),
        columns=pd.Index(NAMES, name="client", dtype=object),
    )
    pd.testing.assert_frame_equal(strategy.history.clients("accuracy"), expected)


def test_a_restarted_node_keeps_its_column() -> None:
    history = History([evaluated(1, (7, 0.1, 0, "Bern"), (8, 0.2, 1, "Lyon")), evaluated(2, (99, 0.3, 0, "Bern"))])
    frame = history.clients("accuracy")
    assert list(frame) == ["Bern", "Lyon"]
    assert frame["Bern"].tolist() == [0.1, 0.3]
    assert math.isnan(frame["Lyon"][2])


@pytest.mark.parametrize(
    ("replies", "labels"),
    [
        pytest.param([(70, 0.1, 1, None), (7, 0.2, 0, None)], [0, 1], id="partitions without names"),
        pytest.param([(70, 0.1, None, None), (7, 0.2, None, None)], [7, 70], id="nodes"),
        pytest.param([(7, 0.1, 0, None), (0, 0.2, None, None)], ["partition 0", "node 0"], id="both"),
        pytest.param(
            [(7, 0.1, 0, "mlp"), (8, 0.2, 1, "mlp")], ["mlp (partition 0)", "mlp (partition 1)"], id="equal names"
        ),
        pytest.param([(7, 0.1, 3, None), (8, 0.2, 3, None)], [7, 8], id="a partition that two nodes hold"),
    ],
)
def test_columns_have_different_labels(replies: list[Any], labels: list[Any]) -> None:
    assert list(History([evaluated(1, *replies)]).clients("accuracy")) == labels


SITES = [("Bern", 0.5, 10.0), ("Lyon", 0.8, 30.0), ("Graz", 0.9, 10.0), ("Brno", math.nan, 50.0)]
ONE_ROUND = History(
    [
        Round(
            1,
            "evaluate",
            tuple(
                Reply(1000 + place, weight, {"accuracy": value}, 1.0, partition_id=place, name=name)
                for place, (name, value, weight) in enumerate(SITES)
            ),
            (),
            1.0,
        )
    ]
)


def test_the_spread_is_that_of_the_clients_with_a_finite_number() -> None:
    (row,) = ONE_ROUND.spread("accuracy").to_dict("records")
    values = np.array([0.5, 0.8, 0.9])
    quartiles = dict(
        zip(["min", "q25", "median", "q75", "max"], np.percentile(values, [0, 25, 50, 75, 100]), strict=True)
    )
    assert row == pytest.approx(
        {
            "clients": 3, "mean": values.mean(), "weighted_mean": (10 * 0.5 + 30 * 0.8 + 10 * 0.9) / 50,
            "std": values.std(), **quartiles, "worst": "Bern", "gap": values.mean() - 0.5,
        }
    )  # fmt: skip
    (row,) = ONE_ROUND.spread("accuracy", lower_is_better=True).to_dict("records")
    assert row["worst"] == "Graz"
    assert row["gap"] == pytest.approx(0.9 - values.mean())


def test_the_worst_clients_come_first_and_nan_before_all() -> None:
    worst = ONE_ROUND.worst("accuracy")
    assert list(worst.index) == ["Brno", "Bern", "Lyon", "Graz"]
    assert worst["gap"].tolist()[1:] == pytest.approx([2.2 / 3 - value for value in (0.5, 0.8, 0.9)])
    assert list(ONE_ROUND.worst("accuracy", lower_is_better=True).index) == ["Brno", "Graz", "Lyon", "Bern"]
    assert len(ONE_ROUND.worst("accuracy", num_clients=2)) == 2
    with pytest.raises(ValueError, match="num_clients"):
        ONE_ROUND.worst("accuracy", num_clients=0)


def test_of_sampled_clients_the_latest_number_counts_against_the_mean_of_its_round() -> None:
    history = History([evaluated(1, (1, 0.2, 0, None), (2, 0.4, 1, None)), evaluated(2, (2, 0.9, 1, None))])
    worst = history.worst("accuracy")
    assert worst.to_dict("index") == {
        0: {"server_round": 1, "value": 0.2, "gap": pytest.approx(0.1)},
        1: {"server_round": 2, "value": 0.9, "gap": 0.0},
    }


def test_a_round_without_a_finite_number_has_no_worst_client() -> None:
    spread = History([evaluated(1, (1, math.nan, 0, None))]).spread("accuracy")
    assert spread["clients"].tolist() == [0]
    assert spread["worst"].isna().all()
    assert math.isnan(spread["gap"][1])


def test_a_round_error_ends_with_the_line_of_the_users_code_that_raised() -> None:
    app = ClientApp()

    @app.train()
    def _(message: Message, context: Context) -> Message:
        Message(RecordDict(), reply_to=message)
        return int("x")  # type: ignore[return-value]

    with pytest.raises(RoundError) as caught:
        FedAvg(fraction_evaluate=0.0).start(LocalGrid(app, 2), ZERO, num_rounds=1)
    line = next(n for n, text in enumerate(Path(__file__).read_text("utf-8").splitlines(), 1) if 'int("x")' in text)
    assert str(caught.value).splitlines()[-1] == f"  raised at {__file__}:{line} in _"
    assert str(caught.value).count("ValueError") == 1


def test_a_failure_that_was_named_says_so() -> None:
    assert str(Failure(1001, "late", name="Bern")) == "Bern (node 1001): late"
