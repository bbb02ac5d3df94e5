"""Compare the averaging of replies in flskew's and Flower's FedAvg.

    python benchmarks/aggregation.py           # 10 clients of 10 million float32, under a minute

Each ratio compares alternating timings from this run, so it is robust to noise; its range is reported too. Flower's
time covers `aggregate_arrayrecords` alone, ours the messages and all of `FedAvg.aggregate_train`: checks, the norm of
each update, mean and metrics. Memory is the peak in addition to the replies, measured in a separate process. Writes a
JSON file to --output.
"""

from __future__ import annotations

import argparse
import functools
import logging
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from records import RESULTS, about, write

from flskew import FedAvg, LocalGrid

REPEATS = 7
NUMBERS = 10**7
# One or two large matrices and several small arrays, as in typical models.
SHARES = (0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.02, 0.009, 0.001)


def replies(clients: int, dtype: str, like_one: bool = False) -> list[Message]:
    """Make replies of 10 million numbers each; `like_one` shares the first reply's bytes, to measure memory."""
    messages = []
    for index in range(clients):
        if not (index and like_one):
            arrays = random_arrays(dtype, index)
        content = RecordDict(
            {"arrays": ArrayRecord(dict(arrays)), "metrics": MetricRecord({"num-examples": 100 + index, "loss": 0.5})}
        )
        request = Message(RecordDict(), 1000 + index, "train")
        request.metadata.__dict__["_message_id"] = str(index)
        messages.append(Message(content, reply_to=request))
    return messages


def random_arrays(dtype: str, seed: int) -> dict[str, Array]:
    """Make arrays of 10 million numbers in total."""
    rng = np.random.default_rng(seed)
    return {
        str(place): Array((rng.standard_normal(round(NUMBERS * share), np.float32) * 100).astype(dtype))
        for place, share in enumerate(SHARES)
    }


@functools.lru_cache(maxsize=1)
def model(dtype: str) -> ArrayRecord:
    """Make the model that the replies are updates of."""
    return ArrayRecord(random_arrays(dtype, 1000))


def ours(messages: list[Message]) -> ArrayRecord:
    """Do everything our strategy does with replies."""
    strategy = FedAvg()
    with LocalGrid(ClientApp(), len(messages)) as grid:
        strategy.configure_train(1, model(messages[0].content["arrays"]["0"].dtype), ConfigRecord(), grid)
    arrays, _ = strategy.aggregate_train(1, messages)
    assert arrays is not None
    assert all(reply.update_norm > 0 for reply in strategy.history[0].replies)
    return arrays


def theirs(messages: list[Message]) -> ArrayRecord:
    """Average the arrays as Flower's strategy does."""
    return aggregate_arrayrecords([message.content for message in messages], "num-examples")


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def against_flower(dtype: str, clients: int) -> dict[str, object]:
    """Time both, alternating."""
    messages = replies(clients, dtype)
    same = [a.data == b.data for a, b in zip(ours(messages).values(), theirs(messages).values(), strict=True)]
    mine, peer = [], []
    for _ in range(REPEATS):
        mine.append(seconds(lambda: ours(messages)))
        peer.append(seconds(lambda: theirs(messages)))
    ratios = sorted(their / our for our, their in zip(mine, peer, strict=True))
    return {
        "what": "time", "dtype": dtype, "clients": clients, "ours_s": statistics.median(mine),
        "peer_s": statistics.median(peer), "ratio": statistics.median(ratios), "ratio_from": ratios[0],
        "ratio_to": ratios[-1], "same_bytes": all(same),
    }  # fmt: skip


def with_nan(clients: int) -> dict[str, object]:
    """Time a round whose last reply contains NaN, relative to a round of valid replies."""
    good = replies(clients, "f4")
    bad = replies(clients, "f4")
    last = list(bad[-1].content["arrays"])[-1]
    broken = bad[-1].content["arrays"][last].numpy().copy()
    broken[-1] = np.nan
    bad[-1].content["arrays"][last] = Array(broken)
    ratios = sorted(seconds(lambda: ours(bad)) / seconds(lambda: ours(good)) for _ in range(REPEATS))
    return {
        "what": "time with one NaN over time without", "clients": clients, "ratio": statistics.median(ratios),
        "ratio_from": ratios[0], "ratio_to": ratios[-1],
    }  # fmt: skip


def peak_memory(function: str, clients: int) -> dict[str, object]:
    """Return the additional peak memory, in models, measured in a separate process."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import aggregation\n"
        f"print(aggregation.models_above_replies(aggregation.{function}, {clients}))\n"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return {"what": "peak memory", "function": function, "clients": clients, "models": float(output.split()[-1])}


def models_above_replies(function: Callable[[list[Message]], ArrayRecord], clients: int) -> float:
    """Return the peak memory allocated during one call, including its result, in models."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    with LocalGrid(ClientApp(), 1):
        messages = replies(clients, "f4", like_one=True)
        model("float32")
        tracemalloc.start()
        function(messages)
        _, peak = tracemalloc.get_traced_memory()
    return peak / (4 * NUMBERS)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)

    records: list[dict[str, object]] = []

    def note(record: dict[str, object]) -> None:
        records.append(record)
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items()), flush=True)

    with LocalGrid(ClientApp(), 1):
        print("Ratios: how many times as fast as Flower's aggregate_arrayrecords")
        for dtype, clients in (("f4", 10), ("f8", 10), ("f2", 10), ("i8", 10), ("f4", 30)):
            note(against_flower(dtype, clients))
        note(with_nan(10))
    print("Peak memory above the replies, in models")
    for function in ("ours", "theirs"):
        for clients in (10, 100):
            note(peak_memory(function, clients))

    write(arguments.output / "aggregation.json", {"about": about("flwr", "numpy"), "records": records})


if __name__ == "__main__":
    main()
