"""The scores of the hospitals alone and together, and their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from three_hospitals.task import EXCLUDED, Recall, Score

Counts: TypeAlias = NDArray[np.int64]
"""(3, 10) training images of each digit in each hospital."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The scores on a test set with all ten digits, before the first round and after each round."""

    counts: Counts
    alone: tuple[tuple[Score, ...], ...]
    together: tuple[Score, ...]

    def recall(self) -> NDArray[np.float64]:
        """(4, 10) final recall of each digit: one row for each hospital alone, then one for all together."""
        return np.stack([scores[-1].recall for scores in (*self.alone, self.together)])

    def table(self) -> str:
        """The final accuracies, and the recalls of the digits that each hospital has never seen."""
        lines = [
            _line("", "never had", "images", "alone", "", "together", ""),
            _line("", "", "", "accuracy", "recall on these", "accuracy", "recall on these"),
        ]
        together = self.together[-1]
        for hospital, excluded in enumerate(EXCLUDED):
            alone = self.alone[hospital][-1]
            lines.append(
                _line(
                    f"hospital {hospital + 1}",
                    ", ".join(map(str, excluded)),
                    str(self.counts[hospital].sum()),
                    *(f"{alone.accuracy:.1%}", _percentages(alone.recall, excluded)),
                    *(f"{together.accuracy:.1%}", _percentages(together.recall, excluded)),
                )
            )
        return "\n".join(lines)


def _line(*cells: str) -> str:
    widths = (-10, -9, 7, 10, 17, 12, 17)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _percentages(recall: Recall, digits: tuple[int, ...]) -> str:
    return ", ".join(f"{recall[digit]:.0%}" for digit in digits)
