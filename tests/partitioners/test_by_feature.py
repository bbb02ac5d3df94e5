"""Any scheme splits by another column than the labels, which the assignment still counts (covariate shift)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from flskew import DirichletPartitioner, IidPartitioner, LabelExclusionPartitioner, PathologicalPartitioner, skew

from .cases import CASES, Case

COLORS = [["blue", "green", "red"][row * row % 7 % 3] for row in range(240)]
LABELS = np.arange(240) % 5
AGES = np.random.default_rng(0).normal(50, 20, 240)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_split_is_that_of_the_column_and_the_counts_are_those_of_the_labels(case: Case):
    partitioner = case.make(3, COLORS, 5)
    by_color, shown = partitioner.assign(COLORS), partitioner.assign(COLORS, labels=LABELS)
    assert shown.rows.tolist() == by_color.rows.tolist()
    assert shown.offsets.tolist() == by_color.offsets.tolist()
    assert shown.unassigned.tolist() == by_color.unassigned.tolist()
    assert shown.classes.tolist() == [0, 1, 2, 3, 4]
    for rows, counts in zip(shown, shown.label_counts, strict=True):
        assert counts.tolist() == [int((LABELS[rows] == label).sum()) for label in range(5)]


def test_numbers_are_split_in_bins_and_labels_are_not():
    by_age = PathologicalPartitioner(4, num_classes_per_partition=1, num_bins=4).assign(AGES, labels=LABELS)
    bins = np.digitize(AGES, np.sort(AGES)[[60, 120, 180]])
    assert [len(set(bins[rows])) for rows in by_age] == [1] * 4
    assert by_age.edges is None
    assert by_age.classes.tolist() == [0, 1, 2, 3, 4]


def test_reports_show_the_skew_of_labels_and_of_the_feature():
    by_age = PathologicalPartitioner(4, num_classes_per_partition=1, num_bins=4).assign(AGES, labels=LABELS)
    random = IidPartitioner(4).assign(LABELS)
    assert skew.total_variation(by_age) == pytest.approx(skew.total_variation(random), abs=0.1)
    report = skew.feature_report(pd.DataFrame({"age": AGES}), by_age).columns[0]
    assert report.distance > 4 * report.chance


def test_a_test_set_is_matched_by_its_labels():
    train = LabelExclusionPartitioner([{"red"}, {"blue"}]).assign(COLORS, labels=LABELS)
    test = train.match(LABELS[:50])
    assert np.all(np.abs(test.label_counts - train.label_counts * 10 / 48) < 1)


def test_columns_of_a_data_set_can_be_passed():
    dataset = Dataset.from_dict({"age": AGES, "label": LABELS})
    partitioner = DirichletPartitioner(3, min_partition_size=0, num_bins=5)
    from_columns = partitioner.assign(dataset["age"], labels=dataset["label"])
    assert from_columns == partitioner.assign(AGES, labels=LABELS)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: IidPartitioner(2).assign(COLORS, labels=[0, 1]), ValueError, "one per row, got 2 for 240 rows"),
        (lambda: IidPartitioner(2).assign(COLORS, labels=AGES), TypeError, "^labels must be integers.*got floating"),
        (lambda: DirichletPartitioner(2).assign(AGES, labels=LABELS), TypeError, "^column must be .* or pass num_bins"),
        (lambda: DirichletPartitioner(2).assign([0, None], labels=[0, 1]), ValueError, "^column has a missing value"),
        (lambda: DirichletPartitioner(2).assign([0, 1], labels=[0, None]), ValueError, "^labels has a missing value"),
    ],
    ids=["length", "float labels", "float column", "missing value", "missing label"],
)
def test_what_is_wrong_with_the_column_or_the_labels_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
