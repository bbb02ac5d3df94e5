"""Compare message-to-NumPy conversion with Flower's `to_numpy_ndarrays` and `ArrayRecord(list)`.

    python benchmarks/parameters.py             # ten million parameters in eleven arrays
    python benchmarks/parameters.py --size 1e6

Each ratio compares alternating timings from this run, so it is robust to noise. Writes a JSON file to --output; exits
with code 1 if reading is less than 20 times as fast as Flower.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord
from records import RESULTS, about, write

from flskew._arrays.records import parameters_from_record, record_from_parameters
from flskew.client._model import private_parameters
from flskew.typing import Parameters

REPEATS = 31
LIMIT = 20


def model(size: int) -> Parameters:
    """Make eleven float32 arrays, with most parameters in a few of them, as in typical networks."""
    rng = np.random.default_rng(0)
    shares = np.array([32, 16, 16, 12, 8, 8, 4, 2, 1, 0.5, 0.5]) / 100
    counts = np.maximum(1, np.round(shares * size)).astype(int)
    return [rng.random((count // 100, 100) if count >= 100 else count, np.float32) for count in counts]


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call, without freeing its result."""
    start = time.perf_counter()
    result = action()
    taken = time.perf_counter() - start
    del result
    return taken


def in_pairs(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> dict[str, object]:
    """Time both, alternating; return the medians, and the median and quartiles of the pairs' ratios."""
    for action in (ours, theirs):
        seconds(action)
    mine, peer = [], []
    for repeat in range(REPEATS):
        order = ((mine, ours), (peer, theirs))
        for times, action in order if repeat % 2 else order[::-1]:
            times.append(seconds(action))
    lower, middle, upper = statistics.quantiles((b / a for a, b in zip(mine, peer, strict=True)), n=4)
    return {
        "what": what, "ours_ms": statistics.median(mine) * 1e3, "flwr_ms": statistics.median(peer) * 1e3,
        "times_as_fast": middle, "lower_quartile": lower, "upper_quartile": upper,
    }  # fmt: skip


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=1e7, help="approximate number of parameters; 1e7 by default")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    parameters = model(int(arguments.size))
    record = ArrayRecord(parameters)
    total = sum(array.size for array in parameters)
    print(f"{total} parameters in {len(parameters)} arrays, float32; medians of {REPEATS} pairs")
    gc.collect()
    gc.disable()
    records = [
        in_pairs(
            "read: message to NumPy, as views",
            lambda: parameters_from_record(record),
            lambda: record.to_numpy_ndarrays(),
        ),
        in_pairs(
            "read: message to NumPy, as copies",
            lambda: private_parameters(record),
            lambda: record.to_numpy_ndarrays(),
        ),
        in_pairs(
            "write: NumPy to message", lambda: record_from_parameters(parameters), lambda: ArrayRecord(parameters)
        ),
    ]
    for found in records:
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in found.items()), flush=True)
    content = {"about": about("flwr", "numpy"), "parameters": total, "records": records}
    write(arguments.output / "parameters.json", content)
    print(f"limit of the first ratio: {LIMIT}")
    return int(float(str(records[0]["times_as_fast"])) < LIMIT)


if __name__ == "__main__":
    sys.exit(main())
