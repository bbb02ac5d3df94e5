"""What the benchmark of record has measured: how much each strategy gains over FedAvg on each split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import inf, log10
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALONE", "BASELINE", "MeasuredSplit", "Position", "Record", "kept_record", "record_of"]

BASELINE, ALONE = "FedAvg", "alone"
# How far apart a split among ten clients and the same split among a hundred are.
_TENFOLD = 0.2


class Position(NamedTuple):
    """How skewed a split is, on scales from 0 to 1 that mean the same for all data sets.

    Attributes:
        label_skew: Total variation of the labels, as a fraction of the largest possible with these classes.
        effective_clients: As `flskew.skew.effective_clients`.
        covariate_shift: Distance of the features, beyond what follows from the labels.
        concept_shift: Distance of the labels of equal rows.
        num_clients: Number of clients.
    """

    label_skew: float
    effective_clients: float
    covariate_shift: float
    concept_shift: float
    num_clients: int

    def distance(self, other: Position) -> float:
        """Return the sum of the differences; ten times as many clients count 0.2.

        It is infinite if only one of the two has a covariate shift, or only one a concept shift: these are other kinds.

        Examples:
            >>> other = Position(0.4, 0.9, 0.0, 0.0, 100)
            >>> Position(0.5, 1.0, 0.0, 0.0, 10).distance(other)  # 0.1 + 0.1 + 0.2
            0.4
            >>> Position(0.5, 1.0, 0.0, 0.0, 10).distance(Position(0.5, 1.0, 0.1, 0.0, 10))
            inf
        """
        if (self.covariate_shift > 0, self.concept_shift > 0) != (other.covariate_shift > 0, other.concept_shift > 0):
            return inf
        apart = sum(abs(one - two) for one, two in zip(self[:-1], other[:-1], strict=True))
        return round(apart + _TENFOLD * abs(log10(self.num_clients / other.num_clients)), 9)


@dataclass(frozen=True, eq=False)
class MeasuredSplit:
    """A split of the record.

    Attributes:
        data: Name of the data set.
        name: Name of the split.
        kind: Of skew.
        position: How skewed it is, mean over the seeds.
        num_classes: Number of classes.
        fraction_train: Fraction of the clients that train in a round.
        metric: What was compared, "accuracy" or "auc".
        is_own: Whether it was measured on each client's own test rows, rather than on one test set.
        calls: By method, the call that makes it, with the hyper-parameters that were measured.
        gains: By method, (num_seeds,) percentage points of the metric above FedAvg after the last round.
    """

    data: str
    name: str
    kind: str
    position: Position
    num_classes: int
    fraction_train: float
    metric: str
    is_own: bool
    calls: Mapping[str, str]
    gains: Mapping[str, NDArray[np.float64]]

    @property
    def title(self) -> str:
        """The data set and the name of the split."""
        return f"{self.data}: {self.name}"

    @property
    def total_variation(self) -> float:
        """Total variation of its labels."""
        return self.position.label_skew * (1 - 1 / self.num_classes)


@dataclass(frozen=True, eq=False)
class Record:
    """All measured splits, and the version of the record."""

    version: int
    splits: tuple[MeasuredSplit, ...]


def record_of(content: Mapping[str, Any]) -> Record:
    """Return the record from the content of its file, which scripts/advice_table.py writes."""
    settings, splits = content["settings"], []
    for entry in content["splits"]:
        setting = settings[entry["setting"]]
        splits.append(
            MeasuredSplit(
                setting["data"],
                entry["name"],
                entry["kind"],
                Position(*entry["position"]),
                setting["num_classes"],
                setting["fraction_train"],
                setting["metric"],
                entry["is_own"],
                setting["calls"],
                {
                    method: np.array(gains)
                    for method, gains in zip(content["methods"], entry["gains"], strict=True)
                    if gains is not None
                },
            )
        )
    return Record(content["version"], tuple(splits))


@cache
def kept_record() -> Record:
    """Return the record that comes with the package, read once."""
    text = files("flskew.skew").joinpath("_record.json").read_text(encoding="utf-8")
    return record_of(json.loads(text))
