"""Measures of how skewed a split is.

p_k is the label distribution of partition k, p that of all partitions together, n_k the number of rows of partition k,
w_k = n_k / N its share of all N rows, and H the entropy in bits. A partition without rows has no p_k: its weight is 0
in measures that are weighted by rows, and the others ignore it, so measures are never NaN. The order of the partitions
and classes and the names of the classes do not matter.

If rows may have several labels or none, labels take the place of rows: n_k is the number of labels of partition k, and
a partition whose rows have no labels has no p_k.

`flskew.skew.tally` lists the types of split that are accepted.
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
"""One of the measures below, or any function from a split to a number."""


def total_variation(split: Split) -> float:
    """Return the mean total variation distance of the clients' labels from all labels: sum_k w_k · 1/2 · ||p_k - p||_1.

    Use it first: it is the fraction of labels that would have to change to give all clients the same label
    distribution, and means the same for any number of classes. The "earth mover's distance" of Yue Zhao, Meng Li,
    Liangzhen Lai, Naveen Suda, Damon Civin and Vikas Chandra, Federated Learning with Non-IID Data, arXiv 1806.00582
    (2018), is twice the total variation.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (all clients identical) to 1 - sum_k w_k² (no two clients share a class), which is below 1.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> # Each client would have to change half of its labels.
        >>> skew.total_variation(np.array([[8, 0], [0, 8]]))
        0.5
    """
    summary = tally(split)._summary
    return float(_weights(summary) @ summary.distance)


def label_information(split: Split) -> float:
    """Return how much the client reveals about a row's label: I(client; label) / H(label).

    This is Theil's uncertainty coefficient. It equals scikit-learn's `homogeneity_score(labels, clients)`, unless all
    rows are of one class: then it is 0, whereas scikit-learn's score is 1. The numerator, the mutual information of
    client and label, is the Jensen-Shannon divergence of the clients' label distributions, weighted by rows.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (nothing) to 1 (the client determines the label); 0 if all rows are of one class.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.label_information(np.array([[8, 0], [0, 8]]))
        1.0
    """
    summary = tally(split)._summary
    in_all = _entropy(summary.totals / summary.totals.sum())
    if in_all == 0:
        return 0.0
    return _clipped(1 - np.dot(_weights(summary), summary.entropy) / in_all)


def missing_classes(split: Split) -> float:
    """Return the fraction of client-class pairs without rows.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (every client has every class) to 1 - 1 / num_classes (each has one), or more if partitions have no rows,
            because these lack every class.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.missing_classes(np.array([[8, 0], [4, 4]]))  # one of four
        0.25
    """
    summary = tally(split)._summary
    cells = len(summary.sizes) * len(summary.totals)
    return float((cells - summary.held.sum()) / cells)


def effective_classes(split: Split) -> float:
    """Return the mean effective number of classes of a client, which counts rare classes less: mean_k 2^H(p_k).

    A client with equally many rows of four classes has four effective classes; a client with nearly all rows in one
    class has slightly more than one. This is a number of classes, whereas `effective_clients` is a fraction.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        1 to the number of classes; partitions without rows are ignored.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.effective_classes(np.array([[8, 0], [4, 4]]))  # (1 + 2) / 2
        1.5
    """
    summary = tally(split)._summary
    return float(np.exp2(summary.entropy[summary.sizes > 0]).mean())


def effective_clients(split: Split) -> float:
    """Return the fraction of clients among which the rows are effectively spread: 2^H(w) / num_partitions.

    This is a fraction of the clients, whereas `effective_classes` is a number of classes.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        1 / num_partitions (one client has all rows) to 1 (all clients have equally many).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.effective_clients(np.array([[4, 4], [4, 4], [0, 0], [0, 0]]))  # 2 of 4
        0.5
    """
    summary = tally(split)._summary
    return float(np.exp2(_entropy(_weights(summary))) / len(summary.sizes))


def gini(split: Split) -> float:
    """Return the Gini coefficient of the clients' sizes: sum_kl |n_k - n_l| / (2 · num_partitions · N).

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (all clients have equally many rows) to 1 - 1 / num_partitions (one has all rows).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.gini(np.array([[6], [2]]))  # (|6 - 2| + |2 - 6|) / (2 · 2 · 8)
        0.25
    """
    summary = tally(split)._summary
    rising = np.sort(summary.sizes)
    count = len(rising)
    # In sorted order, each size is subtracted once per larger size and added once per smaller one.
    places = 2 * np.arange(count) - count + 1
    return float(places @ rising.astype(np.float64) / (count * rising.sum()))


def jensen_shannon(split: Split) -> float:
    """Return the Jensen-Shannon distance of the clients' label distributions, with equal weights.

    Use it to compare with published figures. It is sqrt((H(mean_k p_k) - mean_k H(p_k)) / log2(K)) for K clients with
    rows, as in the library FedArtML. For two clients, it equals SciPy's `jensenshannon` with base 2.
    `label_information` weights clients by rows instead.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (all clients identical, or only one has rows) to 1 (no two clients share a class).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> skew.jensen_shannon(np.array([[8, 0], [0, 2]]))
        1.0
    """
    summary = tally(split)._summary
    filled = summary.entropy[summary.sizes > 0]
    if len(filled) == 1:
        return 0.0
    return float(np.sqrt(_clipped((_entropy(summary.mean_shares) - filled.mean()) / np.log2(len(filled)))))


def hellinger(split: Split) -> float:
    """Return the Hellinger distance of the clients' label distributions, with equal weights.

    Use it to compare with published figures. It is the root of the mean squared distance 1/2 · ||sqrt(p_k) -
    sqrt(p_l)||² over all pairs of clients with rows, as in the library FedArtML.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 (all clients identical, or only one has rows) to 1 (no two clients share a class).

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> round(skew.hellinger(np.array([[8, 0], [0, 2]])), 6)
        1.0
    """
    summary = tally(split)._summary
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
    """Return a number in [0, 1] without its rounding error; 0.0 comes first so that -0.0 becomes 0.0."""
    return min(max(0.0, float(value)), 1.0)


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
"""All measures by name, in the order of a report."""
