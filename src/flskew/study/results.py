"""The figures of a study: tables, intervals, and who gains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from flskew._util import checks
from flskew._util.texts import listed
from flskew.study._figures import What, checked
from flskew.study._frames import cell_frame, client_frame, recall_frame
from flskew.study._gains import gains_table
from flskew.study._grid import Grid
from flskew.study._means import means_table
from flskew.study._methods import BASELINES
from flskew.study._pictures import plot_clients, plot_curves, plot_gains
from flskew.study._remarks import remarks_on
from flskew.study._targets import targets_table
from flskew.study.table import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Results"]


class Results(Grid):
    """What a study has found so far: who gains, by which method, and how sure that is.

    `Study.run` and `Study.results` return it. It prints as `table()` and its `remarks`, and displays like that in
    notebooks.

    A mean over seeds comes with its confidence interval. If a partitioner draws a new split for each seed, the interval
    includes the luck of the draw; for an `Assignment`, only that of training. Compare means with `gains`, not by
    checking whether their intervals overlap: methods share the seeds and the splits, so what all of them gain from a
    lucky seed cancels out.

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
        >>> import numpy as np, tempfile
        >>> from flskew import DirichletPartitioner, FedAvg
        >>> from flskew.study import Study
        >>> class Site:
        ...     def __init__(self, values):
        ...         self.values = values
        ...
        ...     def fit(self, parameters, config):
        ...         return [np.array([self.values.mean()])], len(self.values), {}
        >>> class Threshold:
        ...     "The model is one number; values above it are class 1."
        ...
        ...     def __init__(self):
        ...         rng = np.random.default_rng(0)
        ...         self.labels = rng.integers(0, 2, 60)
        ...         self.test_labels = rng.integers(0, 2, 200)
        ...         self.values = rng.normal(2 * self.labels)
        ...         self.test_values = rng.normal(2 * self.test_labels)
        ...
        ...     def initial(self, seed):
        ...         return [np.zeros(1)]
        ...
        ...     def client(self, rows):
        ...         return Site(self.values[rows])
        ...
        ...     def evaluate(self, parameters, rows):
        ...         guesses = self.test_values[rows] > parameters[0]
        ...         return {"accuracy": (guesses == self.test_labels[rows]).mean()}
        >>> splits = {"dirichlet": DirichletPartitioner(4, alpha=0.3)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     methods = {"FedAvg": FedAvg()}
        ...     study = Study(Threshold(), splits, methods, range(5), num_rounds=1)
        ...     results = study.run(folder)
        >>> results.table()
        accuracy on the whole test set after the last round:
        mean over 5 seeds ± half of the 95 % interval
        <BLANKLINE>
        method     dirichlet
        alone  0.776 ± 0.037
        pooled 0.815 ± 0.000
        FedAvg 0.815 ± 0.000
        >>> results.gains(over="alone").frame["verdict"].tolist()
        ['better']
    """

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
            metric: The metric to compare, among those that `task.evaluate` returns. If you change it, also pass
                `lower_is_better`.
            lower_is_better: Whether a lower value is better.
            interval: "t" or "bootstrap".
            confidence: Between 0 and 1.

        Raises:
            ValueError: There is no such metric or interval, or `confidence` is out of range.

        Examples:
            >>> from flskew.study import Results
            >>> Results([], ["iid"], ["FedAvg"], range(3)).using(
            ...     metric="loss", lower_is_better=True
            ... ).metric
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

    def table(self, what: What = "last") -> Table:
        """Return the mean of each method on each split, with its interval.

        The best mean of a split is marked, except for "alone" and "pooled". `gains` says whether it is better by more
        than chance.

        Args:
            what: The figure; see `What`.

        Returns:
            A table of methods and splits. Its `frame` has a row for each split and method, with columns "mean", "low",
            "high" and "seeds", the number of seeds.

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such figure.
        """
        return means_table(self, checked(what))

    def gains(self, method: str | None = None, over: str = "FedAvg", what: What = "last") -> Table:
        """Compare methods with a reference method, seed by seed on the same splits.

        The p-values are those of paired t-tests, corrected by Holm's procedure for all comparisons in the table. So at
        most 5 % of all tables call a method "better" or "worse" that does not differ from the reference. The row "all
        splits" compares the means over the splits, and counts as another comparison. Figures of clients are compared on
        the same clients, which matters if "alone" trained only some of them.

        Use enough seeds, and compare only what you want to know. The chance of finding a true difference of one or two
        standard deviations over the seeds is

        - with five seeds, 40 % and 91 %, or 7 % and 34 % as one of twelve comparisons;
        - with ten seeds, 80 % and 100 %, or 34 % and 97 % as one of twelve comparisons.

        Args:
            method: The method to compare; None for all except the baselines "alone" and "pooled".
            over: The reference, any method or baseline. `over="alone"` says who gains from training together.
            what: The figure to compare; see `What`. "own" is what the clients get.

        Returns:
            A table whose `frame` has a row for each split and method, with columns "gain", the mean difference, which
            is positive if the method is better, "low", "high", "seeds", "p", "adjusted", "verdict" and "note". The
            verdict is "better", "worse" or "no evidence of a difference". The text leaves out "p".

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such method or figure, or nothing to compare.
        """
        self._known(over=over)
        if method is not None:
            self._known(method=method)
        others = [name for name in self.methods if name not in (*BASELINES, over)] if method is None else [method]
        if not others or others == [over]:
            raise ValueError(
                f"there is nothing to compare with over={over!r}; choose another method or reference, such as "
                f"over='alone', among {listed(self.methods)}"
            )
        return gains_table(self, others, over, checked(what))

    def clients(self, split: str, what: Literal["own", "last"] = "own") -> pd.DataFrame:
        """Return what each client gets from each method.

        Args:
            split: Name of a split.
            what: "own" for the metric on the client's own test rows, or "last" for the metric on the whole test set.
                There, a method gives all clients the same value, but training alone does not.

        Returns:
            A data frame with a row for each client. Its columns are (method, "mean") and, except for "alone", (method,
            "gain"), the gain over training alone, with the ends of its interval, (method, "low") and (method, "high").
            If each seed draws a new split, client 3 of one seed is not client 3 of another. Then there is a row for
            each seed and client, and no interval. Clients with names are the same for all seeds.

        Raises:
            ImportError: SciPy is not installed.
            ValueError: There is no such split or figure.
        """
        self._known(split=split)
        return client_frame(self, split, checks.choice("what", what, ("own", "last")))

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
            A table whose `frame` has a row for each split and method, with four columns. "seeds" is the number of seeds
            that were run, and "reached" how many of them reached the target. Over the latter, "rounds" and "bytes" (of
            all messages and replies) are means. If few seeds reached the target, these means are too optimistic.

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
            method: The method to compare; None for all except "alone" and "pooled".
            over: The reference, any method or baseline.
            what: The figure to compare; see `What`.
            split: Name of a split, or "all splits"; by default, all of them.
            ax: The axes to draw one split on; a new figure by default.

        Raises:
            ImportError: matplotlib or SciPy is not installed.
            TypeError: `ax` is not an Axes.
            ValueError: There is no such method, figure or split, several splits are drawn on one Axes, or there is
                nothing to draw.
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

        The other columns are "split", "method", "seed", "rounds", "bytes", "dropped" replies, "seconds", "error", and
        the "fingerprint" of the split of the training rows.
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
