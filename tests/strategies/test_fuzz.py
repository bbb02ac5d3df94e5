"""Ten thousand random bad replies among good ones: the model is the mean of the good ones, or an error says why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from hypothesis import settings
from numpy.typing import NDArray

from flskew.simulation import LocalGrid
from flskew.strategies import Checked, FedAvg, FedProx, RoundError

DTYPES = ("f4", "f2", "f8", "i8", "i4", "u1", "?", "c8", ">f4")
SHAPES = ((), (1,), (3,), (2, 3), (0, 2), (4, 1, 2))
HUGE = 10**400
HOSTILE = (
    "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x9d8;;", "\x1bP$q\x1b\\", "\x1b", "\x00", "\r", "\n  File ", "\u202e",
    "\u200b", "\ufeff", "\u2028", "\x85", "\ud800", "\U000e0041", "\ufe0f",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Ten thousand warnings would flood the log."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def random_array(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    lowest, highest = {"u": (0, 100), "b": (0, 2)}.get(np.dtype(dtype).kind, (-50, 50))
    array: NDArray[Any] = np.asarray(rng.integers(lowest, highest, shape)).astype(dtype)
    return np.array(array, order="F") if rng.random() < 0.2 else array


def good_reply(rng: np.random.Generator, model: list[NDArray[Any]]) -> dict[str, Any]:
    arrays = ArrayRecord([random_array(rng, array.dtype.str, array.shape) for array in model])
    weight = int(rng.integers(1, 1000))
    reply: dict[str, Any] = {"arrays": arrays, "metrics": MetricRecord({"num-examples": weight, "loss": 0.5})}
    if rng.random() < 0.2:
        reply["metrics"]["accuracy"] = float("nan") if rng.random() < 0.5 else [0.5] * int(rng.integers(1, 4))
    if rng.random() < 0.2:
        reply["extra"] = ConfigRecord({"a": b"x"}) if rng.random() < 0.5 else MetricRecord({"loss": 2**62})
    return reply


def spoiled(rng: np.random.Generator, reply: dict[str, Any], model: list[NDArray[Any]]) -> dict[str, Any] | Error:
    """Break a good reply in one of many ways."""
    arrays, metrics = reply["arrays"], reply["metrics"]
    place = int(rng.integers(len(model)))
    name, old = str(place), model[place]

    def put(array: NDArray[Any]) -> dict[str, Any]:
        arrays[name] = Array(array)
        return reply

    def weigh(value: Any) -> dict[str, Any]:
        metrics["num-examples"] = value
        return reply

    def claim(**changes: Any) -> dict[str, Any]:
        true = arrays[name]
        fields = {"dtype": true.dtype, "shape": true.shape, "stype": true.stype, "data": true.data, **changes}
        arrays[name] = Array(**fields)
        return reply

    def poison() -> dict[str, Any]:
        floats = [index for index, array in enumerate(model) if array.dtype.kind in "fc" and array.size]
        if not floats:
            return weigh(float("nan"))
        index = int(rng.choice(floats))
        array = arrays[str(index)].numpy().copy()
        array.reshape(-1)[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
        arrays[str(index)] = Array(array)
        return reply

    data = arrays[name].data
    other = next(dtype for dtype in (*DTYPES, "c16") if not np.can_cast(dtype, old.dtype))
    hostile = HOSTILE[rng.integers(len(HOSTILE))] * int(rng.integers(1, 100))
    ways = [
        poison, poison, poison,
        lambda: put(np.zeros((*old.shape, 2), old.dtype)),
        lambda: put(np.zeros((7,), old.dtype)),
        lambda: put(np.zeros(old.shape, other)),
        lambda: put(np.full(old.shape, "a")),
        lambda: claim(data=data[: len(data) // 2]),
        lambda: claim(data=data + b"x"),
        lambda: claim(data=b""),
        lambda: claim(data=rng.bytes(len(data))),
        lambda: claim(data=data.replace(b"descr", b"dexcr")),
        lambda: claim(stype="pickle"),
        lambda: claim(shape=(*old.shape, 1)),
        lambda: claim(dtype="no dtype"),
        lambda: claim(dtype="object"),
        lambda: claim(data=Array(np.array([("x", 1)], [("a", "U1"), ("b", "i4")])).data),
        lambda: weigh(int(rng.choice([0, -3]))),
        lambda: weigh(float(rng.choice([np.nan, np.inf, -np.inf, -0.5, 1e300]))),
        lambda: weigh([1, 2]), lambda: weigh(HUGE), lambda: weigh(-HUGE),
        lambda: {**reply, "metrics": MetricRecord({"loss": 1.0})},
        lambda: {**reply, "metrics": MetricRecord({**metrics, "steps": HUGE})},
        lambda: {**reply, "extra": MetricRecord({"steps": [1, HUGE]})},
        lambda: {key: record for key, record in reply.items() if key != "metrics"},
        lambda: {key: record for key, record in reply.items() if key != "arrays"},
        lambda: {**reply, "arrays": ArrayRecord({k: a for k, a in arrays.items() if k != name})},
        lambda: {**reply, "arrays": ArrayRecord({**arrays, "more": Array(np.zeros(1))})},
        lambda: {**reply, "arrays": ArrayRecord({f"x{key}": array for key, array in arrays.items()})},
        lambda: {**reply, "arrays": ArrayRecord()},
        lambda: {"a": arrays, "b": arrays, "metrics": metrics},
        lambda: {**reply, "flskew": ConfigRecord({"assignment": b"no text"})},
        lambda: {**reply, "flskew": ConfigRecord({"assignment": f"ab{hostile}"})},
        lambda: {**reply, "metrics": MetricRecord({**metrics, f"loss{hostile}": 1.0})},
        lambda: {**reply, f"extra{hostile}": ConfigRecord()},
        lambda: {**reply, "arrays": ArrayRecord({**arrays, hostile: Array(np.zeros(1))})},
        lambda: claim(dtype=hostile),
        lambda: claim(stype=hostile),
        lambda: Error(2, hostile),
        lambda: Error(2, f"<class '{hostile}'>:<'{hostile}\n  File {hostile}\n{hostile}'>"),
        dict,
        lambda: Error(2, "ValueError: no data\nTraceback ..."),
        lambda: Error(5),
    ]  # fmt: skip
    return ways[int(rng.integers(len(ways)))]()


def exact_mean(replies: list[dict[str, Any]], place: int) -> list[complex | Fraction]:
    weights = [Fraction(reply["metrics"]["num-examples"]) for reply in replies]
    columns = zip(*(reply["arrays"][str(place)].numpy().reshape(-1).tolist() for reply in replies), strict=True)
    if replies[0]["arrays"][str(place)].numpy().dtype.kind == "c":
        return [
            sum(n * float(w) for n, w in zip(column, weights, strict=True)) / float(sum(weights)) for column in columns
        ]
    return [sum(Fraction(n) * w for n, w in zip(column, weights, strict=True)) / sum(weights) for column in columns]


def check_model(arrays: ArrayRecord, model: list[NDArray[Any]], replies: list[dict[str, Any]]) -> None:
    assert list(arrays) == [str(place) for place in range(len(model))]
    for place, old in enumerate(model):
        mean = arrays[str(place)].numpy()
        assert (mean.dtype, mean.shape) == (old.dtype, old.shape)
        assert np.isfinite(mean).all()
        for ours, exact in zip(mean.reshape(-1).tolist(), exact_mean(replies, place), strict=True):
            if isinstance(exact, Fraction) and mean.dtype.kind in "iub":
                # A sum in float64 may fall on the other side of a half.
                assert abs(Fraction(ours) - exact) <= Fraction(1, 2) + Fraction(1, 10**9)
            else:
                resolution = np.finfo(mean.dtype).resolution if mean.dtype.kind == "f" else 1e-5
                assert abs(complex(ours) - complex(exact)) <= 20 * resolution * 50


def rounds(rng: np.random.Generator) -> Iterator[tuple[list[NDArray[Any]], list[Any], list[dict[str, Any]]]]:
    """Yield models, the replies to them, and the good ones among these."""
    while True:
        model = [
            random_array(rng, DTYPES[rng.integers(len(DTYPES))], SHAPES[rng.integers(len(SHAPES))])
            for _ in range(rng.integers(1, 4))
        ]
        kinds = rng.random(rng.integers(1, 12)) < rng.choice([0.1, 0.5, 0.9, 1.0])
        replies: list[Any] = [good_reply(rng, model) for _ in kinds]
        good = [reply for reply, is_bad in zip(replies, kinds, strict=True) if not is_bad]
        yield model, [spoiled(rng, r, model) if is_bad else r for r, is_bad in zip(replies, kinds, strict=True)], good


class Scripted(LocalGrid):
    """A grid whose nodes send the given replies, in any order."""

    def __init__(self, replies: list[dict[str, Any] | Error], rng: np.random.Generator) -> None:
        super().__init__(ClientApp(), len(replies))
        self.replies = replies
        self.order = rng.permutation(len(replies))

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        for message in sent:
            message.metadata.__dict__["_message_id"] = str(message.metadata.dst_node_id)
        answers = {message.metadata.dst_node_id - 1000: message for message in sent}
        return [
            Message(reply if isinstance(reply, Error) else RecordDict(reply), reply_to=answers[index])
            for index, reply in ((index, self.replies[index]) for index in self.order if index in answers)
        ]


ARGUMENTS = {"fraction_evaluate": 0.0, "min_train_nodes": 1, "min_available_nodes": 1}


@pytest.mark.parametrize(
    ("strategy", "bad_replies"),
    [
        (FedAvg(**ARGUMENTS), 6000),
        (FedProx(**ARGUMENTS, proximal_mu=0.1), 1000),
        (Checked(flower.FedAvg(**ARGUMENTS)), 3000),
    ],
    ids=["FedAvg", "FedProx", "Checked"],
)
def test_the_model_is_the_mean_of_the_good_replies_or_there_is_a_clear_error(strategy: Any, bad_replies: int) -> None:
    rng = np.random.default_rng(bad_replies)
    # All of them with the 100 examples of CI, a fifth with the 20 of development.
    bad_replies = bad_replies * settings.default.max_examples // 100
    errors = tried = 0
    for model, replies, good in rounds(rng):
        tried += len(replies) - len(good)
        sent = ArrayRecord(model)
        with Scripted(replies, rng) as grid:
            if good:
                result = strategy.start(grid, sent, num_rounds=1)
                check_model(result.arrays, model, good)
                assert result.train_metrics_clientapp[1]["loss"] == pytest.approx(0.5)
            else:
                errors += 1
                with pytest.raises(RoundError) as caught:
                    strategy.start(grid, sent, num_rounds=1)
                assert len(caught.value.failures) == len(replies)
                assert caught.value.result.arrays == sent
        (entry,) = strategy.history
        assert len(entry.replies) == len(good)
        for failure in entry.failures:
            assert 0 < len(failure.reason) <= 400
            assert failure.reason.isprintable()
            assert failure.traceback.replace("\n", "").isprintable()
        if tried >= bad_replies:
            break
    assert errors > bad_replies // 150
