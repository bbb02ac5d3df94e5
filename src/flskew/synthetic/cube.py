"""FCUBE: four clients, each with two opposite corners of a cube."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.streams import Streams
from flskew._util import checks
from flskew.synthetic._data import FederatedData, joined

__all__ = ["FcubeData", "fcube"]

# For each client, the corner where the first feature is positive; the other is opposite, on the far side of the origin.
_CORNERS = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])


class FcubeData(NamedTuple):
    """Points in a cube.

    Attributes:
        train: Training rows.
        test: Test rows of the same clients; all together, they are uniform in the cube.

    Examples:
        >>> from flskew.synthetic import fcube
        >>> fcube().test.assignment.label_counts
        array([[125, 125],
               [125, 125],
               [125, 125],
               [125, 125]])
    """

    train: FederatedData
    test: FederatedData


def fcube(rows_per_partition: int = 1000, test_rows_per_partition: int = 250, *, seed: int = 42) -> FcubeData:
    """Draw the data set FCUBE of NIID-Bench: covariate shift with balanced labels.

    Use it when clients should differ in their features only, and you want to see the data in three dimensions.

    Points are uniform in the cube from -1 to 1 in three dimensions. The label is 0 if the first feature is positive,
    else 1. The planes through the origin cut the cube into eight parts; each of the four clients holds two that are
    symmetric about the origin. So every client sees another part of the cube, but both labels equally often.

    A client's rows alternate between its two parts, as in the paper's code, so they need no shuffling. Unlike in that
    code, test rows are assigned to clients and alternate, too.

    Args:
        rows_per_partition: Number of training rows of each client, at least 1. The default gives 4,000 in total, as in
            the paper.
        test_rows_per_partition: Number of test rows of each client, at least 0. The default gives 1,000 in total, as in
            the paper.
        seed: Any integer.

    Returns:
        Training and test rows, each with features of shape (num_rows, 3).

    Raises:
        TypeError: An argument is not an integer.
        ValueError: A number of rows is too small.

    References:
        Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
        https://arxiv.org/abs/2102.02079, section IV.

    Examples:
        >>> from flskew.synthetic import fcube
        >>> features, labels, assignment = fcube().train
        >>> (features[assignment[1]] > 0)[:2], labels[assignment[1]][:2]
        (array([[ True,  True, False],
               [False, False,  True]]), array([0, 1]))
    """
    count = checks.integer("rows_per_partition", rows_per_partition, minimum=1)
    test_count = checks.integer("test_rows_per_partition", test_rows_per_partition, minimum=0)
    streams = Streams(checks.seed(seed, otherwise="every call would draw other data"))

    def part(purpose: str, count: int) -> FederatedData:
        return joined([_client(streams(f"fcube:{purpose}", client), client, count) for client in range(4)])

    return FcubeData(part("train", count), part("test", test_count))


def _client(rng: np.random.Generator, client: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the features and labels of one client."""
    labels = np.arange(count) % 2
    corners = _CORNERS[client] * (1 - 2 * labels)[:, None]
    return rng.random((count, 3)) * corners, labels
