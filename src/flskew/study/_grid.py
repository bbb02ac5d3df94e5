"""The cells of a study by split, method and seed, and their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from flskew._util import checks
from flskew._util.texts import listed
from flskew.study._figures import What, checked, is_lower_better, reduced, values_of
from flskew.study.cell import Cell
from flskew.typing import Figures

__all__ = ["Grid"]


class Grid:
    """What `Results` computes everything from; see there."""

    def __init__(
        self,
        cells: Iterable[Cell],
        splits: Iterable[str],
        methods: Iterable[str],
        seeds: Sequence[int],
        *,
        metric: str = "accuracy",
        lower_is_better: bool = False,
        interval: Literal["t", "bootstrap"] = "t",
        confidence: float = 0.95,
    ) -> None:
        self.cells = tuple(cells)
        self.splits, self.methods, self.seeds = tuple(splits), tuple(methods), tuple(seeds)
        self.metric, self.lower_is_better = metric, checks.truth("lower_is_better", lower_is_better)
        self.interval = checks.choice("interval", interval, ("t", "bootstrap"))
        self.confidence = checks.positive("confidence", confidence, "e.g. 0.95")
        if confidence >= 1:
            raise ValueError(f"confidence must be below 1, got {confidence!r}; e.g. 0.95")
        self._by_place = {(cell.split, cell.method, cell.seed): cell for cell in self.cells}
        self._check()

    @property
    def missing(self) -> int:
        """Number of cells that have not been run."""
        return len(self.splits) * len(self.methods) * len(self.seeds) - len(self.cells)

    def figures(self, what: What = "last") -> Figures:
        """Return one figure of every run.

        Args:
            what: "last", "best", "area", "own", "worst" or "unseen"; see `What`.

        Returns:
            (num_splits, num_methods, num_seeds); NaN for cells that have not been run, and where a figure is undefined,
                such as "unseen" if all clients have all classes.

        Raises:
            ValueError: There is no such figure.
        """
        checked(what)
        lower = is_lower_better(what, self.lower_is_better)
        figures = np.full((len(self.splits), len(self.methods), len(self.seeds)), np.nan)
        for cell in self.cells:
            figures[self._place(cell)] = reduced(values_of(cell, what, self.metric, lower), what, lower)
        return figures

    def _known(self, **names: str) -> None:
        """Refuse names of splits and methods that do not exist."""
        for argument, name in names.items():
            checks.choice(argument, name, self.splits if argument == "split" else self.methods)

    def _place(self, cell: Cell) -> tuple[int, int, int]:
        """The place of a cell in `figures`."""
        return self.splits.index(cell.split), self.methods.index(cell.method), self.seeds.index(cell.seed)

    def _cells_of(self, split: str, method: str) -> list[Cell]:
        """The finished cells, in the order of the seeds."""
        places = [(split, method, seed) for seed in self.seeds]
        return [self._by_place[place] for place in places if place in self._by_place]

    def _check(self) -> None:
        """Refuse cells that do not belong together."""
        fingerprints: dict[tuple[str, int], tuple[str, str]] = {}
        for cell in self.cells:
            if cell.split not in self.splits or cell.method not in self.methods or cell.seed not in self.seeds:
                raise ValueError(
                    f"{cell!r} belongs to another study: splits are {listed(self.splits)}, methods "
                    f"{listed(self.methods)}, seeds {listed(self.seeds)}"
                )
            if self.metric not in cell.curves:
                raise ValueError(
                    f"metric={self.metric!r} was not measured; task.evaluate returned {listed(cell.curves)}"
                )
            drawn = fingerprints.setdefault((cell.split, cell.seed), cell.fingerprints)
            if drawn != cell.fingerprints:
                raise ValueError(f"{cell!r} has other rows in its clients than other cells of this split and seed")
        if len(self._by_place) < len(self.cells):
            raise ValueError("cells must be different, got two of the same split, method and seed; remove one")
