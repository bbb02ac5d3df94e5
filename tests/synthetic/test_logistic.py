"""Synthetic(alpha, beta) has the distribution that the FedProx paper defines."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_array_equal

from flskew import skew
from flskew.synthetic import synthetic


def test_labels_are_the_largest_output_of_the_clients_own_model():
    data = synthetic(0.5, 0.5, num_partitions=3, sizes=[20, 5, 9], test=0.3)
    for part in (data.train, data.test):
        for client, rows in enumerate(part.assignment):
            for row in rows.tolist():
                outputs = [
                    sum(part.features[row][j] * data.weights[client][j][c] for j in range(60)) + data.biases[client][c]
                    for c in range(10)
                ]
                assert outputs.index(max(outputs)) == part.labels[row]


def test_features_have_the_published_mean_and_covariance():
    data = synthetic(beta=2, num_partitions=2, sizes=20_000, test=0.0)
    for client, rows in enumerate(data.train.assignment):
        features = data.train.features[rows]
        variances = np.array([j**-1.2 for j in range(1, 61)])
        # Standard errors: sqrt(variance / n) for a mean, and variance * sqrt(2 / n) for a variance.
        assert np.abs((features.mean(axis=0) - data.means[client]) / np.sqrt(variances / 20_000)).max() < 4.5
        assert np.abs(features.var(axis=0) / variances - 1).max() < 4.5 * np.sqrt(2 / 20_000)
        others = np.corrcoef(features.T)[~np.eye(60, dtype=bool)]
        assert np.abs(others).max() < 5 / np.sqrt(20_000)


def test_models_and_means_have_the_published_distributions():
    data = synthetic(3, 2, num_partitions=2000, sizes=1)
    # u, the mean of a client's 600 weights, has variance 3^2 + 1 / 600, and B, of its 60 means, 2^2 + 1 / 60.
    u, b = data.weights.mean(axis=(1, 2)), data.means.mean(axis=1)
    assert scipy.stats.kstest(u / np.sqrt(9 + 1 / 600), "norm").pvalue > 0.001
    assert scipy.stats.kstest(b / np.sqrt(4 + 1 / 60), "norm").pvalue > 0.001
    # Around them, single numbers are standard normal, up to the mean that was subtracted.
    assert scipy.stats.kstest((data.weights[:, 7, 3] - u) / np.sqrt(599 / 600), "norm").pvalue > 0.001
    assert scipy.stats.kstest((data.means[:, 7] - b) / np.sqrt(59 / 60), "norm").pvalue > 0.001
    # The biases have the same u: they differ from it by a standard normal number and the error of the mean.
    assert scipy.stats.kstest((data.biases[:, 4] - u) / np.sqrt(1 + 1 / 600), "norm").pvalue > 0.001


def test_clients_draw_independent_numbers():
    data = synthetic(1, 1, num_partitions=3, sizes=500, test=0)
    noise = [data.train.features[rows] - data.means[client] for client, rows in enumerate(data.train.assignment)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for pair in (noise, data.weights, data.means):
            # The standard error of a correlation is 1 / sqrt(number of values), the fewest of which are 60 means.
            assert abs(np.corrcoef(pair[one].ravel(), pair[other].ravel())[0, 1]) < 5 / np.sqrt(60)


def test_sizes_are_log_normal_and_a_tenth_is_tested_on():
    data = synthetic(num_partitions=200)
    sizes = data.train.assignment.sizes + data.test.assignment.sizes
    assert sizes.min() >= 50
    # Rounding down merges sizes near 50, so compare those above e^3.
    assert scipy.stats.kstest(np.log(sizes[sizes > 70] - 49.5), _truncated(np.log(20.5))).pvalue > 0.001
    assert np.mean(sizes > 50 + np.exp(4)) == pytest.approx(0.5, abs=0.12)
    assert_array_equal(data.train.assignment.sizes, [int(0.9 * size) for size in sizes.tolist()])


def _truncated(least: float):
    normal = scipy.stats.norm(4, 2)
    return lambda x: (normal.cdf(x) - normal.cdf(least)) / normal.sf(least)


def test_alpha_changes_models_but_neither_features_nor_labels():
    one, other = synthetic(0, 1), synthetic(5, 1)
    assert np.abs(one.weights - other.weights).max() > 1
    assert_array_equal(one.train.features, other.train.features)
    assert_array_equal(one.train.labels, other.train.labels)


def test_iid_clients_share_one_model_and_one_distribution():
    data = synthetic(iid=True, sizes=400)
    assert (data.weights == data.weights[0]).all()
    assert (data.biases == data.biases[0]).all()
    assert not data.means.any()
    assert skew.total_variation(data.train.assignment) < 2 * skew.iid_total_variation(data.train.assignment)


def test_a_client_depends_on_the_seed_and_its_number_alone():
    few, many = synthetic(1, 1, num_partitions=3), synthetic(1, 1, num_partitions=20)
    for part, other in zip(few[:2], many[:2], strict=True):
        for rows, other_rows in zip(part.assignment, other.assignment, strict=False):
            assert_array_equal(part.features[rows], other.features[other_rows])
            assert_array_equal(part.labels[rows], other.labels[other_rows])
    larger = synthetic(1, 1, num_partitions=3, sizes=[10_000, 100, 100], test=0)
    first = synthetic(1, 1, num_partitions=3, sizes=[100, 100, 100], test=0)
    assert_array_equal(larger.train.features[:100], first.train.features[:100])
    assert_array_equal(larger.train.features[10_000:], first.train.features[100:])
    assert (synthetic(1, 1, 3, seed=1).weights != few.weights).all()


def test_global_random_numbers_are_neither_used_nor_changed():
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    data = synthetic(1, 1, 2)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(8)  # noqa: NPY002
    assert_array_equal(data.train.features, synthetic(1, 1, 2).train.features)


def test_the_data_have_the_committed_digest():
    """Rounded, because the last bits may depend on the processor."""
    train, test, *models = synthetic(1, 0.5, 5, seed=3)
    arrays = [train.features, test.features, train.labels, test.labels, train.assignment.offsets, *models]
    rounded = b"".join(np.round(array * 2**20).astype("<i8").tobytes() for array in arrays)
    assert hashlib.blake2b(rounded, digest_size=8).hexdigest() == "c8d255a0ace006ca"


def test_a_client_keeps_a_row_to_train_on():
    data = synthetic(num_partitions=2, sizes=[1, 2], test=0.9)
    assert data.train.assignment.sizes.tolist() == [1, 1]
    assert data.test.assignment.sizes.tolist() == [0, 1]
    assert len(synthetic(num_partitions=2, sizes=3, test=0).test.labels) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": -1}, ValueError, "alpha must be finite and >= 0, got -1"),
        ({"beta": "1"}, TypeError, "beta must be a number >= 0"),
        ({"num_partitions": 0}, ValueError, "num_partitions must be at least 1, got 0"),
        ({"iid": True, "beta": 1}, ValueError, "iid=True needs alpha=0 and beta=0, got 0 and 1; omit them, or iid"),
        ({"iid": 1}, TypeError, "iid must be True or False"),
        ({"sizes": [5, 5]}, ValueError, "sizes must be one number, or one for each of 30 partitions, got 2"),
        ({"sizes": 0}, ValueError, "sizes must be at least 1, got 0"),
        ({"num_partitions": 2, "sizes": [5, 0.5]}, TypeError, r"sizes\[1\] must be an integer"),
        ({"test": 1}, ValueError, "test must be a share, >= 0 and below 1, got 1"),
        ({"seed": None}, TypeError, "every call would draw other data"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        synthetic(**arguments)
