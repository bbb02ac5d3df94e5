"""The table for the tests of the laws: every kind of shift, and data that each can be given."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd

from flskew.shifts import Affine, Blur, Channels, Missing, Noise, Quantize, Ramp, Relabel, Rotate, Shift, SwapLabels
from flskew.typing import Label

NUM_PARTITIONS = 3
EVERYTHING = ("numbers", "images", "mapping", "frame")


@dataclass(frozen=True)
class Case:
    """A shift, the kinds of features that it can be given, and the classes of its labels, if it needs certain ones."""

    shift: Shift
    kinds: tuple[str, ...] = EVERYTHING
    classes: tuple[Label, ...] | None = None

    def __str__(self) -> str:
        return repr(self.shift)


CASES = [
    Case(Noise(0.5)),
    Case(Noise([0.0, 0.5, 2.0], seed=7)),
    Case(Noise(Ramp(0.1), partitions=[0, 2])),
    Case(Noise(1.0, columns=["age", "visits"]), ("mapping", "frame")),
    Case(Noise(1.0, columns=[0, 2]), ("numbers",)),
    Case(Affine(gain=Ramp(2.0, first=1.0), offset=[0.0, -1.0, 10.0])),
    Case(Affine(1.5, columns=["visits"]), ("mapping", "frame")),
    Case(Affine(2.0) | Noise(0.5) | Noise(0.5)),
    Case(Missing(["sex"], [0.0, 0.5, 1.0]), ("mapping", "frame")),
    Case(Missing(["visits", "age"], 0.5, fill=0), ("mapping", "frame")),
    Case(Missing([2, 1], Ramp(0.9), fill=0), ("numbers",)),
    Case(Relabel({1: 7, 7: 1}), classes=(0, 1, 7)),
    Case(Relabel({"cat": "chimpanzee"}, Ramp(1.0), partitions=[1, 2]), classes=("cat", "dog")),
    Case(Relabel({False: True}, 0.5), classes=(False, True)),
    Case(SwapLabels([0.0, 0.5, 1.0], 8), classes=(0, 1, 7)),
    Case(SwapLabels(0.5, ["cat", "dog", "zebra"]), classes=("cat", "dog")),
    Case(Relabel({1: 7}, 0.5) | SwapLabels(0.5, 8), classes=(0, 1, 7)),
    Case(Quantize([0.0, 0.1, 30.0])),
    Case(Quantize(Ramp(7), columns=["age"], partitions=[1, 2]), ("mapping", "frame")),
    Case(Rotate([0, 90, 33.3], fill=1.5), ("images",)),
    Case(Rotate(Ramp(180), layout="NHWC", partitions=[1]), ("images",)),
    Case(Blur(Ramp(9.0)), ("images",)),
    Case(Blur(0.4, layout="NCHW", partitions=[0]), ("images",)),
    Case(Channels([1, 0.5, 0]), ("images",)),
    Case(Channels([[1, 1, 1], [0.2, 1, 2], [0, 0, 0]], partitions=[1, 2]) | Rotate(20) | Noise(1), ("images",)),
]
"""Add a line for each way to use a shift. `test_every_shift_is_in_the_table` fails if one is missing."""


def features_of(kind: str, num_rows: int, dtype: str, rng: np.random.Generator) -> Any:
    """Return numbers from 0 to 250 of any dtype, which fit into all; in a table, beside columns of other types."""
    if kind in ("numbers", "images"):
        shape = {"numbers": (3,), "images": (5, 6, 3)}[kind]
        return rng.uniform(0, 250, (num_rows, *shape)).astype(dtype)
    columns = {
        "age": rng.uniform(0, 100, num_rows).astype(dtype),
        "visits": rng.integers(0, 100, num_rows),
        "sex": rng.choice(["m", "f"], num_rows).astype(object),
        "smokes": rng.random(num_rows) < 0.5,
        "weight": rng.uniform(0, 100, num_rows),
    }
    return columns if kind == "mapping" else pd.DataFrame(columns)


def digests() -> list[str]:
    """Return a digest of what each client sees through each shift of the table."""
    found = []
    for case in CASES:
        digest = sha256()
        for partition_id in range(NUM_PARTITIONS):
            rng = np.random.default_rng(0)
            view = case.shift.view(partition_id, NUM_PARTITIONS)
            for kind in case.kinds:
                seen = view.features(features_of(kind, 5, "float32", rng), range(5))
                columns = [seen] if isinstance(seen, np.ndarray) else [np.asarray(seen[name]) for name in seen]
                for column in columns:
                    digest.update(str(column.tolist()).encode())
            labels = [*(case.classes or (0, 1, 7))] * 5
            digest.update(str(view.labels(labels, range(len(labels))).tolist()).encode())
        found.append(digest.hexdigest())
    return found


dtypes = st.sampled_from(["float64", "float32", "float16", "uint8", "int16", "int64"])
num_rows = st.integers(2, 12)
seeds = st.integers(0, 2**32)
labels = st.sampled_from([[0, 1, 7], [-3, 1], ["cat", "dog", "emu"], [False, True]])
