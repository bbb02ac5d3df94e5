"""The alpha that gives a Dirichlet split the skew you want."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.multi_reading import read_any_labels
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.skew.measures import Measure, total_variation
from flskew.skew.tally import Tally, tally
from flskew.typing import Labels, MultiLabels

__all__ = ["AlphaEstimate", "alpha_for"]

# Below the range, each class goes to one partition; above it, splits are as even as IID splits.
_SMALLEST, _LARGEST = 1e-3, 1e4
# Bisections of log(alpha): the last step is about 0.1 %, and alpha is rounded to three digits.
_HALVINGS = 14


class AlphaEstimate(NamedTuple):
    """The alpha for a target skew, and the skew it actually gives.

    Attributes:
        alpha: Rounded to three significant digits.
        mean: Mean of the measure over the draws.
        spread: Standard deviation of the measure over the draws, i.e. how much individual splits vary.

    Examples:
        >>> from flskew import skew
        >>> skew.AlphaEstimate(alpha=0.5, mean=0.404, spread=0.031).alpha
        0.5
    """

    alpha: float
    mean: float
    spread: float

    def _repr_html_(self) -> str:
        return f"<p>alpha = {self.alpha:,g}: {self.mean:.3f} ± {self.spread:.3f}</p>"


def alpha_for(
    target: float,
    labels: Labels | MultiLabels,
    num_partitions: int,
    *,
    measure: Measure = total_variation,
    min_partition_size: int = 10,
    num_draws: int = 50,
    seed: int = 42,
) -> AlphaEstimate:
    """Find the alpha with which `DirichletPartitioner` gives these labels a target skew.

    Use it when you know how much skew you want, but not which alpha gives it on your data.

    The effect of alpha depends on the classes, their sizes and the number of partitions: the same alpha may be strong
    skew on one data set and mild on another. This function draws splits with many seeds and bisects alpha until their
    mean skew is the target. An individual split differs from that mean by about `spread`; `report` measures it.

    Args:
        target: The desired mean of the measure.
        labels: One label per row, or several, as `DirichletPartitioner.assign` takes them. With several, every draw
            splits the rows, which takes longer.
        num_partitions: Same as for `DirichletPartitioner`.
        measure: One of the measures of `flskew.skew`, or any function from a split to a number that is monotonic in
            alpha.
        min_partition_size: Same as for `DirichletPartitioner`.
        num_draws: Number of splits per alpha, >= 2; more make the mean more precise.
        seed: Any integer; the same seed gives the same alpha.

    Returns:
        The alpha, and the mean and the spread of the measure that it gives.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: No alpha from 0.001 to 10,000 gives the target; the message states the range that is possible.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(6000)]
        >>> found = skew.alpha_for(0.3, labels, num_partitions=10)
        >>> abs(found.mean - 0.3) < 0.01
        True
        >>> partitioner = DirichletPartitioner(10, "label", alpha=found.alpha)
        >>> assignment = partitioner.assign(labels)
    """
    wanted = _number("target", target)
    if not callable(measure):
        raise TypeError(f"measure must be a function of a split, such as skew.total_variation, got {measure!r}")
    column = read_any_labels(labels)
    num_draws = checks.integer("num_draws", num_draws, minimum=2)
    streams = Streams(checks.seed(seed, otherwise="each call would find a different alpha"))
    seeds = [int(streams("alpha", draw).integers(1 << 32)) for draw in range(num_draws)]

    def measured(alpha: float) -> AlphaEstimate:
        draws = (_draw(column, num_partitions, alpha, min_partition_size, split_seed) for split_seed in seeds)
        values = [_number("measure(split)", measure(draw)) for draw in draws]
        return AlphaEstimate(alpha, float(np.mean(values)), float(np.std(values, ddof=1)))

    low, high = measured(_SMALLEST), measured(_LARGEST)
    if not min(low.mean, high.mean) <= wanted <= max(low.mean, high.mean):
        raise ValueError(
            f"target={target!r} is out of reach: on these labels and {num_partitions} partitions, alpha {_SMALLEST:g} "
            f"gives {low.mean:.3f} and alpha {_LARGEST:g} gives {high.mean:.3f}; choose a target between them"
        )
    rises = high.mean > low.mean
    bounds = [math.log(_SMALLEST), math.log(_LARGEST)]
    for _ in range(_HALVINGS):
        middle = measured(math.exp(sum(bounds) / 2))
        bounds[(middle.mean > wanted) == rises] = math.log(middle.alpha)
    return measured(float(f"{math.exp(sum(bounds) / 2):.3g}"))


def _draw(column: AnyColumn, num_partitions: int, alpha: float, min_partition_size: int, seed: int) -> Tally:
    """Return the counts of one split; measures do not depend on which rows were drawn."""
    # Imported here, so that measuring does not load Flower Datasets.
    from flskew.partitioners import DirichletPartitioner

    partitioner = DirichletPartitioner(num_partitions, "label", alpha, min_partition_size, seed=seed)
    partitioner.check_num_rows(len(column))
    if isinstance(column, MultiLabelColumn):
        return tally(partitioner.split_multi_label(column, Streams(seed)))
    counts = partitioner.class_counts(column, Streams(seed))
    return Tally(np.ascontiguousarray(counts.T), tuple(column.labels))


def _number(name: str, value: object) -> float:
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise TypeError(f"{name} must be a finite number, a value of the measure, got {value!r:.40}")
