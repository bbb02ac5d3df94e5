"""The conformance kit accepts partitioners that obey the laws, and names the law that others break."""

from __future__ import annotations

import flwr_datasets.partitioner as flower
import numpy as np
import pytest

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    NaturalIdPartitioner,
)
from flskew.testing import LawError, check_partitioner

LABELS = [row % 4 for row in range(80)]


def test_our_own_partitioners_pass():
    check_partitioner(IidPartitioner(3), LABELS)
    check_partitioner(DirichletPartitioner(3, "digit", 0.5, 0), LABELS, by_class=True)
    check_partitioner(LabelExclusionPartitioner([{0}, {1}, ()], on_excluded="drop"), LABELS, drops_rows=True)


def test_natural_ids_and_bins_can_be_checked_but_not_class_by_class():
    users, prices = [row % 5 for row in range(40)], [row * 0.5 for row in range(40)]
    binned = DirichletPartitioner(3, "price", 0.5, 0, num_bins=4)
    for partitioner, labels in ((NaturalIdPartitioner("user"), users), (binned, prices)):
        check_partitioner(partitioner, labels)
        with pytest.raises(ValueError, match="by_class needs classes that do not change"):
            check_partitioner(partitioner, labels, by_class=True)


class Forgetful(NaturalIdPartitioner):
    """Numbers the natural ids that it sees, whatever they were in the other split."""

    def assign(self, natural_ids, /, labels=None, *, like=None):
        return super().assign(natural_ids, labels)


class Reversed(NaturalIdPartitioner):
    def assign(self, natural_ids, /, labels=None, *, like=None):
        own = super().assign(natural_ids, labels)
        if like is None:
            return own
        return Assignment.from_partitions(dict(zip(like.names, [*own][::-1], strict=True)))


def test_natural_ids_that_move_between_splits_are_named():
    ids = [row % 5 for row in range(40)]
    with pytest.raises(LawError, match="natural ids: a split made like another has other partitions"):
        check_partitioner(Forgetful("user"), [9, *ids, 0])  # 9 is not among every second row
    with pytest.raises(LawError, match="natural ids: 4 is in another partition of a split made like this one"):
        check_partitioner(Reversed("user"), ids)


def test_a_scheme_that_names_classes_is_checked_with_fewer_rows_of_the_others():
    check_partitioner(LabelExclusionPartitioner([{0}, {1}, ()]), LABELS, by_class=True)
    with pytest.raises(LawError, match="law 5: the counts of class 0 depend on the other classes"):
        check_partitioner(EvenSizes([{1}, (), ()]), LABELS, by_class=True)


class EvenSizes(LabelExclusionPartitioner):
    """Moves rows of class 0 until all partitions have the same size, so its counts depend on the other classes."""

    def class_counts(self, column, streams):
        counts = super().class_counts(column, streams)
        missing = counts[1:].sum(axis=0).max() - counts[1:].sum(axis=0)
        counts[0] = np.diff(np.append(0, np.minimum(np.cumsum(missing), column.sizes[0])))
        counts[0, 0] += column.sizes[0] - counts[0].sum()
        return counts


class Own:
    """A scheme that only has `assign`, and gives each partition every third row."""

    def split(self, labels):
        return [range(start, len(labels), 3) for start in range(3)]

    def assign(self, labels):
        return Assignment.from_partitions(self.split(labels), labels)


def test_anything_that_assigns_can_be_checked():
    check_partitioner(Own(), LABELS)


class Drops(Own):
    def split(self, labels):
        return [range(start, len(labels) - 3, 3) for start in range(3)]


class Forgets(Own):
    """Uses one generator for all calls."""

    rng = np.random.default_rng(0)

    def split(self, labels):
        return np.array_split(self.rng.permutation(len(labels)), 3)


class ForgetsWhenItFails(Own):
    shift = 0

    def split(self, labels):
        self.shift += len(labels) == 0
        return [range((start + self.shift) % 3, len(labels), 3) for start in range(3)]


class Changes(Own):
    def split(self, labels):
        if isinstance(labels, list):
            labels.sort()
        return super().split(labels)


class TakesMissing(Own):
    def assign(self, labels):
        return super().assign([0 if label is None else label for label in np.asarray(labels).tolist()])


class ByPosition(Own):
    def split(self, labels):
        return np.array_split(np.arange(len(labels)), 3)


class Broken(Own):
    """Makes an assignment that the public constructors would refuse."""

    def broken(self, parts):
        raise NotImplementedError

    def assign(self, labels):
        return Assignment._seal(self.broken(super().assign(labels)._parts))


class Twice(Broken):
    def broken(self, parts):
        rows = parts.rows.copy()
        rows[1] = rows[0]
        return parts._replace(rows=rows)


class Miscounts(Broken):
    def broken(self, parts):
        return parts._replace(label_counts=parts.label_counts[::-1].copy())


class MixesUpClasses(Broken):
    def broken(self, parts):
        return parts._replace(classes=parts.classes[::-1].copy())


class Loses(Broken):
    def broken(self, parts):
        return parts._replace(rows=parts.rows[:-1].copy(), offsets=parts.offsets - [0, 0, 0, 1])


class Forks(Own):
    """Splits differently in a copy, like a scheme that depends on the identity of an object."""

    def __init__(self, copied=False):
        self.copied = copied

    def __deepcopy__(self, memo):
        return type(self)(copied=True)

    def split(self, labels):
        return super().split(labels)[:: -1 if self.copied else 1]


class Invents(Own):
    def split(self, labels):
        return [*super().split(labels)[:2], [*range(2, len(labels), 3), len(labels)]]

    def assign(self, labels):
        return Assignment.from_partitions(self.split(labels))


class LikesArrays(Own):
    def split(self, labels):
        return super().split(labels)[:: -1 if isinstance(labels, np.ndarray) else 1]


class LoadsOthers(IidPartitioner):
    def load_partition(self, partition_id):
        return super().load_partition(self.num_partitions - 1 - partition_id)


class LoadsAnything(IidPartitioner):
    def load_partition(self, partition_id):
        return super().load_partition(partition_id % self.num_partitions)


@pytest.mark.parametrize(
    ("partitioner", "options", "message"),
    [
        (Loses(), {}, "law 1: row 77 is neither in a partition nor unassigned"),
        (Invents(), {}, "law 1: row 80 is in a partition, but there are only 80 rows"),
        (LikesArrays(), {}, "law 7: the same labels in a read-only array gave another assignment"),
        (LoadsOthers(3), {}, "Flower Datasets: load_partition returns other rows than assign"),
        (LoadsAnything(3), {}, r"Flower Datasets: load_partition\(3\) returned a partition; there are 3"),
        (Drops(), {}, "law 1: 3 rows are unassigned, the first 77; pass drops_rows=True"),
        (Twice(), {}, "law 1: row 0 is assigned 2 times instead of once"),
        (Miscounts(), {}, "law 1: label_counts of partition 0"),
        (MixesUpClasses(), {}, "law 1: the classes are not the distinct labels in sorted order"),
        (Forks(), {}, "law 2: a copy of the partitioner gave another assignment"),
        (Forgets(), {}, "law 2: a second call"),
        (ForgetsWhenItFails(), {}, r"law 2: after a failed call"),
        (Changes(), {}, "law 7: the list of labels was changed"),
        (TakesMissing(), {}, "law 6: label None at row 40 was accepted"),
        (ByPosition(), {"by_class": True}, "law 5: the order of the rows changed the class counts"),
        (IidPartitioner(3), {"by_class": True}, "law 5: the order of the rows"),
        (
            DirichletPartitioner(9, "x", 0.1, 0, True, seed=1),
            {"by_class": True},
            "law 5: the counts of class",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_broken_law_is_named(partitioner, options, message):
    with pytest.raises(LawError, match=message):
        check_partitioner(partitioner, list(LABELS), **options)


def test_a_partitioner_of_flower_datasets_is_checked_through_a_data_set():
    check_partitioner(flower.PathologicalPartitioner(4, "digit", 4), LABELS)
    with (
        pytest.warns(UserWarning, match="sum of partition sizes is 30"),
        pytest.raises(LawError, match="law 1: 50 rows are unassigned"),
    ):
        check_partitioner(flower.SizePartitioner([10, 20]), LABELS)


class ReturnsLists(Own):
    def assign(self, labels):
        return self.split(labels)


@pytest.mark.parametrize(
    ("partitioner", "message"),
    [
        (
            ReturnsLists(),
            r"ReturnsLists.assign must return an Assignment, got list; make one with Assignment.from_partitions or",
        ),
        (ReturnsLists, "partitioner must be an object with assign.* got <class .*; pass an instance"),
        ([[0, 1], [2]], r"partitioner must be an object with assign\(labels\), .* got \[\[0, 1\], \[2\]\]"),
    ],
)
def test_an_object_that_is_not_a_partitioner_is_named(partitioner, message):
    with pytest.raises(TypeError, match=message):
        check_partitioner(partitioner, LABELS)
