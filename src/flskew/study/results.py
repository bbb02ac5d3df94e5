"""The figures of a study: tables, intervals, and who gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flskew.study.cell import Cell

__all__ = ["Results"]


class Results:
    """What a study has found so far.

    Args:
        cells: The finished cells.
        splits: Names of all splits, in order.
        methods: Names of all methods, in order, the baselines first.
        seeds: All seeds.
        metric: The metric to compare.
        lower_is_better: Whether a lower value is better.

    Examples:
        >>> from flskew.study import Results
        >>> Results([], ["iid"], ["alone", "pooled", "FedAvg"], range(3)).missing
        9
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        splits: Iterable[str],
        methods: Iterable[str],
        seeds: Sequence[int],
        *,
        metric: str = "accuracy",
        lower_is_better: bool = False,
    ) -> None:
        self.cells = tuple(cells)
        self.splits, self.methods, self.seeds = tuple(splits), tuple(methods), tuple(seeds)
        self.metric, self.lower_is_better = metric, lower_is_better

    @property
    def missing(self) -> int:
        """Number of cells that have not been run."""
        return len(self.splits) * len(self.methods) * len(self.seeds) - len(self.cells)
