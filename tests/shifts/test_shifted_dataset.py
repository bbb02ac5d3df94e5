"""A map-style data set as one client sees it, without any framework."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from flskew import Assignment
from flskew.shifts import LabelShift, Missing, Noise, Rotate, ShiftedDataset

IMAGES = np.random.default_rng(0).random((6, 4, 4))
DATA = [(image, label, f"image {label}") for label, image in enumerate(IMAGES)]
SPLIT = Assignment.from_partitions([[4, 0], [5, 1, 2]])


class TenMore(LabelShift):
    """A shift of the tests' own: other labels for partition 1."""

    def relabel(self, labels, rows, viewer):
        return labels + 10 if viewer.partition_id == 1 else labels

    def at(self, severity):
        return TenMore(partitions=self.partitions if severity else ())


SHIFT = Noise(0.3) | TenMore()
VIEW = SPLIT.with_shift(SHIFT).view(1)


def test_entry_j_is_row_j_of_the_client_as_it_sees_it():
    dataset = ShiftedDataset(DATA, VIEW)
    assert len(dataset) == 3
    features, labels = VIEW.features(IMAGES[VIEW.rows]), VIEW.labels(VIEW.rows)
    for j, row in enumerate(VIEW.rows):
        x, y, name = dataset[j]
        assert_array_equal(x, features[j])
        assert (y, type(y), name) == (labels[j], int, f"image {row}")
        assert_array_equal(dataset[j - 3][0], x)
    for (x, *_), (again, *_), expected in zip(dataset, dataset.__getitems__([0, 1, 2]), features, strict=True):
        assert_array_equal(x, expected)
        assert_array_equal(again, expected)
    assert dataset.__getitems__([]) == []


def test_any_rows_can_be_seen():
    dataset = ShiftedDataset(DATA, SHIFT.view(1, 2), rows=[3, 0])
    expected = VIEW.features(IMAGES[[3, 0]], [3, 0])
    assert [y for _, y, _ in dataset] == [13, 10]
    assert_array_equal(np.stack([x for x, *_ in dataset]), expected)


def test_what_is_not_shifted_is_not_touched():
    entry = (object(), object(), object())
    assert ShiftedDataset([entry], Assignment.from_partitions([[0]]).view(0))[0] == entry
    only_labels = Assignment.from_partitions([[0]]).with_shift(TenMore())
    assert ShiftedDataset([(entry[0], 3)], only_labels.view(0))[0] == (entry[0], 3)


def test_missing_values_are_features_too():
    table = np.arange(12.0).reshape(6, 2)
    view = Missing([1], rate=1.0).view(0, 1)
    assert_array_equal(ShiftedDataset(list(table), view, [4])[0], [8, np.nan])
    with pytest.raises(ValueError, match="columns need a table"):
        ShiftedDataset(list(IMAGES), view, [4])[0]


def test_entries_may_be_x_alone_or_lists_or_numbers():
    view = Noise(0.3).view(0, 1)
    alone = ShiftedDataset(list(IMAGES), view, range(6))
    assert_array_equal(alone[2], view.features(IMAGES[[2]], [2])[0])
    pair = ShiftedDataset([[1.5, "a"], [2.5, "b"]], view, range(2))[1]
    assert pair == (view.features(np.array([2.5]), [1]).item(), "b")


def test_images_of_several_shapes_are_seen_one_by_one():
    images = [np.zeros((4, 5)), np.zeros((6, 4)), np.zeros((4, 5), np.float32)]
    view = Noise(1.0).view(0, 1)
    together = ShiftedDataset(images, view, range(3)).__getitems__([2, 1, 0])
    for row, image in zip([2, 1, 0], together, strict=True):
        assert image.dtype == images[row].dtype
        assert_array_equal(image, view.features(images[row][None], [row])[0])


def test_a_batch_is_loaded_and_shifted_at_once():
    calls: Counter[str] = Counter()

    class Counted(list):
        def __getitems__(self, rows):
            calls["load"] += 1
            return [self[row] for row in rows]

    class CountedView(type(VIEW)):
        def features(self, features, rows=None):
            calls["features"] += 1
            return super().features(features, rows)

    view = CountedView(VIEW.shift, VIEW._viewer, VIEW.rows)
    ShiftedDataset(Counted(DATA), view).__getitems__([0, 1, 2])
    assert calls == {"load": 1, "features": 1}


def test_a_transform_comes_after_the_shift():
    turned = ShiftedDataset(DATA, Rotate(180).view(0, 1), [5], transform=lambda x: x[0, 0])
    assert turned[0][0] == IMAGES[5, -1, -1]
    untouched = ShiftedDataset(DATA, SPLIT.view(0), transform=lambda x: x[0, 0])
    assert untouched[0][0] == IMAGES[4, 0, 0]


def test_a_pickled_data_set_shows_the_same():
    dataset = ShiftedDataset(DATA, SPLIT.with_shift(Noise(0.3)).view(1))
    assert_array_equal(pickle.loads(pickle.dumps(dataset))[1][0], dataset[1][0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ShiftedDataset(DATA[:3], VIEW), ValueError, "rows go up to 5, but the data set has only 3; pass the"),
        (lambda: ShiftedDataset(DATA, Noise(1).view(0, 1)), AttributeError, "made from a shift alone, without rows"),
        (lambda: ShiftedDataset(DATA, SPLIT), TypeError, r"view must be the view of one client, assignment.view\(i\)"),
        (lambda: ShiftedDataset(DATA, VIEW, ["a"]), TypeError, "rows must be a list of row numbers"),
        (lambda: ShiftedDataset(DATA, VIEW)[3], IndexError, "out of bounds"),
        (lambda: ShiftedDataset(DATA, VIEW)["x"], TypeError, "integer"),
        (lambda: ShiftedDataset([{"x": 1}] * 6, VIEW)[0], TypeError, r"tuples \(x, y, ...\) of a numeric x .* a dict"),
        (lambda: ShiftedDataset([("a", 1)] * 6, VIEW)[0], TypeError, "Noise changes numbers"),
    ],
)
def test_bad_input_names_the_rule_and_the_value(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
