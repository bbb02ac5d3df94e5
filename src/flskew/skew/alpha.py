"""The alpha of a Dirichlet split that is as skewed as wanted."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from flskew._split.labels import LabelColumn, read_labels
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.skew.measures import Measure, total_variation
from flskew.skew.tally import Tally
from flskew.typing import Labels

__all__ = ["AlphaEstimate", "alpha_for"]

# Below, every class is with one partition; above, splits are as even as chance lets them be.
_SMALLEST, _LARGEST = 1e-3, 1e4
# Halvings of the logarithm of alpha: the last step is a thousandth, and alpha is given to three digits.
_HALVINGS = 14


class AlphaEstimate(NamedTuple):
    """The alpha for a wanted skew, and the skew it was found to give.

    Attributes:
        alpha: To three digits.
        mean: The measure, over the draws.
        spread: Its standard deviation from draw to draw: what one split may differ by.

    Examples:
        >>> from flskew import skew
        >>> skew.AlphaEstimate(alpha=0.5, mean=0.404, spread=0.031).alpha
        0.5
    """

    alpha: float
    mean: float
    spread: float


def alpha_for(
    target: float,
    labels: Labels,
    num_partitions: int,
    *,
    measure: Measure = total_variation,
    min_partition_size: int = 10,
    num_draws: int = 50,
    seed: int = 42,
) -> AlphaEstimate:
    """Find the alpha with which `DirichletPartitioner` splits these labels as skewed as wanted.

    What an alpha does depends on the classes, their sizes and the number of partitions, so one alpha is moderate skew
    on one data set and little on another. This draws splits with many seeds and bisects alpha until their mean is the
    target. A single split differs from that mean by about the spread; with `report` you see by how much.

    Args:
        target: The wanted mean of the measure.
        labels: One label per row, as `DirichletPartitioner.assign` takes them.
        num_partitions: As for the partitioner.
        measure: One of the measures of `flskew.skew`, or a function of your own from a split to a number that moves one
            way with alpha.
        min_partition_size: As for the partitioner.
        num_draws: Splits per alpha, >= 2; the mean is the more certain the more there are.
        seed: Any integer; the same one gives the same alpha.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: No alpha from 0.001 to 10,000 gives the target; the message says what can be had.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(6000)]
        >>> found = skew.alpha_for(0.3, labels, num_partitions=10)
        >>> abs(found.mean - 0.3) < 0.01
        True
        >>> assignment = DirichletPartitioner(10, "label", alpha=found.alpha).assign(labels)
    """
    wanted = _number("target", target)
    if not callable(measure):
        raise TypeError(f"measure must be a function of a split, such as skew.total_variation, got {measure!r}")
    column = read_labels(labels)
    num_draws = checks.integer("num_draws", num_draws, minimum=2)
    streams = Streams(checks.seed(seed, otherwise="each call would find another alpha"))
    seeds = [int(streams("alpha", draw).integers(1 << 32)) for draw in range(num_draws)]

    def measured(alpha: float) -> AlphaEstimate:
        draws = (_draw(column, num_partitions, alpha, min_partition_size, split_seed) for split_seed in seeds)
        values = [_number("measure(split)", measure(draw)) for draw in draws]
        return AlphaEstimate(alpha, float(np.mean(values)), float(np.std(values, ddof=1)))

    low, high = measured(_SMALLEST), measured(_LARGEST)
    if not min(low.mean, high.mean) <= wanted <= max(low.mean, high.mean):
        raise ValueError(
            f"target={target!r} is out of reach: on these labels and {num_partitions} partitions, alpha {_SMALLEST:g} "
            f"gives {low.mean:.3f} and alpha {_LARGEST:g} gives {high.mean:.3f}; choose one between"
        )
    rises = high.mean > low.mean
    bounds = [math.log(_SMALLEST), math.log(_LARGEST)]
    for _ in range(_HALVINGS):
        middle = measured(math.exp(sum(bounds) / 2))
        bounds[(middle.mean > wanted) == rises] = math.log(middle.alpha)
    return measured(float(f"{math.exp(sum(bounds) / 2):.3g}"))


def _draw(column: LabelColumn, num_partitions: int, alpha: float, min_partition_size: int, seed: int) -> Tally:
    """Return the counts of one split; which rows they are makes no difference to a measure."""
    # Here, so that who only measures does not wait for Flower Datasets.
    from flskew.partitioners import DirichletPartitioner

    partitioner = DirichletPartitioner(num_partitions, "label", alpha, min_partition_size, seed=seed)
    partitioner.check_num_rows(len(column))
    counts = partitioner.class_counts(column, Streams(seed))
    return Tally(np.ascontiguousarray(counts.T), tuple(column.labels))


def _number(name: str, value: object) -> float:
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise TypeError(f"{name} must be a finite number, a value of the measure, got {value!r:.40}")
