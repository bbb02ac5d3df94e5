"""An assignment is a value: immutable, comparable, and loaded exactly as saved or refused."""

from __future__ import annotations

import contextlib
import errno
import pickle
from concurrent.futures import ThreadPoolExecutor

import flwr_datasets.partitioner as flower
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features
from flwr_datasets.metrics import compute_counts
from pandas.testing import assert_frame_equal

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    NaturalIdPartitioner,
)
from flskew._util import archive, files
from flskew.partitioners import LabelPartitioner
from tests.partitioners import golden
from tests.partitioners.cases import CASES

LABELS = [row % 4 for row in range(40)]


@pytest.fixture
def assignment() -> Assignment:
    return LabelExclusionPartitioner([{1}, {2}, {3}], on_excluded="drop").assign(LABELS)


def test_a_partition_is_a_read_only_view_of_its_rows(assignment: Assignment):
    rows = assignment[1]
    assert rows.dtype == np.int64
    assert np.shares_memory(rows, assignment.rows)
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 5
    for array in (assignment.classes, assignment.label_counts, assignment.offsets, assignment.unassigned):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        assignment.rows = rows  # type: ignore[misc]


@pytest.mark.parametrize("arguments", [(), (np.arange(3), np.array([0, 3]), np.arange(0))])
def test_calling_the_class_is_an_error_that_names_the_alternatives(arguments):
    with pytest.raises(TypeError, match=r"use Assignment\.from_partitions, from_counts, from_partitioner or load"):
        Assignment(*arguments)


def test_the_arrays_of_the_caller_are_neither_frozen_nor_shared():
    rows, labels = [np.array([2, 0]), np.array([1])], np.array([5, 6, 5])
    counts = np.array([[1], [2]])
    wrapped = Assignment.from_partitions(rows, labels)
    drawn = Assignment.from_counts(counts, np.zeros(3, dtype=int))
    prints = wrapped.fingerprint, drawn.fingerprint
    for array in (*rows, labels, counts):
        array[...] = 99  # still writeable
    assert [part.tolist() for part in wrapped] == [[2, 0], [1]]
    assert wrapped.classes.tolist() == [5, 6]
    assert drawn.label_counts.tolist() == [[1], [2]]
    assert (Assignment._seal(wrapped._parts).fingerprint, Assignment._seal(drawn._parts).fingerprint) == prints


def test_the_column_and_counts_of_a_scheme_are_neither_frozen_nor_shared():
    class Keeps(LabelPartitioner):
        def class_counts(self, column, streams):
            self.column, self.counts = column, column.sizes[:, None].copy()
            return self.counts

    scheme = Keeps(1)
    assignment = scheme.assign(LABELS)
    for array in (scheme.counts, scheme.column.codes, scheme.column.sizes, scheme.column.classes):
        array[...] = 0
    assert assignment.label_counts.tolist() == [[10, 10, 10, 10]]
    assert assignment.classes.tolist() == [0, 1, 2, 3]


def test_counts_are_met_with_rows_drawn_at_random():
    counts = [[3, 0, 1, 10], [0, 0, 0, 0], [7, 2, 0, 0]]
    drawn, again, other = (Assignment.from_counts(counts, LABELS, seed=seed) for seed in (1, 1, 2))
    assert drawn.label_counts.tolist() == counts
    assert drawn == again != other
    assert len(drawn.unassigned) == 40 - 23
    ordered = Assignment.from_counts(counts, LABELS, shuffle=False)
    assert all(rows.tolist() == sorted(rows.tolist()) for rows in ordered)


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ([[11, 0, 0, 0]], ValueError, "counts of class 0 must be >= 0 and sum to at most its 10 rows"),
        ([[0, -1, 0, 0]], ValueError, "counts of class 1 must be >= 0"),
        (
            np.array([[0, 0, 0, 2**63]], dtype=np.uint64),
            ValueError,
            "counts of class 3 must be >= 0 and sum to at most its 10 rows",
        ),
        ([[1, 1, 1]], ValueError, r"shape \(num_partitions, 4\), .* got \(1, 3\)"),
        ([1, 1, 1, 1], ValueError, r"shape \(num_partitions, 4\), .* got \(4,\)"),
        ([[1, 1, 1, 1], [1]], ValueError, "matrix of integers, got rows of several lengths"),
        ([[0.5, 1, 1, 1]], TypeError, "must be integers, got an array of float64; round them first"),
    ],
)
def test_counts_that_the_labels_cannot_meet_are_refused(counts, error, message):
    with pytest.raises(error, match=message):
        Assignment.from_counts(counts, LABELS)


def test_it_is_a_sequence_of_partitions(assignment: Assignment):
    assert len(assignment) == 3
    assert [rows.tolist() for rows in assignment] == [assignment[i].tolist() for i in range(3)]
    assert assignment[np.int32(2)].tolist() == assignment[2].tolist()
    assert assignment.sizes.tolist() == [len(rows) for rows in assignment]
    assert assignment.num_rows == 40 == assignment.sizes.sum() + len(assignment.unassigned)
    assert repr(assignment).startswith("Assignment(3 partitions of ")


@pytest.mark.parametrize("partition_id", [3, -1, 1.0, "0", None, True])
@pytest.mark.parametrize("error", [KeyError, IndexError])
def test_a_missing_partition_is_both_a_key_error_and_an_index_error(assignment, partition_id, error):
    with pytest.raises(error) as caught:
        assignment[partition_id]
    assert str(caught.value).endswith("there are 3 partitions, 0 to 2")
    assert not str(caught.value).startswith("'")


def test_existing_partitions_are_wrapped():
    assignment = Assignment.from_partitions([[4, 0], np.array([2], dtype=np.uint8), range(0)], labels=list("abaab"))
    assert [rows.tolist() for rows in assignment] == [[4, 0], [2], []]
    assert assignment.unassigned.tolist() == [1, 3]
    assert assignment.label_counts.tolist() == [[1, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    "partitioner",
    [
        flower.IidPartitioner(4),
        flower.DirichletPartitioner(4, "label", 1.0, 1),
        flower.SquarePartitioner(4),
        flower.NaturalIdPartitioner("site"),
    ],
    ids=lambda partitioner: type(partitioner).__name__,
)
def test_the_split_of_any_partitioner_of_flower_datasets_is_wrapped(partitioner):
    dataset = Dataset.from_dict({"label": LABELS, "site": [f"site {row // 10}" for row in range(40)]})
    dataset = dataset.shuffle(seed=1).flatten_indices()
    assignment = Assignment.from_partitioner(partitioner, dataset, "label")
    assert not partitioner.is_dataset_assigned()
    partitioner.dataset = dataset
    for partition_id, rows in enumerate(assignment):
        assert dataset.select(rows)["site"][:] == partitioner.load_partition(partition_id)["site"][:]
        assert dataset.select(rows)["label"][:] == partitioner.load_partition(partition_id)["label"][:]
    assert assignment.label_counts.sum() == assignment.sizes.sum() == 40


def test_a_bound_partitioner_cannot_be_wrapped():
    partitioner = flower.IidPartitioner(4)
    partitioner.dataset = dataset = Dataset.from_dict({"label": LABELS})
    with pytest.raises(ValueError, match="must not be bound to a data set yet; make a new one"):
        Assignment.from_partitioner(partitioner, dataset)


def test_anything_but_a_partitioner_and_a_data_set_is_refused_with_what_to_pass():
    dataset = Dataset.from_dict({"label": LABELS})
    with pytest.raises(TypeError, match=r"got list; pass existing partitions to Assignment.from_partitions"):
        Assignment.from_partitioner([[0, 1]], dataset)  # type: ignore[arg-type]
    for wrong, message in (
        (DatasetDict(train=dataset), r"a DatasetDict of 'train'; pass one of them, e.g. dataset\['train'\]"),
        (dataset.to_iterable_dataset(), "got a stream"),
        (dataset.to_pandas(), "got DataFrame; make one with Dataset.from_dict or Dataset.from_pandas"),
    ):
        with pytest.raises(TypeError, match=message):
            Assignment.from_partitioner(flower.IidPartitioner(2), wrong)  # type: ignore[arg-type]


def test_without_labels_the_number_of_rows_can_be_given():
    assert Assignment.from_partitions([[2], [0]]).unassigned.tolist() == [1]
    assert Assignment.from_partitions([[2], [0]], num_rows=5).unassigned.tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    ("partitions", "labels", "error", "message"),
    [
        ([[0, 1], [1]], None, ValueError, "row 1 is held more than once"),
        ([[0, 0]], None, ValueError, "row 0 is held more than once"),
        ([[-1]], None, ValueError, "must contain row numbers >= 0, got -1"),
        ([[0], [2**63 - 1]], None, ValueError, rf"partitions\[1\] contains row {2**63 - 1}, more than there can be"),
        ([np.array([2**63], dtype=np.uint64)], None, ValueError, rf"partitions\[0\] contains row {2**63}, more than"),
        ([[5]], [1, 2], ValueError, "partitions contain row 5, but the data set has rows 0 to 1"),
        ([[0.5]], None, TypeError, r"partitions\[0\] must be a one-dimensional collection of row numbers"),
        ([[0], [[1, 2]]], None, TypeError, r"partitions\[1\] must be a one-dimensional collection"),
        (
            [[[1], [2, 3]]],
            None,
            TypeError,
            r"partitions\[0\] must be a one-dimensional .* got \[\[1\], \[2, 3\]\]",
        ),
        ([3], None, TypeError, r"partitions\[0\] must be a one-dimensional .* got 3"),
        ([], None, ValueError, "at least one partition"),
        (None, None, TypeError, "partitions must be a list with the rows of each, got NoneType"),
    ],
)
def test_invalid_partitions_are_refused(partitions, labels, error, message):
    with pytest.raises(error, match=message):
        Assignment.from_partitions(partitions, labels)


def test_without_labels_there_are_no_classes():
    partitioner = IidPartitioner(2)
    partitioner.dataset = Dataset.from_dict({"x": range(10)})
    for ask in (lambda a: a.classes, lambda a: a.label_counts, lambda a: a.to_frame(), lambda a: a.match([1])):
        with pytest.raises(ValueError, match="made without labels"):
            ask(partitioner.assignment)
    assert "no labels" in repr(partitioner.assignment)


def test_a_test_set_is_split_like_the_training_set():
    train = DirichletPartitioner(5, "label", 0.5, 0).assign(np.arange(1000) % 10)
    test = train.match(np.arange(200) % 10)
    # 100 rows of each class in training and 20 in the test set: a fifth of each count, rounded.
    assert np.all(np.abs(test.label_counts - train.label_counts / 5) < 1)
    assert len(test.unassigned) == 0


def test_a_test_set_may_lack_classes_and_leaves_the_same_fraction_unassigned(assignment: Assignment):
    test = assignment.match([1, 3, 3] * 20)
    assert test.classes.tolist() == [1, 3]
    dropped = 10 - assignment.label_counts.sum(axis=0)[[1, 3]]
    assert test.label_counts[0, 0] == test.label_counts[2, 1] == 0
    # 10 of each class in training; 20 ones and 40 threes in the test set.
    assert np.all(np.abs(60 - test.label_counts.sum() - (dropped * [2, 4]).sum()) < 2)


def test_a_class_never_seen_cannot_be_matched(assignment: Assignment):
    with pytest.raises(
        ValueError, match="labels contain 9, which is not a class of the matched assignment; it has 0, 1"
    ):
        assignment.match([1, 9])


def test_a_match_depends_only_on_its_seed(assignment: Assignment):
    assert assignment.match(LABELS) == assignment.match(LABELS)
    assert assignment.match(LABELS, seed=1) != assignment.match(LABELS)


def test_equal_assignments_have_equal_hashes_and_fingerprints(assignment: Assignment):
    again = LabelExclusionPartitioner([{1}, {2}, {3}], on_excluded="drop").assign(np.array(LABELS, dtype=np.int8))
    other = LabelExclusionPartitioner([{1}, {2}, {3}], on_excluded="drop", seed=7).assign(LABELS)
    assert (again, hash(again), again.fingerprint) == (assignment, hash(assignment), assignment.fingerprint)
    assert other != assignment
    assert other.fingerprint != assignment.fingerprint
    assert assignment != "an assignment"
    assert len(assignment.fingerprint) == 32


def test_booleans_and_numbers_are_not_equal():
    truths, numbers = (IidPartitioner(2).assign(labels) for labels in ([True, False] * 5, [1, 0] * 5))
    assert truths != numbers
    assert truths.fingerprint != numbers.fingerprint


@pytest.mark.parametrize(("one", "other"), [(["a\0b", "c"], ["a", "b\0c"]), (["ab", "c"], ["a", "bc"])])
def test_the_fingerprint_depends_on_the_boundaries_between_class_names(one, other):
    first, second = (IidPartitioner(2).assign(labels * 5) for labels in (one, other))
    assert first.fingerprint != second.fingerprint


def test_partitions_may_be_sets():
    assert Assignment.from_partitions([{1, 2}, {0}]).sizes.tolist() == [2, 1]


def test_a_mapping_names_its_partitions():
    named = Assignment.from_partitions({"Lyon": [3, 0], "Bern": range(1, 3)}, labels=list("abab"))
    assert named.names == ("Lyon", "Bern")
    assert named["Bern"].tolist() == named[1].tolist() == [1, 2]
    assert repr(named).startswith("Assignment(2 partitions (Lyon, Bern) of 2 to 2 rows, ")
    assert named.match(list("ab")).names == named.names
    frame = named.to_frame()
    assert (frame.index.tolist(), frame.index.name) == (["Lyon", "Bern"], "Partition")
    assert Assignment.from_partitions([[3, 0], [1, 2]]).names is None


def test_names_are_part_of_the_value(tmp_path):
    rows = [[3, 0], [1, 2]]
    plain = Assignment.from_partitions(rows)
    named, renamed = (Assignment.from_partitions(dict(zip(names, rows, strict=True))) for names in ("ab", "ac"))
    assert len({plain, named, renamed}) == len({each.fingerprint for each in (plain, named, renamed)}) == 3
    assert pickle.loads(pickle.dumps(named)).names == ("a", "b")
    named.save(tmp_path / "split.npz")
    loaded = Assignment.load(tmp_path / "split.npz")
    assert loaded == named
    assert loaded["b"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["Lyon", "1", "Bern ", ""])
@pytest.mark.parametrize("error", [KeyError, IndexError])
def test_an_unknown_name_is_an_error_that_quotes_no_name(name, error):
    with pytest.raises(error) as caught:
        Assignment.from_partitions({"Bern": [0], "Rome": [1]})[name]
    assert str(caught.value) == "no partition has this name; there are 2 partitions, 0 to 1"


@pytest.mark.parametrize(
    ("partitions", "error", "message"),
    [
        ({0: [1], 1: [0]}, TypeError, "got 0 of type int; convert them with str, or pass a list of the mapping's"),
        ({"Bern": [0], None: [1]}, TypeError, "got None of type NoneType"),
        ({"Bern": [0], "": [1]}, ValueError, "of 1 to 200 characters, got ''; rename this partition"),
        ({" \t": [0]}, ValueError, r"got ' \\t'"),
        ({" ": [0]}, ValueError, "got ' '"),
        ({"Bern\nLyon": [0]}, ValueError, r"in one line .* got 'Bern\\nLyon'"),
        ({"\x1b[31mBern": [0]}, ValueError, r"got '\\x1b\[31mBern'"),
        ({"x" * 201: [0]}, ValueError, "of 1 to 200 characters"),
        ({"Bern": [0.5]}, TypeError, r"partitions\['Bern'\] must be a one-dimensional"),
        ({}, ValueError, "at least one partition"),
    ],
    ids=["integers", "none", "empty", "tab", "blank", "two lines", "escape", "long", "rows", "no partitions"],
)
def test_names_that_cannot_be_printed_are_refused(partitions, error, message):
    with pytest.raises(error, match=message):
        Assignment.from_partitions(partitions)


def test_the_fingerprint_depends_on_every_part():
    base = [[0, 1], [2]], ["a", "b", "a", "b"]
    others = [
        ([[1, 0], [2]], base[1]),
        ([[0], [1, 2]], base[1]),
        ([[0, 1], [2], []], base[1]),
        ([[0, 1], [2]], ["a", "b", "a", "a"]),
        ([[0, 1], [2]], ["a", "c", "a", "c"]),
        ([[0, 1], [2]], ["a", "b", "a"]),
        ([[0, 1], [2]], None),
    ]
    prints = {Assignment.from_partitions(*given).fingerprint for given in (base, *others)}
    assert len(prints) == 8


@pytest.mark.parametrize("labels", [LABELS, [f"class {label}" for label in LABELS], [label > 1 for label in LABELS]])
def test_a_loaded_assignment_equals_the_saved_one(labels, tmp_path):
    saved = IidPartitioner(3).assign(labels)
    path = tmp_path / "split"
    saved.save(path)
    loaded = Assignment.load(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["split"]
    assert loaded == saved
    assert loaded.classes.dtype == saved.classes.dtype
    assert not loaded.rows.flags.writeable


def test_any_flipped_byte_is_an_error(assignment: Assignment, tmp_path):
    path = tmp_path / "split.npz"
    assignment.save(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"split\.npz is not a valid assignment file"):
            Assignment.load(path)


def test_a_number_of_rows_other_than_the_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="num_rows=4 differs from the number of labels, 3; omit num_rows"):
        Assignment.from_partitions([[0], [1]], ["a", "b", "a"], num_rows=4)
    assert Assignment.from_partitions([[0], [1]], ["a", "b", "a"], num_rows=3).unassigned.tolist() == [2]


def test_a_number_of_rows_larger_than_any_can_be_is_refused():
    with pytest.raises(ValueError, match=r"num_rows must be at most 1152921504606846975, got 10{30}"):
        Assignment.from_partitions([[0]], num_rows=10**30)


def test_a_text_file_is_not_a_saved_assignment(tmp_path):
    (tmp_path / "README.md").write_text("# A text of more than thirty-two letters")
    with pytest.raises(ValueError, match=r"README.md is not a valid assignment file: it is not .npz; pass a fi"):
        Assignment.load(tmp_path / "README.md")


def test_saving_into_a_folder_that_does_not_exist_names_the_folder(assignment: Assignment, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a folder that does not exist; create .*splits first$"):
        assignment.save(tmp_path / "splits" / "split.npz")


def test_a_saved_assignment_is_an_ordinary_npz_file(assignment: Assignment, tmp_path):
    assignment.save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz", allow_pickle=False) as stored:
        assert np.array_equal(stored["rows"], assignment.rows)


@pytest.mark.parametrize("length", [0, 10, 300, -1])
def test_a_truncated_file_is_an_error(assignment: Assignment, tmp_path, length):
    path = tmp_path / "split.npz"
    assignment.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="is not a valid assignment file"):
        Assignment.load(path)


def test_simultaneous_saves_to_one_path_leave_one_complete_file(assignment: Assignment, tmp_path):
    path = tmp_path / "split.npz"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: assignment.save(path), range(40)))
    assert Assignment.load(path) == assignment
    assert [file.name for file in tmp_path.iterdir()] == ["split.npz"]


@pytest.mark.parametrize("kind", golden.LABELS)
def test_what_any_partitioner_makes_is_loaded_as_it_was(kind, tmp_path):
    labels = golden.LABELS[kind]
    made = [NaturalIdPartitioner("user").assign(labels), Assignment.from_partitions([[], []])]
    for case in CASES:
        with contextlib.suppress(ValueError):  # where a scheme refuses these labels
            made.append(case.make(4, labels, 42).assign(labels))
    assert len(made) > len(CASES) / 2
    for assignment in made:
        assignment.save(tmp_path / "split")
        assert Assignment.load(tmp_path / "split") == assignment


TRUE = {
    "rows": np.array([3, 0, 4]),
    "offsets": np.array([0, 2, 3]),
    "unassigned": np.array([1, 2]),
    "classes": np.array(["a", "b"]),
    "label_counts": np.array([[1, 1], [0, 1]]),
    "class_totals": np.array([2, 3]),
}
FALSE = {
    "a row that is held twice": {"rows": [3, 3, 4]},
    "a row that is held and unassigned": {"unassigned": [1, 3]},
    "a row beyond the data set": {"rows": [3, 0, 5]},
    "a negative row": {"rows": [3, 0, -1]},
    "rows that are no integers": {"rows": [3.0, 0.0, 4.0]},
    "rows of another width": {"rows": np.array([3, 0, 4], np.int32)},
    "a matrix of rows": {"rows": [[3, 0, 4]]},
    "offsets that decrease": {"offsets": [0, 4, 3]},
    "offsets that begin elsewhere": {"offsets": [1, 2, 3]},
    "offsets that end elsewhere": {"offsets": [0, 2, 4]},
    "no partition": {"offsets": [0]},
    "unassigned rows in another order": {"unassigned": [2, 1]},
    "classes in another order": {"classes": ["b", "a"]},
    "a class twice": {"classes": ["a", "a"]},
    "classes that are no labels": {"classes": [0.5, 1.5]},
    "more classes than counts": {"classes": ["a", "b", "c"]},
    "a negative count": {"label_counts": [[3, -1], [0, 1]]},
    "counts beyond the rows": {"label_counts": [[2**62, 2**62], [0, 1]]},
    "counts that do not sum to the partition": {"label_counts": [[1, 0], [0, 1]]},
    "totals that do not sum to the rows": {"class_totals": [2, 2]},
    "totals below the counts": {"class_totals": [0, 5]},
    "edges of another number": {"edges": [0.5, 1.5]},
    "edges that are not a number": {"classes": [0, 1], "edges": np.array(["x"])},
    "an edge that is NaN": {"edges": [np.nan]},
    "an edge that is NaT": {"edges": np.array(["NaT"], "M8[us]")},
    "an edge in another unit": {"edges": np.array(["2024-01-01"], "M8[D]")},
    "names of another number": {"names": ["Bern"]},
    "a name twice": {"names": ["Bern", "Bern"]},
    "a name that is blank": {"names": ["Bern", " "]},
    "a name with an escape": {"names": ["Bern", "\x1b[31mLyon"]},
    "names that are no strings": {"names": [1, 2]},
    "natural ids without partitions": {"natural_ids": ["x", "y"]},
    "partitions without natural ids": {"natural_id_partitions": [0, 1]},
    "natural ids of another number": {"natural_ids": ["x"], "natural_id_partitions": [0, 1]},
    "a natural id twice in a partition": {"natural_ids": ["x", "x"], "natural_id_partitions": [1, 1]},
    "natural ids that are no labels": {"natural_ids": [0.5, 1.5], "natural_id_partitions": [0, 1]},
    "a natural id in no partition": {"natural_ids": ["x", "y"], "natural_id_partitions": [0, 2]},
    "a matrix of natural ids": {"natural_ids": [["x", "y"]], "natural_id_partitions": [0, 1]},
    "an unknown array": {"more": [1]},
    "no totals": {"class_totals": None},
    "no rows": {"rows": None},
    "another fingerprint": {"fingerprint": np.array("0" * 32)},
    "no fingerprint": {"fingerprint": None},
    "a list of fingerprints": {"fingerprint": np.array(["0", "1"])},
}


def write_assignment(path, changes):
    arrays = TRUE | {name: np.asarray(array) for name, array in changes.items() if array is not None}
    arrays = {name: array for name, array in arrays.items() if name not in changes or changes[name] is not None}
    stamp = {} if "fingerprint" in changes else {"fingerprint": np.array(archive.digest(arrays))}
    archive.write(path, "assignment", 1, arrays | stamp)


@pytest.mark.parametrize("changes", FALSE.values(), ids=FALSE)
def test_a_whole_file_of_what_is_no_assignment_is_an_error(changes, tmp_path):
    write_assignment(tmp_path / "split.npz", {})
    assert Assignment.load(tmp_path / "split.npz") == Assignment.from_partitions([[3, 0], [4]], list("ababb"))
    write_assignment(tmp_path / "split.npz", changes)
    with pytest.raises(ValueError, match=r"split\.npz is not a valid assignment file: "):
        Assignment.load(tmp_path / "split.npz")


def test_bins_of_a_continuous_target_are_loaded_with_their_edges(tmp_path):
    saved = DirichletPartitioner(2, alpha=1.0, num_bins=3).assign([row / 7 for row in range(60)])
    saved.save(tmp_path / "split.npz")
    loaded = Assignment.load(tmp_path / "split.npz")
    assert loaded == saved
    assert np.array_equal(loaded.edges, saved.edges)


def test_a_full_disk_leaves_the_saved_assignment_as_it_was(assignment: Assignment, tmp_path, monkeypatch):
    assignment.save(tmp_path / "split.npz")

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        with pytest.raises(OSError, match=r"split\.npz was not written: No space left on device"):
            Assignment.from_partitions([[0]]).save(tmp_path / "split.npz")
    assert Assignment.load(tmp_path / "split.npz") == assignment
    assert [file.name for file in tmp_path.iterdir()] == ["split.npz"]


def test_another_kind_of_file_is_an_error(tmp_path):
    np.savez(tmp_path / "other.npz", rows=np.arange(3))
    with pytest.raises(ValueError, match="not a valid assignment file"):
        Assignment.load(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", rows=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a valid assignment file"):
        Assignment.load(tmp_path / "pickled.npz")
    with pytest.raises(FileNotFoundError):
        Assignment.load(tmp_path / "none.npz")


def test_a_file_with_a_newer_format_is_an_error_that_says_so(assignment: Assignment, tmp_path, monkeypatch):
    monkeypatch.setattr("flskew.assignment._VERSION", 2)
    assignment.save(tmp_path / "split.npz")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="it has version 2, later than 1; update flskew"):
        Assignment.load(tmp_path / "split.npz")


def test_an_unpickled_assignment_is_read_only(assignment: Assignment):
    copy = pickle.loads(pickle.dumps(assignment))
    assert copy == assignment
    assert not copy.rows.flags.writeable


def test_the_frame_has_the_layout_of_flower_datasets():
    features = Features(label=ClassLabel(names=["a", "b", "c"]))
    partitioner = DirichletPartitioner(4, "label", 0.5, 0)
    partitioner.dataset = Dataset.from_dict({"label": [row % 3 for row in range(60)]}, features=features)
    assert_frame_equal(
        partitioner.assignment.to_frame(), compute_counts(partitioner, "label"), check_index_type=False,
        check_column_type=False,
    )  # fmt: skip
