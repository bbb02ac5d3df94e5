"""Synthetic(alpha, beta): clients whose features and linear models differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.streams import Streams
from flskew._util import checks
from flskew.synthetic._data import FederatedData, joined

__all__ = ["SyntheticData", "synthetic"]

_FEATURES, _CLASSES = 60, 10
# The square roots of the variances, j^-1.2. NumPy's power may differ in the last bit with a processor's instructions.
_DEVIATIONS = np.array([j**-0.6 for j in range(1, _FEATURES + 1)])


class SyntheticData(NamedTuple):
    """Data of clients with linear models, and these models.

    Attributes:
        train: Training rows.
        test: Test rows of the same clients.
        weights: (num_partitions, 60, 10) float64. The label of features x at client k is the position of the largest
            entry of x @ weights[k] + biases[k].
        biases: (num_partitions, 10) float64.
        means: (num_partitions, 60) float64, the expected features of each client.

    Examples:
        >>> from flskew.synthetic import synthetic
        >>> data = synthetic(1, 1)
        >>> rows = data.test.assignment[7]
        >>> x = data.test.features[rows]
        >>> (x @ data.weights[7] + data.biases[7]).argmax(axis=1)[:5]
        array([7, 0, 7, 2, 7])
        >>> data.test.labels[rows][:5]
        array([7, 0, 7, 2, 7])
    """

    train: FederatedData
    test: FederatedData
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    means: NDArray[np.float64]


def synthetic(
    alpha: float = 0.0,
    beta: float = 0.0,
    num_partitions: int = 30,
    *,
    iid: bool = False,
    sizes: int | Iterable[int] | None = None,
    test: float = 0.1,
    seed: int = 42,
) -> SyntheticData:
    """Draw the data set Synthetic(alpha, beta) of the FedProx paper: 60 features, 10 classes, one model per client.

    Use it when clients should differ in every way at once: in features, in what they mean, in labels and in size.

    Let N(m, s) be the normal distribution with mean m and standard deviation s. Each client draws two numbers, u from
    N(0, alpha) and B from N(0, beta). The entries of its weights W and biases b are N(u, 1), and those of its mean v
    are N(B, 1). Its features x are normal with mean v and a diagonal covariance matrix of j^-1.2 for j = 1 ... 60. Its
    labels are argmax(xW + b). So clients differ in their features (covariate shift), in what the features mean (concept
    shift), and therefore in their labels; they also differ in size.

    Alpha has no effect on features and labels. It adds the same number, u (1 + the sum of x), to all ten outputs of a
    client, so the largest one remains the largest. Clients differ even if alpha and beta are 0, since each draws a
    model and a mean; only `iid=True` gives all clients the same.

    The data of a client depend only on the seed, its number, its size and the other arguments: adding clients or
    resizing others does not change them.

    The paper does not say whether alpha and beta are variances or standard deviations, or how sizes are distributed.
    Here, both follow its code, github.com/litian96/FedProx. At 0 and 1, variance and standard deviation agree.

    Args:
        alpha: Standard deviation of u, >= 0.
        beta: Standard deviation of B, >= 0: how far the features of clients are moved apart as a whole.
        num_partitions: Number of clients, at least 1.
        iid: The paper's IID variant: the same model for all, and v = 0. Then alpha and beta must be 0.
        sizes: Number of rows of each client, training and test rows together, at least 1: one number for all, or one
            per client. None draws them: 50 plus a log-normal number, rounded down, whose logarithm is N(4, 2).
        test: Fraction of each client's rows to hold out for testing, >= 0 and below 1, rounded up; at least one row is
            for training.
        seed: Any integer.

    Returns:
        Training rows, test rows, and the true models.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range, there is not one size per client, or alpha or beta is not 0 although
            `iid` is True.

    References:
        T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous
        Networks", MLSys 2020, https://arxiv.org/abs/1812.06127, section 5.1.

    Examples:
        >>> from flskew.synthetic import synthetic
        >>> train, test, *models = synthetic(1, 1, sizes=100)
        >>> train.features.shape, test.features.shape, len(train.assignment)
        ((2700, 60), (300, 60), 30)
    """
    alpha, beta = (
        checks.not_negative(name, value, "the paper uses 0, 0.5 and 1")
        for name, value in (("alpha", alpha), ("beta", beta))
    )
    count = checks.integer("num_partitions", num_partitions, minimum=1)
    streams = Streams(checks.seed(seed, otherwise="every call would draw other data"))
    if checks.truth("iid", iid) and (alpha or beta):
        raise ValueError(f"iid=True needs alpha=0 and beta=0, got {alpha:g} and {beta:g}; omit them, or iid")
    share = _checked_share(test)
    each = [_size(streams, client) for client in range(count)] if sizes is None else _checked_sizes(sizes, count)

    weights, biases = _models(streams, 0.0 if iid else alpha, [None] * count if iid else range(count))
    means = np.zeros((count, _FEATURES)) if iid else _means(streams, beta, count)
    training, testing = [], []
    for client, size in enumerate(each):
        noise = streams("synthetic:features", client).standard_normal((size, _FEATURES))
        features = means[client] + noise * _DEVIATIONS
        labels = (features @ weights[client] + biases[client]).argmax(axis=1)
        cut = max(1, int((1 - share) * size))
        training.append((features[:cut], labels[:cut]))
        testing.append((features[cut:], labels[cut:]))
    return SyntheticData(joined(training), joined(testing), weights, biases, means)


def _models(
    streams: Streams, alpha: float, clients: Iterable[int | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights and biases of each client; None is the model that all share."""
    weights, biases = [], []
    for client in clients:
        rng = streams("synthetic:model", client)
        mean = alpha * rng.standard_normal()
        weights.append(mean + rng.standard_normal((_FEATURES, _CLASSES)))
        biases.append(mean + rng.standard_normal(_CLASSES))
    return np.stack(weights), np.stack(biases)


def _means(streams: Streams, beta: float, count: int) -> NDArray[np.float64]:
    """(count, num_features) the expected features of each client."""
    generators = [streams("synthetic:means", client) for client in range(count)]
    return np.stack([beta * rng.standard_normal() + rng.standard_normal(_FEATURES) for rng in generators])


def _size(streams: Streams, client: int) -> int:
    return 50 + int(streams("synthetic:size", client).lognormal(4, 2))


def _checked_sizes(sizes: int | Iterable[int], count: int) -> list[int]:
    if isinstance(sizes, str | bytes) or not isinstance(sizes, Iterable):
        return [checks.integer("sizes", sizes, minimum=1)] * count
    each = [checks.integer(f"sizes[{place}]", size, minimum=1) for place, size in enumerate(sizes)]
    if len(each) != count:
        raise ValueError(f"sizes must be one number, or one for each of {count} partitions, got {len(each)}")
    return each


def _checked_share(test: float) -> float:
    share = checks.within("test must be a share, >= 0 and below 1", test, most=1)
    if share == 1:
        raise ValueError("test must be a share, >= 0 and below 1, got 1: no row would be left to train on")
    return share
