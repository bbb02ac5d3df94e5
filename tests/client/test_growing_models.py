"""Models whose arrays change shape and number, such as the boosted trees that Flower's FedXgbBagging collects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor

from flskew import FedAvg, LocalGrid, QuantityPartitioner, RoundError, client_app, partition_id, simulate

Arrays = list[NDArray[Any]]

ROWS, TARGETS = load_diabetes(return_X_y=True)
TARGETS = (TARGETS - TARGETS.mean()) / TARGETS.std()
SPLIT = QuantityPartitioner(3, sigma=0.5).assign(range(len(ROWS)))
RATE = 0.1


class Booster:
    """Gradient boosting with XGBoost's JSON format and Flower's protocol: `fit` returns the new tree alone."""

    def __init__(self, context: Context) -> None:
        rows = SPLIT[partition_id(context)]
        self.rows, self.targets = ROWS[rows], TARGETS[rows]

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        assert parameters[0].dtype == np.uint8
        residuals = self.targets - predict(parameters[0], self.rows)
        tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(self.rows, residuals).tree_
        return [as_bytes([tree])], len(self.rows), {}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        return mean_squared_error(parameters[0], self.rows, self.targets), len(self.rows), {}


def as_bytes(trees: list[Any]) -> NDArray[np.uint8]:
    model = {
        "gbtree_model_param": {"num_trees": str(len(trees)), "num_parallel_tree": "1"},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0] * len(trees),
        "trees": [
            {
                "id": number,
                "left_children": tree.children_left.tolist(),
                "right_children": tree.children_right.tolist(),
                "split_indices": tree.feature.tolist(),
                "split_conditions": tree.threshold.tolist(),
                "base_weights": (RATE * tree.value.ravel()).tolist(),
            }
            for number, tree in enumerate(trees)
        ],
    }
    return np.frombuffer(json.dumps({"learner": {"gradient_booster": {"model": model}}}).encode(), np.uint8)


def trees_of(array: NDArray[np.uint8]) -> list[dict[str, Any]]:
    if not array.size:
        return []
    trees: list[dict[str, Any]] = json.loads(array.tobytes())["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def predict(array: NDArray[np.uint8], rows: NDArray[Any]) -> NDArray[Any]:
    predictions = np.zeros(len(rows))
    for tree in trees_of(array):
        nodes = np.zeros(len(rows), int)
        children = np.array([tree["left_children"], tree["right_children"]])
        for _ in range(2):
            goes_right = (
                rows[np.arange(len(rows)), np.array(tree["split_indices"])[nodes]]
                > (np.array(tree["split_conditions"])[nodes])
            )
            nodes = np.where(children[0][nodes] < 0, nodes, children[goes_right.astype(int), nodes])
        predictions += np.array(tree["base_weights"])[nodes]
    return predictions


def mean_squared_error(array: NDArray[np.uint8], rows: NDArray[Any], targets: NDArray[Any]) -> float:
    return float(np.mean((predict(array, rows) - targets) ** 2))


def by_hand() -> ClientApp:
    """The same client, written for the Message API without flskew."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        arrays, count, _ = Booster(context).fit(message.content["arrays"].to_numpy_ndarrays(), {})
        metrics = MetricRecord({"num-examples": count})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)

    return app


def boost(app: ClientApp, fraction_evaluate: float) -> tuple[NDArray[np.uint8], dict[int, Any]]:
    server, results = ServerApp(), []

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        start = ArrayRecord([np.frombuffer(b"", np.uint8)])
        results.append(FedXgbBagging(fraction_evaluate=fraction_evaluate).start(grid, start, num_rounds=10))

    simulate(server, app, 3)
    return results[0].arrays["0"].numpy(), dict(results[0].evaluate_metrics_clientapp)


def test_boosted_trees_grow_under_fedxgbbagging_as_with_a_client_written_by_hand() -> None:
    model, metrics = boost(client_app(Booster, same_shapes=False), 1.0)
    # FedXgbBagging starts from the first reply of round 1, and appends every other: 3 trees in each of 10 rounds.
    assert len(trees_of(model)) == 30
    # Flower asks nodes in random order, so trees come in another order.
    np.testing.assert_allclose(predict(model, ROWS), predict(boost(by_hand(), 0.0)[0], ROWS), atol=1e-9)
    losses = [metrics[number]["loss"] for number in (1, 5, 10)]
    assert losses[0] > losses[1] > losses[2]
    assert mean_squared_error(model, ROWS, TARGETS) < 0.6  # the variance is 1


def test_by_default_the_error_says_what_to_set() -> None:
    with LocalGrid(client_app(Booster), 3) as grid:
        message = Message(RecordDict({"arrays": ArrayRecord([np.frombuffer(b"", np.uint8)])}), 1000, "train")
        (reply,) = grid.send_and_receive([message])
    assert "array '0' was received with shape (0,) and returned with " in reply.error.reason
    assert "For a model that grows, client_app(..., same_shapes=False)" in reply.error.reason


def returned_for(received: dict[str, NDArray[Any]], returned: Arrays) -> ArrayRecord | str:
    class Returns:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return returned, 1, {}

    content = RecordDict({"model": ArrayRecord({name: Array(array) for name, array in received.items()})})
    with LocalGrid(client_app(lambda context: Returns(), same_shapes=False), 1) as grid:
        (reply,) = grid.send_and_receive([Message(content, 1000, "train")])
    return reply.error.reason if reply.has_error() else reply.content["model"]  # type: ignore[return-value]


TWO = {"centres": np.zeros((2, 3), np.float32), "counts": np.zeros(2, np.int64)}


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        ([np.ones((5, 3), np.float32), np.ones(5, np.int64)], ["centres", "counts"]),
        ([np.ones((5, 3), np.float16), np.ones(5, np.int8)], ["centres", "counts"]),
        ([np.ones((5, 3)), np.ones(5, np.int32), np.ones(4, bool)], ["0", "1", "2"]),
        ([np.ones(1)], ["0"]),
        ([], []),
    ],
)
def test_arrays_of_the_same_number_keep_names_and_dtypes_and_others_are_numbered(
    returned: Arrays, names: list[str]
) -> None:
    record = returned_for(TWO, returned)
    assert not isinstance(record, str), record
    assert list(record) == names
    for (name, array), expected in zip(record.items(), returned, strict=True):
        dtype = TWO[name].dtype if name in TWO else expected.dtype
        np.testing.assert_array_equal(array.numpy(), expected.astype(dtype), strict=True)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ([np.ones((5, 3)), np.ones(5, np.int64)], "'centres' was received as float32 and returned as float64"),
        ([np.ones(2), np.array([{}]), np.ones(2)], "array '1': Python objects would have to be unpickled"),
        ([np.ones(2), [1.0], np.ones(2)], "array '1': must be a NumPy array, got list"),
        ({"a": np.ones(2)}, "fit must return a list of arrays, got dict"),
    ],
)
def test_everything_except_shapes_is_still_checked(returned: Any, reason: str) -> None:
    assert reason in returned_for(TWO, returned)


def test_a_strategy_that_averages_refuses_growing_models() -> None:
    with LocalGrid(client_app(Booster, same_shapes=False), 3) as grid:
        strategy = FedAvg(fraction_evaluate=0.0)
        with pytest.raises(RoundError, match=r"array '0' has shape \(\d+,\), but \(0,\) was sent"):
            strategy.start(grid, ArrayRecord([np.frombuffer(b"", np.uint8)]), num_rounds=1)
