"""How skewed a split is, in numbers.

p_k is the label distribution of partition k, p that of all rows held, n_k the rows of partition k, w_k = n_k / N its
share of them, and H the entropy in bits. A partition without rows has no p_k: it weighs nothing in the measures that
are weighted by rows and is left out of the others, so no measure is ever NaN. Every measure is the same whatever the
order of the partitions and the classes, and whatever the classes are called.

`flskew.skew.tally` says what a split may come as, and what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.skew._summary import PerPartition, Summary
from flskew.skew.tally import Split, tally

__all__ = [
    "MEASURES",
    "Measure",
    "effective_classes",
    "effective_clients",
    "gini",
    "hellinger",
    "jensen_shannon",
    "label_information",
    "missing_classes",
    "total_variation",
]

Measure: TypeAlias = Callable[[Split], float]
"""One of the measures below, or a function of your own from a split to a number."""


def total_variation(split: Split) -> float:
    """Return the distance between a client's label distribution and that of all: sum_k w_k · 1/2 · ||p_k - p||_1.

    It is the fraction of a client's rows that would have to change their label for all clients to have the same
    distribution. The "earth mover's distance" of Yue Zhao, Meng Li, Liangzhen Lai, Naveen Suda, Damon Civin and Vikas
    Chandra, Federated Learning with Non-IID Data, arXiv 1806.00582 (2018), is twice this.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (all alike) to 1 - sum_k w_k² (no two clients share a class), which is below 1.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.total_variation(np.array([[8, 0], [0, 8]]))  # each would have to change half of its rows
        0.5
    """
    summary = tally(split).summary
    return float(_weights(summary) @ summary.distance)


def label_information(split: Split) -> float:
    """Return how much of a row's label its client tells: I(client; label) / H(label).

    The numerator, the mutual information of client and label, is the Jensen-Shannon divergence of the clients' label
    distributions, weighted by rows.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (nothing) to 1 (who knows the client knows the label); 0 where all rows are of one class.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.label_information(np.array([[8, 0], [0, 8]]))
        1.0
    """
    summary = tally(split).summary
    in_all = _entropy(summary.totals / summary.totals.sum())
    if in_all == 0:
        return 0.0
    return _clipped(1 - np.dot(_weights(summary), summary.entropy) / in_all)


def missing_classes(split: Split) -> float:
    """Return the fraction of pairs of client and class of which the client has no row.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (every client has every class) to 1 - 1 / num_classes (each has one), more only where partitions have no rows,
            as these lack every class.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.missing_classes(np.array([[8, 0], [4, 4]]))  # one of four
        0.25
    """
    summary = tally(split).summary
    cells = len(summary.sizes) * len(summary.totals)
    return float((cells - summary.held.sum()) / cells)


def effective_classes(split: Split) -> float:
    """Return how many classes a client has, rare ones counting less: mean_k 2^H(p_k).

    A client with the same number of rows of each of four classes has four effective classes; one with nearly all of
    its rows in one class has little more than one.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        1 to the number of classes; partitions without rows are left out.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.effective_classes(np.array([[8, 0], [4, 4]]))  # (1 + 2) / 2
        1.5
    """
    summary = tally(split).summary
    return float(np.exp2(summary.entropy[summary.sizes > 0]).mean())


def effective_clients(split: Split) -> float:
    """Return the fraction of clients that the rows are spread over: 2^H(w) / num_partitions.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        1 / num_partitions (one has all rows) to 1 (all have as many).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.effective_clients(np.array([[4, 4], [4, 4], [0, 0], [0, 0]]))  # 2 of 4
        0.5
    """
    summary = tally(split).summary
    return float(np.exp2(_entropy(_weights(summary))) / len(summary.sizes))


def gini(split: Split) -> float:
    """Return the Gini coefficient of the clients' sizes: sum_kl |n_k - n_l| / (2 · num_partitions · N).

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (all have as many rows) to 1 - 1 / num_partitions (one has them all).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.gini(np.array([[6], [2]]))  # (|6 - 2| + |2 - 6|) / (2 · 2 · 8)
        0.25
    """
    summary = tally(split).summary
    rising = np.sort(summary.sizes)
    count = len(rising)
    # Sorted, each size is subtracted as often as there are larger ones, and added as often as smaller ones.
    places = 2 * np.arange(count) - count + 1
    return float(places @ rising.astype(np.float64) / (count * rising.sum()))


def jensen_shannon(split: Split) -> float:
    """Return the Jensen-Shannon distance of the clients' label distributions, each client counting alike.

    sqrt((H(mean_k p_k) - mean_k H(p_k)) / log2(K)) for K clients with rows, as the library FedArtML publishes it;
    for two clients it is SciPy's `jensenshannon` to base 2. `label_information` weighs clients by rows instead.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (all alike) to 1; 1 where no two clients share a class. 0 where only one has rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.jensen_shannon(np.array([[8, 0], [0, 2]]))
        1.0
    """
    summary = tally(split).summary
    filled = summary.entropy[summary.sizes > 0]
    if len(filled) == 1:
        return 0.0
    return float(np.sqrt(_clipped((_entropy(summary.mean_shares) - filled.mean()) / np.log2(len(filled)))))


def hellinger(split: Split) -> float:
    """Return the Hellinger distance of the clients' label distributions, each pair of clients counting alike.

    The root of the mean of the squared distance 1/2 · ||sqrt(p_k) - sqrt(p_l)||² over all pairs of clients with rows,
    as the library FedArtML publishes it; computed without going through the pairs.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 (all alike) to 1 (no two clients share a class). 0 where only one has rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> round(skew.hellinger(np.array([[8, 0], [0, 2]])), 6)
        1.0
    """
    summary = tally(split).summary
    count = np.count_nonzero(summary.sizes)
    if count == 1:
        return 0.0
    # The squared distances of all ordered pairs of unit vectors sum to count² - ||sum of the vectors||².
    return float(np.sqrt(_clipped((count**2 - np.dot(summary.root_shares, summary.root_shares)) / (count**2 - count))))


def _weights(summary: Summary) -> PerPartition:
    weights: PerPartition = summary.sizes / summary.sizes.sum()
    return weights


def _entropy(shares: NDArray[np.float64]) -> float:
    """Return the entropy in bits, with 0·log 0 = 0."""
    some = shares[shares > 0]
    return float(-(some @ np.log2(some)))


def _clipped(value: np.floating[Any]) -> float:
    """Return a number that is between 0 and 1 but for rounding."""
    return min(max(float(value), 0.0), 1.0)


MEASURES: dict[str, Measure] = {
    measure.__name__: measure
    for measure in (
        total_variation,
        label_information,
        missing_classes,
        effective_classes,
        effective_clients,
        gini,
        jensen_shannon,
        hellinger,
    )
}
"""The measures by name, in the order of a report."""
