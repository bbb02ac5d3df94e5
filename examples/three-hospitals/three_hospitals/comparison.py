"""The study: each hospital alone, all of them together, and all images in one place; and its table."""

from __future__ import annotations

from dataclasses import replace

from flskew import LabelExclusionPartitioner
from flskew.study import Results, Study
from flskew.typing import Figures, Rows
from three_hospitals import server_app
from three_hospitals.client_app import Hospital
from three_hospitals.settings import Settings
from three_hospitals.task import EXCLUDED, Parameters, evaluate, initial_parameters, load_data


class Digits:
    """The task: its labels, a model, and how hospitals with any images train it and are tested."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.train, self.test = load_data(settings.data_dir)
        self.labels, self.test_labels = self.train.labels, self.test.labels

    def initial(self, seed: int) -> Parameters:
        """Return the initial weights."""
        return initial_parameters(self.train.images.shape[1], replace(self.settings, seed=seed))

    def client(self, rows: Rows) -> Hospital:
        """Return a hospital with these training images."""
        return Hospital(self.train.rows(rows), self.test, self.settings)

    def evaluate(self, parameters: Parameters, rows: Rows) -> dict[str, float]:
        """Return the loss and the accuracy on these test images."""
        return evaluate(parameters, self.test.rows(rows))


def study(settings: Settings) -> Study:
    """Compare each hospital alone with all of them together."""
    split = LabelExclusionPartitioner(EXCLUDED, on_excluded=settings.on_excluded)
    methods = {"together": server_app.strategy(settings)}
    return Study(Digits(settings), {"hospitals": split}, methods, [settings.seed], settings.num_server_rounds)


def table(results: Results) -> str:
    """The final accuracies on all digits, and on each of those that a hospital has never seen."""
    alone, pooled, together = results.cells
    lines = [
        _line("", "", "", "alone", "", "together", ""),
        _line("", "lacks", "images", "accuracy", "on these", "accuracy", "on these"),
    ]
    for hospital, excluded in enumerate(EXCLUDED):
        lines.append(
            _line(
                f"hospital {hospital + 1}",
                ", ".join(map(str, excluded)),
                str(alone.label_counts[hospital].sum()),
                *(f"{alone.last['accuracy'][hospital]:.0%}", _percentages(alone.recall[hospital], excluded)),
                *(f"{together.last['accuracy'][0]:.0%}", _percentages(together.recall[0], excluded)),
            )
        )
    return "\n".join([*lines, "", f"with all images in one place: {pooled.last['accuracy'][0]:.0%}"])


def _line(*cells: str) -> str:
    widths = (-10, -7, 6, 8, 13, 8, 16)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _percentages(recall: Figures, digits: tuple[int, ...]) -> str:
    return ", ".join(f"{recall[digit]:.0%}" for digit in digits)
