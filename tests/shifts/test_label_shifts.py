"""Labels with another meaning, and wrong labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from flskew import Assignment, IidPartitioner
from flskew.shifts import Affine, Ramp, Relabel, SwapLabels


@pytest.mark.parametrize(
    ("mapping", "labels", "seen"),
    [
        ({1: 7}, [0, 1, 2, 1], [0, 7, 2, 7]),
        ({1: 7, 7: 1}, [7, 1, 2, 1], [1, 7, 2, 7]),
        ({1: 2, 2: 3}, [1, 2, 3], [2, 3, 3]),
        ({-1: 1}, [0, -1, 1], [0, 1, 1]),
        ({"ill": "not well", "well": "ill"}, ["ill", "well", "dead"], ["not well", "ill", "dead"]),
        ({True: False}, [True, False, True], [False, False, False]),
        ({np.int64(1): np.uint8(7)}, [0, 1], [0, 7]),
    ],
)
def test_all_labels_in_the_mapping_change_at_once_and_the_others_stay(mapping, labels, seen):
    assert Relabel(mapping).view(0, 1).labels(labels, range(len(labels))).tolist() == seen
    column = pd.Series(labels, dtype=object)
    assert Relabel(mapping).view(0, 1).labels(column, range(len(labels))).tolist() == seen


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", ">i4"])
def test_integer_labels_keep_their_dtype(dtype: str):
    labels = np.array([0, 1, 100], dtype=dtype)
    # Labels that the dtype cannot have are not there to be found.
    seen = Relabel({1: 7, -5: 2, 2**40: 3}).view(0, 1).labels(labels, range(3))
    assert seen.dtype == np.dtype(dtype)
    assert seen.tolist() == [0, 7, 100]
    swapped = SwapLabels(1.0, 101).view(0, 1).labels(labels, range(3))
    assert swapped.dtype == np.dtype(dtype)


def test_missing_labels_stay_missing():
    labels = np.array(["ill", None, "well", float("nan")], dtype=object)
    assert Relabel({"ill": "well"}).view(0, 1).labels(labels, range(4)).tolist()[:3] == ["well", None, "well"]


def test_only_a_fraction_of_the_rows_sees_the_new_label_and_more_do_at_a_greater_severity():
    labels, rows = np.ones(10_000, dtype=np.int64), range(10_000)
    relabel = Relabel({1: 7}, 0.3)
    seen = relabel.view(0, 1).labels(labels, rows) == 7
    # The standard error is sqrt(.3 * .7 / 10,000) = .0046.
    assert seen.mean() == pytest.approx(0.3, abs=0.015)
    weaker = relabel.at(0.5).view(0, 1).labels(labels, rows) == 7
    assert weaker.mean() == pytest.approx(0.15, abs=0.012)
    assert not (weaker & ~seen).any()


def test_wrong_labels_are_as_frequent_as_asked_and_equally_often_each_other_class():
    labels = np.repeat([2, 5, 9], 20_000)
    swap = SwapLabels([0.0, 0.4], classes=[2, 5, 7, 9])
    assert swap.view(0, 2).labels(labels, range(60_000)) is labels
    seen = swap.view(1, 2).labels(labels, range(60_000))
    for label in (2, 5, 9):
        counts = Counter(seen[labels == label].tolist())
        # 20,000 draws have a standard error of sqrt(.4 * .6 / 20,000) = .0035; each other class has .4 / 3 = .133.
        assert counts[label] / 20_000 == pytest.approx(0.6, abs=0.011)
        for other in {2, 5, 7, 9} - {label}:
            assert counts[other] / 20_000 == pytest.approx(0.4 / 3, abs=0.008)


def test_a_label_that_is_wrong_at_a_lower_severity_is_the_same_at_a_higher_one():
    labels, rows = np.zeros(1000, dtype=np.int64), range(1000)
    swap = SwapLabels(0.8, 10)
    weak, strong = (shift.view(0, 1).labels(labels, rows) for shift in (swap.at(0.3), swap))
    assert 0 < (weak > 0).sum() < (strong > 0).sum()
    assert (strong[weak > 0] == weak[weak > 0]).all()


def test_all_labels_are_wrong_with_a_fraction_of_1():
    labels = np.arange(1000) % 2
    assert SwapLabels(1.0, 2).view(0, 1).labels(labels, range(1000)).tolist() == (1 - labels).tolist()


def test_a_number_of_classes_is_short_for_the_classes():
    labels = [0, 1, 2] * 50
    short, long = SwapLabels(0.5, 3), SwapLabels(0.5, [2, 0, 1])
    assert repr(short) == "SwapLabels(fraction=0.5, classes=3, seed=42)"
    assert repr(long) == "SwapLabels(fraction=0.5, classes=(0, 1, 2), seed=42)"
    assert short.view(0, 1).labels(labels, range(150)).tolist() == long.view(0, 1).labels(labels, range(150)).tolist()


def test_equal_mappings_in_another_order_have_one_fingerprint():
    split = Assignment.from_partitions([[0], [1]])
    one, other = Relabel({1: 7, 0: 3}), Relabel({0: 3, 1: 7})
    assert one == other
    assert split.with_shift(one).fingerprint == split.with_shift(other).fingerprint
    assert split.with_shift(Relabel({True: False})) != split.with_shift(Relabel({1: 0}))


def test_a_hospital_with_other_labels_can_be_combined_with_one_with_wrong_labels():
    split = IidPartitioner(3, seed=1).assign([0, 1] * 30)
    shifted = split.with_shift(Relabel({0: 2}, partitions=[1]) | SwapLabels(Ramp(0.5), 3) | Affine(2.0))
    labels = np.array([0, 1] * 30)
    seen = shifted.shift_labels(labels)
    assert (seen[split[0]] == labels[split[0]]).all()
    assert seen[split[1]].max() == 2
    for partition_id in range(3):
        view = shifted.view(partition_id)
        assert view.labels(labels[view.rows]).tolist() == seen[view.rows].tolist()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Relabel([1, 7]), TypeError, r"mapping must map labels to labels, e.g. {1: 7}, got \[1, 7\]"),
        (lambda: Relabel({}), ValueError, "mapping must contain at least one label, got none"),
        (
            lambda: Relabel({1: "one"}),
            TypeError,
            "labels in mapping must be .* of one type, got int, str",
        ),
        (lambda: Relabel({1.5: 2.5}), TypeError, "labels in mapping must be integers, .* got float"),
        (lambda: Relabel({1: True}), TypeError, "got bool, int"),
        (lambda: Relabel({None: 1}), TypeError, "got NoneType, int|got int, NoneType"),
        (lambda: Relabel({1: 7}, 1.5), ValueError, "fraction must be a number from 0 to 1, got 1.5"),
        (lambda: Relabel({1: 7}, [0.5, -1]), ValueError, r"fraction\[1\] must be a number from 0 to 1, got -1"),
        (lambda: Relabel({1: 7}).view(0, 1).labels(["a"], [0]), TypeError, "classes that are integers, but .* <U1"),
        (lambda: Relabel({"a": "b"}).view(0, 1).labels([1], [0]), TypeError, "that are strings, but .* int64"),
        (lambda: Relabel({1: 7}).view(0, 1).labels([1.0], [0]), TypeError, "but labels contain float64"),
        (lambda: Relabel({1: 7}).view(0, 1).labels([[1, 0]], [0]), TypeError, r"one label per row, .* shape \(1, 2\)"),
        (
            lambda: Relabel({1: 300}).view(0, 1).labels(np.array([1], dtype=np.uint8), [0]),
            ValueError,
            "Relabel: labels are uint8, which cannot represent 300; convert them first",
        ),
        (lambda: SwapLabels(0.1, 1), ValueError, "classes must be at least 2, got 1"),
        (lambda: SwapLabels(0.1, [3, 3]), ValueError, r"classes must contain at least two classes, got \(3,\)"),
        (lambda: SwapLabels(0.1, "ab"), TypeError, "classes must be an integer, got 'ab'"),
        (lambda: SwapLabels(0.1, []), TypeError, "classes must be integers, .* got none"),
        (lambda: SwapLabels(-0.1, 2), ValueError, "fraction must be a number from 0 to 1, got -0.1"),
        (
            lambda: SwapLabels(0.1, 2).view(0, 1).labels([0, 5], [0, 1]),
            ValueError,
            "SwapLabels: a label is not one of the classes; pass all classes with classes=$",
        ),
    ],
)
def test_bad_classes_and_labels_are_refused(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_a_shift_stays_the_same_if_its_mapping_is_changed_afterwards():
    given = {1: 7}
    shift = Relabel(given)
    given[1] = shift.mapping[1] = 8
    assert shift == Relabel({1: 7})
    assert shift.view(0, 1).labels([1], rows=[0]).tolist() == [7]
    with pytest.raises(AttributeError):
        shift.mapping = {1: 8}


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int16, np.uint8, object])
def test_the_number_of_classes_gives_the_same_labels_as_a_list_of_them(dtype):
    labels, rows = np.arange(100, dtype=dtype) % 10, range(100)
    seen = SwapLabels(0.5, classes=10).view(0, 1).labels(labels, rows)
    assert seen.dtype == dtype
    np.testing.assert_array_equal(seen, SwapLabels(0.5, classes=range(10)).view(0, 1).labels(labels, rows))


def test_a_batch_of_few_labels_of_billions_of_classes_needs_no_list_of_them():
    seen = SwapLabels(1.0, classes=2**32).view(0, 1).labels(np.arange(1000), range(1000))
    assert (seen != np.arange(1000)).all()
    assert seen.max() > 2**31
    with pytest.raises(ValueError, match="a label is not one of the classes"):
        SwapLabels(1.0, classes=2**32).view(0, 1).labels(np.array([-1]), [0])
    with pytest.raises(ValueError, match="classes must be at most 4294967296"):
        SwapLabels(1.0, classes=2**32 + 1)
