"""The figures of a study: tables, intervals, and who gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from flskew._util import checks
from flskew._util.texts import listed
from flskew.study._cells import check_cells
from flskew.study._figures import What, checked, is_lower_better, reduced, values_of
from flskew.study._frames import cell_frame, client_frame, recall_frame
from flskew.study._gains import gains_table
from flskew.study._means import means_table
from flskew.study._methods import BASELINES
from flskew.study._pictures import plot_clients, plot_curves, plot_gains
from flskew.study._remarks import remarks_on
from flskew.study._targets import targets_table
from flskew.study.cell import Cell
from flskew.study.table import Table
from flskew.typing import Figures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Results"]


class Results:
    """What a study has found so far: who gains, by which method, and how sure that is.

    `Study.run` and `Study.results` return it. It prints as `table()` and its `remarks`, and displays like that in
    notebooks.

    A mean over seeds comes with its confidence interval. If a partitioner draws a new split for each seed, the interval
    includes the luck of the draw; for an `Assignment`, only that of training. Means are compared by `gains`, not by
    looking whether their intervals overlap: methods share the seeds and the splits, and what all of them gain from a
    lucky seed does not count.

    Args:
        cells: The finished cells.
        splits: Names of all splits, in order.
        methods: Names of all methods, in order, the baselines first.
        seeds: All seeds.
        metric: The metric to compare.
        lower_is_better: Whether a lower value is better.
        interval: "t" for Student's t, or "bootstrap" for percentiles of 9,999 resampled means, drawn by a generator
            with a fixed seed. Bootstrap intervals are too short for few seeds: those of 95 % contain the true mean in
            85 % of studies with five seeds, and in 90 % with ten.
        confidence: Confidence of the intervals, between 0 and 1. `gains` calls a difference "better" or "worse" if its
            corrected p-value is below 1 - `confidence`.

    Raises:
        ValueError: A cell belongs to none of the splits, methods and seeds, occurs twice, does not contain the metric,
            or has another split than others of its name and seed.

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
        check_cells(self)

    def using(
        self,
        *,
        metric: str | None = None,
        lower_is_better: bool | None = None,
        interval: Literal["t", "bootstrap"] | None = None,
        confidence: float | None = None,
    ) -> Results:
        """Return the same results with another metric or other intervals.

        Args:
            metric: The metric to compare, among those that `task.evaluate` returns. If you change it, also say whether
                lower is better.
            lower_is_better: Whether a lower value is better.
            interval: "t" or "bootstrap".
            confidence: Between 0 and 1.

        Raises:
            ValueError: There is no such metric or interval, or `confidence` is out of range.

        Examples:
            >>> from flskew.study import Results
            >>> Results([], ["iid"], ["FedAvg"], range(3)).using(metric="loss", lower_is_better=True).metric
            'loss'
        """
        return Results(
            self.cells,
            self.splits,
            self.methods,
            self.seeds,
            metric=self.metric if metric is None else metric,
            lower_is_better=self.lower_is_better if lower_is_better is None else lower_is_better,
            interval=self.interval if interval is None else interval,
            confidence=self.confidence if confidence is None else confidence,
        )

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

    def table(self, what: What = "last") -> Table:
        """Return the mean of each method on each split, with its interval.

        The best mean of a split is marked, but not those of "alone" and "pooled". Whether it is better by more than
        chance, `gains` says.

        Args:
            what: As in `figures`.

        Returns:
            A table of methods and splits. Its `frame` has a row for each split and method, with columns "mean", "low",
            "high" and "seeds", the number of seeds that the mean is taken of.

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such figure.
        """
        return means_table(self, checked(what))

    def gains(self, method: str | None = None, over: str = "FedAvg", what: What = "last") -> Table:
        """Compare methods with one of them, seed by seed on the same splits.

        The p-values are those of paired t-tests, corrected by Holm's procedure for all comparisons in the table, so if
        no method differs from the reference, at most 5 % of all tables contain a "better" or "worse". The row "all
        splits" is another comparison, of the means over the splits. Figures of clients are compared on the same
        clients, which matters if "alone" trained only some of them.

        Use enough seeds, and compare only what you want to know. A difference as large as its standard deviation over
        the seeds, or twice as large, is found with five seeds in 40 % and 91 % of studies, and with ten seeds in 80 %
        and 100 % of studies. As one of twelve comparisons, it is found in 7 % and 34 %, and in 34 % and 97 %.

        Args:
            method: The method to compare; None for all except the baselines "alone" and "pooled".
            over: The reference, any method or baseline. `over="alone"` says who gains from training together.
            what: As in `figures`; "own" is what the clients get.

        Returns:
            A table whose `frame` has a row for each split and method, with columns "gain", the mean difference, which
            is positive if the method is better, "low", "high", "seeds", "p", "adjusted", "verdict" and "note". The
            verdict is "better", "worse" or "no evidence of a difference".

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such method or figure, or nothing to compare.
        """
        self._known(over=over)
        if method is not None:
            self._known(method=method)
        others = [name for name in self.methods if name not in (*BASELINES, over)] if method is None else [method]
        if not others or others == [over]:
            raise ValueError(f"there is nothing to compare with over={over!r}; the methods are {listed(self.methods)}")
        return gains_table(self, others, over, checked(what))

    def clients(self, split: str) -> pd.DataFrame:
        """Return what each client gets from each method: the metric on its own test rows.

        Args:
            split: Name of a split.

        Returns:
            A data frame with columns (method, "mean"), and for all but "alone", (method, "gain"), the gain over
            training alone, and the ends of its interval, (method, "low") and (method, "high"). It has a row for each
            client. If the split is drawn anew for each seed so that client 3 of one seed has other classes or sizes
            than client 3 of another, there is a row for each seed and client, and no interval.

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such split.
        """
        self._known(split=split)
        return client_frame(self, split)

    def recall(self, split: str) -> pd.DataFrame:
        """Return the recall of each class under each method, on the whole test set: the mean over seeds.

        For "alone", it is also the mean over its models.

        Args:
            split: Name of a split.

        Returns:
            A data frame of methods and classes; NaN if `task.evaluate` returns no "accuracy".

        Raises:
            ValueError: There is no such split.
        """
        self._known(split=split)
        return recall_frame(self, split)

    def to_target(self, value: float) -> Table:
        """Return how many rounds and bytes each method takes until the metric on the whole test set reaches a value.

        Args:
            value: The target.

        Returns:
            A table whose `frame` has a row for each split and method, with columns "reached", the number of seeds that
            reached the target, "seeds", the number of seeds that were run, and the means over those that reached it:
            "rounds", and "bytes", of all messages and replies. Means of few seeds are means of the lucky ones.

        Raises:
            TypeError: The target is not a number.
        """
        return targets_table(self, value)

    def plot(self, split: str | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the metric on the whole test set by round: a panel per split, a line per method.

        A line is the mean over the seeds, and a band its interval. The last values of "alone" and "pooled" are dashed
        lines. A cross marks the round in which the first run of a method ended early. With more than six methods there
        are no bands; with more than eight, the eight best are coloured, and the others grey.

        Args:
            split: Name of a split; all by default.
            ax: The axes to draw one split on; a new figure by default.

        Raises:
            ImportError: matplotlib or SciPy is not installed.
            TypeError: `ax` is not an Axes.
            ValueError: There is no such split, several are drawn on one Axes, or none has been run.
        """
        if split is not None:
            self._known(split=split)
        return plot_curves(self, split, ax)

    def plot_gains(
        self,
        method: str | None = None,
        over: str = "FedAvg",
        what: What = "last",
        *,
        split: str | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw `gains`: a panel per split, and for each method its gain and the interval.

        A filled dot is a difference that `gains` calls "better" or "worse", an empty one "no evidence of a difference".

        Args:
            method: As in `gains`.
            over: As in `gains`.
            what: As in `gains`.
            split: Name of a split, or "all splits"; by default, all of them.
            ax: The axes to draw one split on; a new figure by default.

        Raises:
            ImportError: matplotlib or SciPy is not installed.
            TypeError: `ax` is not an Axes.
            ValueError: As `gains`, there is no such split, several are drawn on one Axes, or there is nothing to draw.
        """
        return plot_gains(self, self.gains(method, over, what).frame, over, what, split, ax)

    def plot_clients(self, split: str, method: str, *, over: str = "alone", ax: Axes | None = None) -> Figure:
        """Draw the metric of each client on its own test rows, alone and under a method, joined by a line.

        Clients that gain most are on top; the lines of those that lose are dotted. If the split is drawn anew for each
        seed, each seed has its own clients. Of more than 30 clients, the 15 that gain most and the 15 that gain least
        are drawn.

        Args:
            split: Name of a split.
            method: Name of a method.
            over: The method to compare with.
            ax: The axes to draw on; a new figure by default.

        Raises:
            ImportError: matplotlib is not installed.
            TypeError: `ax` is not an Axes.
            ValueError: There is no such split or method, or no client was tested under both.
        """
        self._known(split=split, method=method, over=over)
        return plot_clients(self, split, method, over, ax)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell that has been run, with all figures of `What`.

        The other columns are "split", "method", "seed", "rounds", "bytes", "dropped" replies, "seconds" and "error".
        """
        return cell_frame(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on what you should know before you draw conclusions."""
        return tuple(remarks_on(self))

    def __str__(self) -> str:
        """The table of the last round, and the remarks."""
        return str(self._overview())

    def __repr__(self) -> str:
        """Same as `str(results)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the table of the last round and the remarks in GitHub's Markdown."""
        return self._overview().to_markdown()

    def _repr_html_(self) -> str:
        return self._overview()._repr_html_()

    def _overview(self) -> Table:
        table = self.table()
        return replace(table, remarks=(*table.remarks, *self.remarks))

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
