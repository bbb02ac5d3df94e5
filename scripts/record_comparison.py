"""The benchmark of record, as its page compares it: splits, their figures, and methods over the splits of a kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
from figures import percent
from scipy.stats import rankdata

from flskew.study import Cell, Results

REFERENCE, ALONE = "FedAvg", "alone"
BASELINES = (ALONE, "pooled")


@dataclass(frozen=True)
class Split:
    """A split of the record, with its cells by method and seed."""

    setting: Mapping[str, Any]
    name: str
    kind: str
    is_own: bool
    severity: Mapping[str, Sequence[float]]
    cells: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def title(self) -> str:
        """What the page calls it."""
        task = self.setting["task"]
        return task if self.kind == "real sites" else f"{task}, {self.name}"

    def score(self, method: str, seed: str) -> float:
        """Return the score of a run."""
        cell = self.cells[method][seed]
        if not self.is_own:
            return last(cell["curve"])
        return fmean(value for value in cell["own"] if value is not None)

    def own(self, method: str, seed: str) -> float:
        """Return the mean over the clients that "alone" trained, on their own test rows."""
        alone = self.cells["alone"][seed]["own"]
        return fmean(
            value
            for value, theirs in zip(self.cells[method][seed]["own"], alone, strict=True)
            if value is not None and theirs is not None
        )

    def worst(self, method: str, seed: str) -> float:
        """Return the score of the worst client on its own test rows."""
        return min((value for value in self.cells[method][seed]["own"] if value is not None), default=0.0)


def last(curve: Sequence[float | None]) -> float:
    """Return the last value; after a run that ended early, that of its last model."""
    return [value for value in curve if value is not None][-1]


def load(folder: Path) -> tuple[list[dict[str, Any]], list[Split]]:
    """Return the results files and the splits in the order of splits.json."""
    frozen = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "results").glob("*.json"))]
    found = [
        Split(
            file["setting"], name, _kind(name, about), about["score"] == "own", about["severity"], file["cells"][name]
        )
        for task, content in frozen["tasks"].items()
        for name, about in content["splits"].items()
        for file in files
        if file["setting"]["task"] == task and _is_finished(file["cells"].get(name, {}), len(frozen["seeds"]))
    ]
    return files, found


def _kind(name: str, about: Mapping[str, Any]) -> str:
    """Return the kind of a split, as the page calls it: label noise is a concept shift with nothing to learn."""
    if "label noise" in name:
        return "label noise"
    return "IID" if about["kind"] == "none" else str(about["kind"])


def _is_finished(cells: Mapping[str, Any], num_seeds: int) -> bool:
    """Return whether FedAvg and the baselines have run with all seeds; other splits are left out."""
    return all(len(cells.get(method, ())) == num_seeds for method in (*BASELINES, REFERENCE))


Figure: TypeAlias = Callable[[Split, str, str], float]
"""A figure of a run: of the split, the method and the seed."""


class Comparison:
    """Splits on which methods are compared; those that have not run on all of them are left out."""

    def __init__(self, splits: Sequence[Split], methods: Iterable[str], seeds: Sequence[str]) -> None:
        self.splits, self.seeds = splits, seeds
        self.methods = [
            method for method in methods if all(len(split.cells.get(method, ())) == len(seeds) for split in splits)
        ]

    def results(self, methods: Sequence[str], figure: Figure) -> Results:
        """Return a figure, its means over the splits as if they were one split."""
        cells = [
            _cell(method, seed, fmean(figure(split, method, seed) for split in self.splits))
            for method in methods
            for seed in self.seeds
        ]
        return Results(cells, ["all"], methods, [int(seed) for seed in self.seeds], metric="score")

    def frame(self, figure: Figure = Split.score) -> Any:
        """Return the gains over FedAvg by method."""
        return self.results(self.methods, figure).gains(over=REFERENCE).frame.loc["all"]

    def over_alone(self) -> Any:
        """Return the gains over training alone by method, on the clients' own test rows."""
        return self.results([ALONE, *self.methods], Split.own).gains(over=ALONE).frame.loc["all"]

    def ranks(self) -> dict[str, str]:
        """Return the mean rank of each method."""
        ranks = [
            rankdata([-split.score(method, seed) for method in self.methods])
            for split in self.splits
            for seed in self.seeds
        ]
        return dict(zip(self.methods, (f"{rank:.1f}" for rank in np.mean(ranks, axis=0)), strict=True))

    def gains(self, figure: Figure = Split.score) -> dict[str, str]:
        """Return the gain of each method over FedAvg, with half of its interval."""
        return {method: gain_text(row) for method, row in self.frame(figure).iterrows()}

    def in_words(self) -> str:
        """Return which methods are better and worse than FedAvg."""
        frame = self.frame().sort_values("gain", ascending=False, kind="stable")
        parts = []
        for verdict in ("better", "worse", "no evidence of a difference"):
            names = [
                f"{method} ({gain_text(row)})" if verdict != "no evidence of a difference" else str(method)
                for method, row in frame.iterrows()
                if row["verdict"] == verdict
            ]
            if names:
                parts.append(f"{verdict}: {'; '.join(names)}")
        return f"{'. '.join(part[0].upper() + part[1:] for part in parts)}."


def by_kind(splits: Iterable[Split], methods: Sequence[str], seeds: Sequence[str]) -> dict[str, Comparison]:
    """Return one comparison for each kind of skew."""
    groups: dict[str, list[Split]] = {}
    for split in splits:
        groups.setdefault(split.kind, []).append(split)
    return {kind: Comparison(group, methods, seeds) for kind, group in groups.items()}


def _cell(method: str, seed: str, score: float) -> Cell:
    """Return a cell that has only a score."""
    curve = np.array([np.nan, score])
    return Cell(
        split="all", method=method, seed=int(seed), curves={"score": curve},
        last={"score": curve[1:]}, own={"score": curve[1:]},
        recall=np.full((1, 2), np.nan), trained=np.array([-1]), classes=np.arange(2),
        label_counts=np.ones((1, 2), np.int64), num_bytes=np.zeros(2), num_dropped=np.zeros(2), error="", seconds=0.0,
        fingerprints=(seed, seed), versions={},
    )  # fmt: skip


def gain_text(row: Mapping[str, float]) -> str:
    """Format a gain in percentage points, with half of its interval."""
    middle = f"{round(100 * row['gain'], 1) + 0.0:+.1f}"  # + 0.0 makes -0.0 positive
    return middle if np.isnan(row["low"]) else f"{middle} ± {percent((row['high'] - row['low']) / 2)}"
