"""FCUBE has the distribution that NIID-Bench defines."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_array_equal

from flskew.synthetic import fcube


def test_each_client_holds_two_octants_that_are_symmetric_about_the_origin():
    for part in fcube():
        octants = []
        for rows in part.assignment:
            signs = {tuple(point) for point in np.sign(part.features[rows]).astype(int).tolist()}
            assert len(signs) == 2
            one, other = signs
            assert one == tuple(-sign for sign in other)
            octants += signs
        assert len(set(octants)) == 8


def test_the_label_says_on_which_side_of_the_first_plane_a_point_lies():
    for features, labels, _ in fcube():
        assert [0 if x > 0 else 1 for x in features[:, 0].tolist()] == labels.tolist()


def test_labels_are_balanced_at_every_client():
    train, test = fcube(101, 10)
    assert train.assignment.label_counts.tolist() == [[51, 50]] * 4
    assert test.assignment.label_counts.tolist() == [[5, 5]] * 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_are_uniform_in_the_cube(axis):
    features, _, assignment = fcube().train
    assert features.shape == (4000, 3)
    assert scipy.stats.kstest(features[:, axis], "uniform", args=(-1, 2)).pvalue > 0.001
    magnitudes = np.abs(features[assignment[2]][:, axis])
    assert scipy.stats.kstest(magnitudes, "uniform").pvalue > 0.001
    others = np.corrcoef(np.abs(features.T))[axis, [i for i in range(3) if i != axis]]
    assert np.abs(others).max() < 4 / np.sqrt(4000)


def test_training_rows_are_not_test_rows_and_depend_on_the_seed():
    train, test = fcube()
    assert not set(train.features[:, 0].tolist()) & set(test.features[:, 0].tolist())
    assert not set(train.features[:, 0].tolist()) & set(fcube(seed=1).train.features[:, 0].tolist())


def test_a_client_does_not_depend_on_the_number_of_rows():
    few, many = fcube(10, 0).train, fcube(1000).train
    for rows, more in zip(few.assignment, many.assignment, strict=True):
        assert_array_equal(few.features[rows], many.features[more][:10])


def test_the_data_have_the_committed_digest():
    train, test = fcube(50, 20, seed=3)
    content = b"".join(array.astype("<f8").tobytes() for array in (train.features, test.features, train.labels))
    assert hashlib.blake2b(content, digest_size=8).hexdigest() == "cc5ee7f58c35cbc5"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "rows_per_partition must be at least 1, got 0"),
        ((1, -1), ValueError, "test_rows_per_partition must be at least 0, got -1"),
        ((10.0,), TypeError, "rows_per_partition must be an integer"),
    ],
    ids=["no rows", "negative", "a fraction"],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fcube(*arguments)
