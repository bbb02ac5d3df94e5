"""Which of the five kinds of non-IID a split has, and how much of each."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_digits

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    QuantityPartitioner,
    skew,
)
from flskew.shifts import Affine, Missing, Noise, Ramp, Relabel, Rotate, SwapLabels

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images, DIGITS.target
INK = IMAGES.sum(axis=(1, 2))
NUM_ROWS = len(LABELS)


def iid(num_partitions: int = 5, seed: int = 42) -> Assignment:
    return IidPartitioner(num_partitions, seed=seed).assign(LABELS)


def by_ink() -> Assignment:
    """Rows are chosen by their features alone."""
    return InnerDirichletPartitioner([359] * 5, "ink", alpha=0.3, num_bins=5).assign(INK)


# The line of code that makes each kind, and what is found.
MADE = {
    "nothing": (iid(), ()),
    "prior shift": (InnerDirichletPartitioner([359] * 5, "digit", alpha=0.5).assign(LABELS), ("prior shift",)),
    "quantity skew": (QuantityPartitioner(5, alpha=0.5).assign(LABELS), ("quantity skew",)),
    "prior shift and quantity skew": (
        DirichletPartitioner(5, "digit", alpha=0.3).assign(LABELS),
        ("prior shift", "quantity skew"),
    ),
    "covariate shift by a feature": (by_ink(), ("covariate shift", "concept drift")),
    "covariate shift by noise": (iid().with_shift(Noise(Ramp(4.0))), ("covariate shift", "concept drift")),
    "concept drift by rotation": (iid().with_shift(Rotate(Ramp(30.0))), ("covariate shift", "concept drift")),
    "prior shift and rotation": (
        InnerDirichletPartitioner([359] * 5, "digit", alpha=0.5).assign(LABELS).with_shift(Rotate(Ramp(60.0))),
        ("covariate shift", "prior shift", "concept drift"),
    ),
    "covariate shift by gain": (iid().with_shift(Affine(Ramp(1.2, first=0.8))), ("covariate shift", "concept drift")),
    "concept shift": (iid().with_shift(Relabel({1: 7}, partitions=[2])), ("concept shift",)),
    "label noise at one client": (iid().with_shift(SwapLabels(0.2, classes=10, partitions=[1])), ("concept shift",)),
    "the same label noise everywhere": (iid().with_shift(SwapLabels(0.2, classes=10)), ()),
}


@pytest.mark.parametrize(("assignment", "found"), MADE.values(), ids=MADE)
def test_the_kinds_that_were_made_are_found_and_no_others(assignment: Assignment, found: tuple[str, ...]) -> None:
    report = skew.kinds(assignment, IMAGES, LABELS)
    assert report.found == found
    for kind in report.kinds:
        if kind.name in found:
            assert kind.distance is not None
            assert kind.chance is not None
            assert kind.distance > kind.chance
            assert kind.verdict == "yes"


def test_random_splits_have_none_of_the_kinds() -> None:
    """A distance three deviations above chance is rarer than one in forty, so one is allowed."""
    labels, frame = LABELS[:300], pd.DataFrame({"ink": INK[:300], "bright": INK[:300] > 300})
    rng = np.random.default_rng(0)
    found: Counter[str] = Counter()
    for _ in range(20):
        for num_partitions in (2, 10):
            owners = rng.integers(0, num_partitions, 300)
            split = Assignment.from_partitions([np.flatnonzero(owners == one) for one in range(num_partitions)])
            noisy = np.where(rng.random(300) < 0.2, rng.permutation(labels), labels)
            found.update(skew.kinds(split, frame, noisy, truth=labels).found)
    assert all(count <= 1 for count in found.values()), found


def test_chance_is_the_mean_over_random_splits() -> None:
    """Sizes stay as they are for all kinds but quantity skew, in which rows choose their partition."""
    sizes = np.array([300, 200, 80, 20])
    labels, truth = LABELS[:600] % 3, LABELS[:600] % 2
    features = pd.DataFrame({"ink": INK[:600], "bright": INK[:600] > 300})
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(4), sizes)

    def split(owners: Any) -> Assignment:
        return Assignment.from_partitions([np.flatnonzero(owners == one) for one in range(4)])

    drawn = [skew.kinds(split(rng.permutation(owners)), features, labels, truth=truth) for _ in range(30)]
    for name in ("covariate_shift", "prior_shift", "concept_drift", "concept_shift"):
        distances = [getattr(report, name).distance for report in drawn]
        chances = [getattr(report, name).chance for report in drawn]
        error = np.std(distances) / np.sqrt(len(drawn))
        assert np.mean(distances) == pytest.approx(np.mean(chances), abs=4 * error), name
    sizes_drawn = [skew.kinds(split(rng.integers(0, 4, 600))).quantity_skew for _ in range(300)]
    assert np.mean([kind.distance for kind in sizes_drawn]) == pytest.approx(sizes_drawn[0].chance, rel=0.08)


# What each kind measures


def held(split: Assignment, values: Any, of: Any = None, which: Any = None) -> list[Any]:
    """The values of each partition, of one class if it is given."""
    return [values[rows] if of is None else values[rows][of[rows] == which] for rows in split]


def apart(samples: list[Any]) -> tuple[float, float]:
    """By SciPy: the distance to all rows, weighted by rows, and the mean difference of two of all rows."""
    pooled = np.concatenate(samples)
    moved = sum(len(own) * wasserstein_distance(own, pooled) for own in samples if len(own)) / len(pooled)
    return moved, float(np.abs(pooled[:, None] - pooled).mean())


def test_prior_shift_is_the_total_variation_of_the_labels() -> None:
    split = DirichletPartitioner(5, "digit", alpha=1.0).assign(LABELS)
    kind = skew.kinds(split, labels=LABELS).prior_shift
    assert kind.distance == pytest.approx(skew.total_variation(split))
    assert kind.chance == pytest.approx(skew.iid_total_variation(split))
    assert skew.kinds(split).prior_shift.distance == kind.distance  # the split knows its labels
    assert kind.distances is not None
    assert kind.distances[0] == pytest.approx(skew.report(split).to_frame()["total_variation"][0])


def test_quantity_skew_is_the_gini_coefficient() -> None:
    kind = skew.kinds(Assignment.from_partitions([[0, 1, 2, 3, 4, 5], [6, 7]])).quantity_skew
    assert kind.distance == 0.25  # (|6 - 2| + |2 - 6|) / (2 · 2 · 8)
    # Of eight fair coins, heads and tails differ by Σ |2h - 8| C(8, h) / 2^8 = 560 / 256 on average: 2 · 2.1875 / 32.
    assert kind.chance == pytest.approx(0.137, rel=0.05)


def test_covariate_shift_is_the_mean_distance_of_the_columns() -> None:
    split = Assignment.from_partitions([own[own < 600] for own in iid()], num_rows=600)
    ink, pixel = INK[:600], IMAGES[:600, 3, 4]
    expected = [moved / spread for moved, spread in (apart(held(split, ink)), apart(held(split, pixel)))]
    report = skew.kinds(split, {"ink": ink, "pixel": pixel})
    assert report.covariate_shift.distance == pytest.approx(np.mean(expected))
    single = skew.feature_report({"ink": ink}, split).columns[0]
    alone = skew.kinds(split, {"ink": ink}).covariate_shift
    assert (alone.distance, alone.chance) == pytest.approx((single.distance, single.chance))
    assert alone.distances == pytest.approx(single.distances)
    assert alone.chances == pytest.approx(single.chances)


def test_concept_drift_is_the_distance_within_each_class_weighted_by_its_rows() -> None:
    split = Assignment.from_partitions([own[own < 600] for own in iid(3)], num_rows=600)
    ink, digits = INK[:600], LABELS[:600]
    within = [apart(held(split, ink, digits, digit)) for digit in range(10)]
    weights = np.bincount(digits) / 600
    expected = sum(weight * moved / spread for weight, (moved, spread) in zip(weights, within, strict=True))
    report = skew.kinds(split, {"ink": ink}, digits)
    assert report.concept_drift.distance == pytest.approx(expected)
    assert skew.feature_distance({"ink": ink}, split, digits) == report.concept_drift.distance


def test_pixels_count_by_how_much_they_vary() -> None:
    """Their distances are added up before they are divided by the sum of the mean differences."""
    split = Assignment.from_partitions([own[own < 200] for own in iid(3)], num_rows=200)
    images = IMAGES[:200, 2:5, 2:4].copy()
    images[:, 0, 0] = 0.0
    images[0, 0, 0] = 1e-3
    flat = images.reshape(200, -1)
    moved, spread = np.sum([apart(held(split, pixel)) for pixel in flat.T], axis=0)
    assert skew.feature_distance(images, split) == pytest.approx(moved / spread)
    digits = LABELS[:200] % 2
    sums = np.sum(
        [
            np.bincount(digits)[digit] * np.array(apart(held(split, pixel, digits, digit)))
            for pixel in flat.T
            for digit in (0, 1)
        ],
        axis=0,
    )
    assert skew.feature_distance(images, split, digits) == pytest.approx(sums[0] / sums[1])


def test_missing_values_add_to_the_distance_of_their_column() -> None:
    halves = Assignment.from_partitions([range(4), range(4, 8)])
    # Of Bern's four values, two are missing: |1/2 - 1/4| · ½ · 2 = 1/4 for each. The known values are 0, 0 against
    # 1, 1, 1, 1: a third and two thirds, so 2/6 · 4/6 + 4/6 · 2/6 = 4/9 of the mean difference 2 · 2/6 · 4/6 = 4/9.
    values = [0, 0, np.nan, np.nan, 1, 1, 1, 1]
    assert skew.feature_distance({"x": values}, halves) == pytest.approx(0.75 * 1 + 0.25)


def test_concept_shift_is_the_total_variation_of_labels_within_each_true_class() -> None:
    split = Assignment.from_partitions({"Bern": range(4), "Lyon": range(4, 8)})
    truth = ["flu", "flu", "cold", "cold"] * 2
    labels = ["flu", "flu", "cold", "cold", "flu", "cold", "cold", "cold"]
    report = skew.kinds(split, labels=labels, truth=truth)
    # Of the true flus, Bern calls all flu, Lyon half, together three quarters: a distance of 1/4 for half of all rows.
    assert report.concept_shift.distance == pytest.approx(0.125)
    assert report.label_disagreements is not None
    assert report.label_disagreements.tolist() == [0, 0.25]
    assert skew.label_disagreement(labels, split, truth=truth) == 0.125


def test_without_a_truth_labels_of_equal_features_are_compared() -> None:
    """Lyon calls a cold what Bern calls a flu, for the same three symptoms."""
    symptoms = {"fever": ["high", "high", "low"] * 40, "age": [30, 50, 30] * 40}
    split = Assignment.from_partitions({"Bern": range(60), "Lyon": range(60, 120)})
    labels = np.array(["flu", "cold", "none"] * 40)
    same = skew.kinds(split, symptoms, labels)
    assert same.concept_shift.verdict == "no"
    assert same.label_disagreements is None
    labels[60::3] = "cold"
    other = skew.kinds(split, symptoms, labels)
    assert other.found == ("prior shift", "concept drift", "concept shift")
    # A third of all rows; of the most frequent label, half are called otherwise: a distance of 1/2.
    assert other.concept_shift.distance == pytest.approx(1 / 6)
    assert "Concept shift: rows with equal features have different labels at some partitions, most at" in " ".join(
        other.remarks
    )


def test_equal_features_that_one_partition_holds_say_nothing_about_concepts() -> None:
    split = Assignment.from_partitions([[0, 1], [2, 3]])
    report = skew.kinds(split, {"x": [1, 1, 2, 2]}, ["a", "b", "a", "b"])
    assert report.concept_shift.verdict == "not measured"


# What follows from what


def test_features_that_differ_because_classes_do_follow_from_prior_shift() -> None:
    report = skew.kinds(MADE["prior shift"][0], IMAGES, LABELS)
    assert report.covariate_shift.exceeds_chance
    assert report.covariate_shift.verdict == "follows from prior shift"
    assert report.concept_drift.verdict == "no"
    assert "within classes, features differ only by chance" in " ".join(report.remarks)


def test_what_other_labels_change_follows_from_concept_shift() -> None:
    report = skew.kinds(iid().with_shift(Relabel({1: 7, 3: 7}, partitions=[2])), IMAGES, LABELS)
    assert report.found == ("concept shift",)
    assert report.prior_shift.verdict == report.concept_drift.verdict == "follows from concept shift"
    assert report.covariate_shift.verdict == "no"


def test_concept_drift_without_covariate_shift_is_told_apart() -> None:
    """Cars in snow and vans without in Oslo, the other way round in Rome: the photos together are alike."""
    oslo, car = np.arange(400) % 2 == 0, np.arange(400) // 2 % 2 == 0
    snow = np.where(oslo == car, 1.0, 0.0)
    split = Assignment.from_partitions({"Oslo": np.flatnonzero(oslo), "Rome": np.flatnonzero(~oslo)})
    report = skew.kinds(split, {"snow": snow}, car)
    assert report.found == ("concept drift",)
    assert "Features differ within classes, but not over all rows (concept drift). Oslo differs most." in report.remarks


# What is seen


def test_a_split_with_a_shift_is_measured_as_its_clients_see_the_data() -> None:
    split, shift = iid(), Noise(Ramp(4.0)) | Relabel({1: 7}, partitions=[2])
    shifted = split.with_shift(shift)
    through = skew.kinds(shifted, IMAGES, LABELS)
    seen = skew.kinds(split, shifted.shift_features(IMAGES), shifted.shift_labels(LABELS), truth=LABELS)
    assert through.to_frame().equals(seen.to_frame())
    assert through.remarks[-1] == f"Measured as clients see the data, through {shift}."


def test_values_that_some_clients_miss_are_a_covariate_shift() -> None:
    table = pd.DataFrame({"ink": INK, "width": (IMAGES.max(axis=1) > 4).sum(axis=1) * 1.0})
    report = skew.kinds(iid().with_shift(Missing(["ink"], rate=[0, 0, 0, 0, 0.3])), table, LABELS)
    assert report.found == ("covariate shift", "concept drift")
    assert "ink is missing differs most: Partition 4 has" in " ".join(report.remarks)
    assert skew.kinds(iid().with_shift(Missing(["ink"], rate=0.3)), table, LABELS).found == ()


def test_a_shift_of_features_alone_is_no_concept_shift() -> None:
    report = skew.kinds(iid().with_shift(Noise(Ramp(4.0))), labels=LABELS)
    assert (report.concept_shift.distance, report.concept_shift.verdict) == (0, "no")
    assert report.prior_shift.verdict == "no"


def test_the_labels_of_the_split_are_not_those_that_clients_see_through_a_shift_of_labels() -> None:
    assert skew.kinds(iid().with_shift(Relabel({1: 7}))).prior_shift.verdict == "not measured"
    assert skew.kinds(iid().with_shift(Noise(1.0))).prior_shift.verdict == "no"


def test_labels_of_a_split_that_are_bins_may_be_those_of_a_feature() -> None:
    remark = "Labels are the bins by which the split was made; if these are bins of a feature, pass labels."
    assert remark in skew.kinds(by_ink()).remarks
    assert remark not in skew.kinds(by_ink(), labels=LABELS).remarks


def test_many_partitions_and_classes_are_measured() -> None:
    """More pairs of them than fit into the type of their numbers."""
    classes = np.arange(3000) % 60
    split = IidPartitioner(20).assign(classes)
    features = pd.DataFrame({"x": np.arange(3000.0) % 77, "y": np.arange(3000.0) % 13})
    within = skew.kinds(split, features, classes).concept_drift
    samples = [[apart(held(split, features[name].to_numpy(), classes, one)) for one in range(60)] for name in features]
    expected = np.mean([[moved / spread for moved, spread in column if spread] for column in samples], axis=1)
    assert within.distance == pytest.approx(expected.mean())


def test_of_many_columns_the_same_few_are_compared() -> None:
    split = iid().with_shift(Affine(Ramp(1.5)))
    report = skew.kinds(split, IMAGES, max_columns=16)
    assert report.remarks[-1] == "Features were compared in 16 of 64 columns."
    assert skew.feature_distance(IMAGES, split, max_columns=16) == report.covariate_shift.distance
    whole = skew.feature_distance(IMAGES, split)
    assert whole != report.covariate_shift.distance
    assert whole == pytest.approx(report.covariate_shift.distance, rel=0.15)


def test_tables_of_every_type_are_measured_alike() -> None:
    columns = {"ink": INK, "bright": INK > 300}
    tables = [columns, pd.DataFrame(columns), Dataset.from_dict(columns)]
    reports = [skew.kinds(iid(), table, LABELS.tolist()).to_frame() for table in tables]
    assert reports[0].equals(reports[1])
    assert reports[0].equals(reports[2])


def several_labels() -> np.ndarray:
    """Whether a digit is even, has a hole, and is above 6: 0/1, and none of them for some digits."""
    return np.stack([LABELS % 2 == 0, np.isin(LABELS, [0, 6, 8, 9]), LABELS > 6], axis=1).astype(int)


def test_of_several_labels_per_row_each_counts() -> None:
    matrix = several_labels()
    split = InnerDirichletPartitioner([359] * 5, "digit", alpha=0.5).assign(LABELS)
    known = Assignment.from_partitions(list(split), labels=matrix)
    report = skew.kinds(split, IMAGES, matrix)
    assert report.prior_shift.distance == pytest.approx(skew.total_variation(known))
    assert report.prior_shift.chance == pytest.approx(skew.iid_total_variation(known))
    assert skew.kinds(known).prior_shift.distance == report.prior_shift.distance
    assert report.concept_shift.verdict == "not measured"
    assert "Concept shift is measured only if each row has one label." in report.remarks
    assert skew.kinds(iid(), IMAGES, matrix).found == ()
    assert skew.kinds(iid().with_shift(Rotate(Ramp(60.0))), IMAGES, matrix).found == (
        "covariate shift",
        "concept drift",
    )


def test_a_row_with_several_labels_is_compared_within_each_of_its_classes() -> None:
    split = Assignment.from_partitions([own[own < 300] for own in iid(3)], num_rows=300)
    matrix, ink = several_labels()[:300], INK[:300]
    within = [apart(held(split, ink, matrix[:, label], 1)) for label in range(3)]
    weights = matrix.sum(axis=0) / matrix.sum()
    expected = sum(weight * moved / spread for weight, (moved, spread) in zip(weights, within, strict=True))
    assert skew.feature_distance({"ink": ink}, split, matrix) == pytest.approx(expected)


def test_unassigned_rows_and_empty_partitions_are_ignored() -> None:
    split = Assignment.from_partitions([range(0, 100, 2), range(1, 100, 2), []], num_rows=NUM_ROWS)
    part = Assignment.from_partitions([range(0, 100, 2), range(1, 100, 2)])
    whole, alone = skew.kinds(split, IMAGES, LABELS), skew.kinds(part, IMAGES[:100], LABELS[:100])
    for name in ("covariate_shift", "prior_shift", "concept_drift"):
        assert getattr(whole, name).distance == pytest.approx(getattr(alone, name).distance)
        assert getattr(whole, name).chance == pytest.approx(getattr(alone, name).chance)


def test_a_single_partition_has_nothing_to_differ_from() -> None:
    report = skew.kinds(Assignment.from_partitions([range(100)]), IMAGES[:100], LABELS[:100])
    assert report.found == ()
    assert report.to_frame()["distance"].dropna().tolist() == pytest.approx([0, 0, 0, 0])


# The report


def named() -> skew.KindsReport:
    split = Assignment.from_partitions({"Bern": range(60), "<Lyon>": range(60, 100)})
    ages = np.r_[np.arange(60) % 20, 50 + np.arange(40) % 20]
    labels = np.arange(100) % 2
    return skew.kinds(split, {"age": ages}, np.where(ages > 65, 1 - labels, labels), truth=labels)


def test_the_report_shows_each_kind_and_names_the_column_and_the_partition() -> None:
    report = named()
    lines = str(report).splitlines()
    assert lines[0] == "2 partitions, 100 rows"
    assert [line.split()[0] for line in lines[3:8]] == ["covariate", "prior", "concept", "concept", "quantity"]
    assert lines[9] == "Features differ, also within classes (covariate shift and concept drift). age:"
    assert lines[10].startswith("  <Lyon> has mean")
    assert report.remarks[1] == "Concept shift: 8.0% of the labels differ from the truth, most at <Lyon> (20.0%)."
    assert repr(report) == str(report)


def test_the_report_converts_to_html_markdown_json_and_frames() -> None:
    report = named()
    html = report._repr_html_()
    assert "&lt;Lyon&gt;" in html
    assert "<Lyon>" not in html
    assert "| concept drift | P(x\\|y) |" in report.to_markdown()
    read = json.loads(report.to_json())
    assert (read["num_partitions"], read["num_rows"]) == (2, 100)
    assert [kind["kind"] for kind in read["kinds"]] == [kind.name for kind in report.kinds]
    assert read["kinds"][1]["distances"].keys() == {"Bern", "<Lyon>"}
    assert read["kinds"][4]["distances"] is None
    assert read["label_disagreements"]["<Lyon>"] == pytest.approx(0.2)
    frame = report.by_partition()
    assert frame.index.tolist() == ["Bern", "<Lyon>"]
    assert frame["rows"].tolist() == [60, 40]
    weighted = frame["rows"] @ frame["concept drift"] / 100
    assert weighted == pytest.approx(report.concept_drift.distance)


def test_the_report_says_what_to_pass_for_kinds_that_were_not_measured() -> None:
    split = Assignment.from_partitions([range(50), range(50, 100)])
    assert skew.kinds(split).remarks == (
        "To measure covariate shift, pass features.",
        "To measure prior shift, pass labels.",
        "To measure concept drift, pass features and labels.",
        "To measure concept shift, pass labels and truth (the correct labels).",
    )
    assert "To measure prior shift and concept shift, pass labels." in skew.kinds(split.with_shift(Noise(0.1))).remarks
    frame = skew.kinds(split).to_frame()
    assert frame["distance"].isna().tolist() == [True] * 4 + [False]
    assert json.loads(skew.kinds(split).to_json())["kinds"][0]["distance"] is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"assignment": [[0], [1]]}, TypeError, "assignment must be an Assignment, got list; make one with"),
        ({"assignment": Assignment.from_partitions([[]], num_rows=4)}, ValueError, "must have rows in at least one"),
        ({"labels": [0, 1]}, ValueError, "labels must have one label for each of the 4 rows of the data set, got 2"),
        ({"labels": [0, 1, 0, 1], "truth": list("0101")}, TypeError, "labels, truth must be of one type, got int, str"),
        ({"labels": [0, 1, 0, 1], "truth": [1]}, ValueError, "truth must have one label for each of the 4 rows"),
        (
            {"labels": np.eye(4, dtype=int), "truth": [0, 1, 0, 1]},
            TypeError,
            "truth needs labels with one label per row",
        ),
        ({"labels": np.eye(3, dtype=int)}, ValueError, "labels must have one label for each of the 4 rows"),
        ({"truth": [0, 1, 0, 1]}, ValueError, "truth needs labels; pass those that the clients see, too"),
        ({"labels": [0, 1, None, 1]}, ValueError, "labels"),
        ({"features": {"x": [1, 2]}}, ValueError, "frame must have at least one column, and one row for each of the 4"),
        ({"features": "pixels"}, TypeError, "frame must be a table"),
        (
            {"features": {"x": [1, 2, np.inf, 4]}},
            ValueError,
            "frame must contain finite numbers, got inf in column 'x'",
        ),
        ({"max_columns": 0}, ValueError, "max_columns must be at least 1, got 0"),
    ],
    ids=lambda value: None,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    split = Assignment.from_partitions([[0, 1], [2, 3]])
    with pytest.raises(error, match=message):
        skew.kinds(**{"assignment": split, **arguments})


def test_a_disagreement_needs_a_truth() -> None:
    with pytest.raises(ValueError, match="truth must be given if the assignment has no shift"):
        skew.label_disagreement([0, 1], Assignment.from_partitions([[0], [1]]))
