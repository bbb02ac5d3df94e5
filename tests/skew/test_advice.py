"""Advice on which strategy the benchmark of record supports for a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    skew,
)
from flskew.shifts import Noise, Ramp, Relabel
from flskew.skew import _record, _student, advice
from flskew.skew._evidence import evidence
from flskew.skew._record import Position, record_of

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images, DIGITS.target


def made(*splits: tuple[str, str, list[float], dict[str, list[float]]], **more: Any) -> _record.Record:
    """Return a record of splits, each with its setting, name, position and gains."""
    setting = {"num_classes": 2, "fraction_train": 1.0, "metric": "accuracy", "num_rounds": 1}
    calls = {"FedAvg": "FedAvg()", "SCAFFOLD": "Scaffold()", "FedNova": "FedNova()", "FedProx": "FedProx(0.1)"}
    settings = {
        name: {**setting, "data": name.split()[0], "calls": {**calls, "FedDyn": f"FedDyn(alpha={alpha})"}}
        for name, alpha in (("one", 0.1), ("two", 0.3), ("one sampled", 0.1))
    }
    settings["one sampled"]["fraction_train"] = 0.1
    methods = list(dict.fromkeys(method for *_, gains in splits for method in gains))
    entries = [
        {
            "setting": name, "name": title, "kind": "", "is_own": False, "position": position,
            "gains": [gains.get(method) for method in methods], **more,
        }
        for name, title, position, gains in splits
    ]  # fmt: skip
    return record_of({"version": 7, "methods": methods, "settings": settings, "splits": entries})


def advise(record: _record.Record, split: Any, **options: Any) -> skew.Advice:
    arguments = {"features": None, "labels": None, "covariate_shift": None, "concept_shift": None, **options}
    return advice.advice_from(record, advice.placed(split, **arguments))


# Two clients with half of their labels wrong: total variation 0.25 of at most 0.5 with two classes.
HALF = np.array([[75, 25], [25, 75]])
AT_HALF = [0.5, 1.0, 0.0, 0.0, 2]


@pytest.fixture
def by_hand() -> skew.Advice:
    """Two splits of one data set and one of another, with two seeds."""
    return advise(
        made(
            ("one", "first", AT_HALF, {"FedDyn": [1, 3], "FedNova": [0, 0]}),
            ("one", "second", AT_HALF, {"FedDyn": [3, 5], "FedNova": [0, 0]}),
            ("two", "third", AT_HALF, {"FedDyn": [1, 2], "FedNova": [0, 0]}),
        ),
        HALF,
    )


def test_the_gain_is_the_mean_of_the_near_splits_and_its_interval_is_over_seeds(by_hand: skew.Advice) -> None:
    feddyn = by_hand.by_method().loc["FedDyn"]
    # (2 + 4 + 1.5) / 3
    assert feddyn["gain"] == pytest.approx(2.5)
    # A third of the sums by seed: data set one (1 + 3, 3 + 5) / 3, data set two (1, 2) / 3. Half of the squared
    # difference of two numbers is their variance, and half of that the variance of their mean.
    one, two = (4 / 3) ** 2 / 4, (1 / 3) ** 2 / 4
    error = np.sqrt(one + two)
    # Welch-Satterthwaite: (one + two)² / (one² / 1 + two² / 1) = 1.12, rounded down.
    half = stats.t.ppf(0.975, 1) * error
    assert (feddyn["low"], feddyn["high"]) == pytest.approx((2.5 - half, 2.5 + half))
    # Holm: the smaller of two p-values counts twice.
    assert feddyn["p"] == pytest.approx(2 * 2 * stats.t.sf(2.5 / error, 1))
    assert feddyn["num_better"] == 3
    assert by_hand.by_method().loc["FedNova"].tolist() == [0, 0, 0, 1, 0]


def test_nearer_splits_count_more() -> None:
    nearer = ("one", "nearer", [0.44, 1.0, 0.0, 0.0, 2], {"FedDyn": [4.0, 6.0]})
    further = ("two", "further", [0.68, 1.0, 0.0, 0.0, 2], {"FedDyn": [1.0, 2.0]})
    feddyn = advise(made(nearer, further), HALF).by_method().loc["FedDyn"]
    # 0.06 and 0.18 away: the weights are 1 - 0.06 / 0.3 = 0.8 and 1 - 0.18 / 0.3 = 0.4, so two thirds and one third.
    assert feddyn["gain"] == pytest.approx((2 * 5 + 1.5) / 3)
    # The variances of the two means are 2 / 2 and 0.5 / 2.
    one, two = (2 / 3) ** 2 * 1, (1 / 3) ** 2 * 0.25
    half = stats.t.ppf(0.975, 1) * np.sqrt(one + two)
    assert feddyn["high"] - feddyn["low"] == pytest.approx(2 * half)


def test_without_evidence_of_a_difference_it_is_fedavg(by_hand: skew.Advice) -> None:
    assert (by_hand.strategy, by_hand.call, by_hand.gain, by_hand.interval) == ("FedAvg", "FedAvg()", 0.0, None)
    first, second = by_hand.summary.splitlines()
    assert first == "Use FedAvg()."
    assert "FedDyn(alpha=0.1) (one) or FedDyn(alpha=0.3) (two) gained most, 2.5 points of accuracy" in second
    assert second.endswith(
        "corrected for the 2 methods compared, there is no evidence of a difference between it and FedAvg."
    )


def test_a_method_that_is_better_is_recommended_with_those_that_may_be_as_good() -> None:
    gains = {
        "SCAFFOLD": [2.0, 2.1, 1.9, 2.0, 2.0], "FedDyn": [4.0, 4.2, 3.8, 4.0, 4.0],
        "FedProx": [3.9, 4.1, 4.2, 3.8, 3.9], "FedNova": [9.0, -9.0, 9.0, -9.0, 9.0],
    }  # fmt: skip
    found = advise(made(("one", "first", AT_HALF, gains)), HALF)
    assert (found.strategy, found.call) == ("FedDyn", "FedDyn(alpha=0.1)")
    assert found.gain == pytest.approx(4.0)
    half = stats.t.ppf(0.975, 4) * np.std(gains["FedDyn"], ddof=1) / np.sqrt(5)
    assert found.interval == pytest.approx((4 - half, 4 + half))
    assert found.summary.startswith(
        "Use FedDyn(alpha=0.1).\n"
        "On the one split of the record near this one (one), it gained 4.0 points of accuracy (95% interval 3.8 to "
        "4.2, 5 seeds) over FedAvg."
    )
    # SCAFFOLD is 2 points behind with every seed. FedNova, the largest of all with some, is not better than FedAvg.
    assert (
        "There is no evidence of a difference between FedDyn and FedProx (+4.0); over the whole record, FedDyn gained "
        "most." in found.remarks
    )


def test_of_methods_that_may_be_as_good_the_one_that_gains_most_over_the_whole_record_is_recommended() -> None:
    near = {"FedDyn": [4.0, 4.2, 3.8, 4.0, 4.0], "FedProx": [3.9, 4.1, 4.2, 3.8, 3.9], "SCAFFOLD": [1.0, 1.1] * 2 + [1]}
    far = {"FedDyn": [1.0] * 5, "FedProx": [2.0] * 5, "SCAFFOLD": [90.0] * 5}
    elsewhere = [0.9, 1.0, 0.0, 0.0, 2]
    splits = [("one", "near", AT_HALF, near), ("two", "far", elsewhere, far)]
    found = advise(made(*splits), HALF)
    # FedDyn (4 + 1) / 2, FedProx (3.98 + 2) / 2; SCAFFOLD gains less than both on the near split.
    assert found.strategy == "FedProx"
    assert found.gain == pytest.approx(3.98)
    assert any(
        "between FedProx and FedDyn (+4.0); over the whole record, FedProx gained most" in one for one in found.remarks
    )
    # Where not all of them were measured, they are not compared.
    assert advise(made(*splits, ("two", "partly", elsewhere, {"FedDyn": [50.0] * 5})), HALF).strategy == "FedProx"


def test_of_equal_gains_the_first_in_the_record_is_recommended() -> None:
    gains = [4.0, 4.2, 3.8, 4.0, 4.0]
    for order in (("SCAFFOLD", "FedDyn"), ("FedDyn", "SCAFFOLD")):
        assert advise(made(("one", "first", AT_HALF, dict.fromkeys(order, gains))), HALF).strategy == order[0]


def test_a_method_that_is_only_better_on_some_of_the_splits_says_so() -> None:
    up, down = {"FedDyn": [8.0, 8.1, 8.2, 8.0, 8.1]}, {"FedDyn": [-1.0, -1.1, -1.0, -0.9, -1.0]}
    found = advise(made(("one", "first", AT_HALF, up), ("two", "second", AT_HALF, down)), HALF)
    assert found.strategy == "FedDyn"
    assert "FedDyn was better than FedAvg on 1 of the 2 near splits." in found.remarks


def test_methods_that_were_not_measured_on_all_near_splits_are_not_compared() -> None:
    gains = {"FedDyn": [4.0, 4.2, 3.8, 4.0, 4.0]}
    more = {**gains, "SCAFFOLD": [9.0, 9.1, 9.0, 9.2, 9.0]}
    found = advise(made(("one", "first", AT_HALF, more), ("two", "second", AT_HALF, gains)), HALF)
    assert found.strategy == "FedDyn"
    assert found.by_method().index.tolist() == ["FedDyn"]


def test_without_a_method_on_all_near_splits_there_is_only_fedavg() -> None:
    gains = [4.0, 4.2, 3.8, 4.0, 4.0]
    found = advise(
        made(("one", "first", AT_HALF, {"FedDyn": gains}), ("two", "second", AT_HALF, {"SCAFFOLD": gains})), HALF
    )
    assert (found.strategy, found.gain) == ("FedAvg", 0.0)
    assert found.summary.splitlines()[1].endswith("no other strategy was measured on all of them.")
    assert found.by_method().empty


def test_a_strategy_that_only_loses_is_not_called_the_best() -> None:
    found = advise(made(("one", "first", AT_HALF, {"FedDyn": [-1.0, -1.1]})), HALF)
    assert found.summary.startswith(
        "Use FedAvg().\nOn the one split of the record near this one (one), no other strategy gained anything."
    )


def test_when_nothing_is_near_it_says_exactly_that_and_shows_the_nearest_splits() -> None:
    gains = {"FedDyn": [9.0, 9.1, 9.0, 9.2, 9.0]}
    splits = [("one", f"at {labels}", [labels, 1.0, 0.0, 0.0, 2], gains) for labels in (0.1, 0.2, 0.8, 0.95)]
    found = advise(made(*splits), HALF)
    assert (found.strategy, found.call, found.gain, found.interval) == (None, None, None, None)
    assert found.summary.startswith(
        "The record has nothing near this split, so there is no advice.\n"
        "The nearest split, one: at 0.2, is 0.30 away; less than 0.3 is near."
    )
    assert found.to_frame().index.tolist() == ["one: at 0.2", "one: at 0.8", "one: at 0.1"]
    assert found.to_frame()["gain"].isna().all()
    assert found.by_method().empty


def test_splits_with_another_kind_of_shift_are_never_near() -> None:
    gains = {"FedDyn": [9.0, 9.1, 9.0, 9.2, 9.0]}
    record = made(("one", "shifted", [0.5, 1.0, 0.05, 0.0, 2], gains))
    assert advise(record, HALF).summary.splitlines()[1] == "None of its splits has the same kinds of shift."
    assert advise(record, HALF, covariate_shift=0.1).strategy == "FedDyn"
    assert advise(record, HALF, covariate_shift=0.1, concept_shift=0.1).strategy is None


@pytest.mark.parametrize(
    ("other", "distance"),
    [
        pytest.param(Position(0.5, 1.0, 0.1, 0.2, 10), 0.0, id="the same"),
        pytest.param(Position(0.4, 1.0, 0.1, 0.2, 10), 0.1, id="labels"),
        pytest.param(Position(0.5, 0.7, 0.1, 0.2, 10), 0.3, id="sizes"),
        pytest.param(Position(0.5, 1.0, 0.3, 0.1, 10), 0.3, id="both shifts"),
        pytest.param(Position(0.5, 1.0, 0.1, 0.2, 1000), 0.4, id="a hundred times as many clients"),
        pytest.param(Position(0.5, 1.0, 0.0, 0.2, 10), np.inf, id="no covariate shift"),
        pytest.param(Position(0.5, 1.0, 0.1, 0.0, 10), np.inf, id="no concept shift"),
    ],
)
def test_the_distance_is_the_sum_of_the_differences(other: Position, distance: float) -> None:
    here = Position(0.5, 1.0, 0.1, 0.2, 10)
    assert here.distance(other) == other.distance(here) == distance


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_label_skew_is_a_fraction_of_the_largest_possible_with_so_many_classes(num_classes: int) -> None:
    one_each = np.eye(num_classes, dtype=int) * 50
    placed = advice.placed(one_each, None, None, None, None)
    assert placed.total_variation == pytest.approx(1 - 1 / num_classes)
    assert placed.position == pytest.approx((1.0, 1.0, 0.0, 0.0, num_classes))


def test_a_single_class_is_no_label_skew() -> None:
    assert advice.placed(np.array([[5], [15]]), None, None, None, None).position.label_skew == 0
    # A class without rows is not counted.
    assert advice.placed(np.array([[5, 0], [15, 0]]), None, None, None, None).num_classes == 1


def test_other_numbers_of_classes_and_sampled_clients_are_remarked() -> None:
    gains = {"FedDyn": [4.0, 4.2, 3.8, 4.0, 4.0]}
    record = made(("one", "first", AT_HALF, gains), ("one sampled", "second", AT_HALF, gains))
    three = np.array([[60, 20, 20], [20, 60, 20], [20, 20, 60]])
    found = advise(record, three)
    assert any(remark.startswith("The near splits have 2 classes, this one has 3:") for remark in found.remarks)
    assert "On 1 of the 2 near splits, 10% of the clients trained in each round." in found.remarks
    assert "sampled" in str(found)
    alone = advise(made(("one sampled", "second", AT_HALF, gains)), three)
    assert "On all near splits, 10% of the clients trained in each round." in alone.remarks
    assert not any("sampled" in str(advise(made(("one", "first", AT_HALF, gains)), split)) for split in (HALF, three))


def test_training_alone_is_mentioned_where_it_beats_the_strategy() -> None:
    gains = {"FedDyn": [4.0, 4.2, 3.8, 4.0, 4.0], "alone": [5.0, 5.0, 5.0, 5.0, 5.0]}
    found = advise(made(("one", "first", AT_HALF, gains), is_own=True), HALF)
    assert found.strategy == "FedDyn"
    # Differences 1, 0.8, 1.2, 1 and 1: the variance is 0.02.
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.02 / 5)
    assert (
        "On the 1 near split where each client was tested on its own data, training alone was 1.0 points better than "
        f"FedDyn (95% interval {1 - half:.1f} to {1 + half:.1f})." in found.remarks
    )
    assert "alone" not in found.by_method().index
    gains["alone"] = [3.0, 6.0, 5.0, 3.0, 5.0]  # better, but not clearly
    assert not any("alone" in one for one in advise(made(("one", "first", AT_HALF, gains), is_own=True), HALF).remarks)


def test_counts_labels_and_assignments_of_one_split_get_the_same_advice() -> None:
    assignment = DirichletPartitioner(10, "label", alpha=0.5).assign(LABELS)
    expected = str(skew.advise(assignment))
    bare = Assignment.from_partitions(list(assignment), num_rows=len(LABELS))
    assert str(skew.advise(assignment.label_counts)) == expected
    assert str(skew.advise(assignment.to_frame())) == expected
    assert str(skew.advise([LABELS[rows] for rows in assignment])) == expected
    assert str(skew.advise(skew.tally(assignment))) == expected
    assert str(skew.advise(bare, labels=LABELS)) == expected


def test_a_shift_is_measured_like_the_kinds_of_skew() -> None:
    iid = IidPartitioner(10, partition_by="label").assign(LABELS)
    noisy, coded = iid.with_shift(Noise(Ramp(6.4))), iid.with_shift(Relabel({1: 7, 7: 1}, partitions=[0, 1, 2]))
    found = advice.placed(noisy, IMAGES, LABELS, None, None)
    assert found.position.covariate_shift == skew.kinds(noisy, IMAGES, LABELS).covariate_shift.distance
    assert found.position.concept_shift == 0
    found = advice.placed(coded, None, LABELS, None, None)
    assert found.position.concept_shift == skew.kinds(coded, None, LABELS).concept_shift.distance
    assert found.position.covariate_shift == 0
    # The labels as they are.
    assert found.total_variation == skew.total_variation(iid)
    assert advice.placed(noisy, None, None, 0.3, None).position.covariate_shift == 0.3
    assert advice.placed(coded, None, None, None, 0.3).position.concept_shift == 0.3


def test_features_that_differ_because_labels_do_are_no_shift() -> None:
    skewed = InnerDirichletPartitioner([179] * 10, alpha=0.3).assign(LABELS)
    assert skew.kinds(skewed, IMAGES, LABELS).covariate_shift.exceeds_chance
    found = advice.placed(skewed, IMAGES, LABELS, None, None)
    assert (found.position.covariate_shift, found.position.concept_shift) == (0, 0)
    assert str(skew.advise(skewed, IMAGES, LABELS)).count("Features were not compared") == 0
    assert str(skew.advise(skewed)).count("Features were not compared") == 1


def test_sites_with_other_features_get_advice_from_splits_with_a_covariate_shift() -> None:
    rng = np.random.default_rng(0)
    hospital = np.repeat(["Bern", "Geneva", "Lugano"], [400, 300, 300])
    age = rng.normal(np.where(hospital == "Geneva", 68, 55), 12)
    ill = (age + rng.normal(0, 12, 1000) > 65).astype(int)
    sites = {name: np.flatnonzero(hospital == name) for name in ("Bern", "Geneva", "Lugano")}
    assignment = Assignment.from_partitions(sites, labels=ill)
    table = pd.DataFrame({"age": age})
    distance = skew.kinds(assignment, table, ill).covariate_shift.distance
    found = skew.advise(assignment, table, ill)
    shifts = found.to_frame()["covariate shift"]
    assert shifts.size
    assert shifts.gt(0).all()
    # All that leaves the sites is the number of their patients with each label, and the distance.
    assert str(skew.advise(assignment.to_frame(), covariate_shift=distance)) == str(found)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        pytest.param(
            (HALF, IMAGES), {}, TypeError, "need an Assignment.*pass covariate_shift", id="features of counts"
        ),
        pytest.param((HALF,), {"covariate_shift": 2}, ValueError, "from 0 to 1.*got 2", id="a distance above 1"),
        pytest.param((HALF,), {"concept_shift": "much"}, TypeError, "from 0 to 1.*got 'much'", id="not a number"),
        pytest.param((HALF / 7,), {}, TypeError, "counts must be integers", id="shares"),
        pytest.param(("split",), {}, TypeError, "split must be an Assignment", id="a string"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_remedy(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        skew.advise(*arguments, **options)


def test_a_shift_without_data_is_refused_with_the_remedy() -> None:
    iid = IidPartitioner(5, partition_by="label").assign(LABELS)
    with pytest.raises(ValueError, match=r"shift of the features.*pass the features and labels.*or covariate_shift"):
        skew.advise(iid.with_shift(Noise(Ramp(1.0))))
    with pytest.raises(ValueError, match=r"shift of the labels.*pass the labels.*or concept_shift"):
        skew.advise(iid.with_shift(Relabel({1: 7})))
    with pytest.raises(ValueError, match="features need labels"):
        skew.advise(iid, IMAGES)
    with pytest.raises(ValueError, match="covariate_shift is measured from features; pass one"):
        skew.advise(iid, IMAGES, LABELS, covariate_shift=0.1)
    with pytest.raises(ValueError, match="concept_shift is measured from labels; pass one"):
        skew.advise(iid, labels=LABELS, concept_shift=0.1)
    with pytest.raises(ValueError, match="made without labels; pass the labels"):
        skew.advise(Assignment.from_partitions(list(iid)))


def test_advice_is_text_a_table_in_notebooks_and_markdown(by_hand: skew.Advice) -> None:
    assert repr(by_hand) == str(by_hand)
    assert "<table" in by_hand._repr_html_()
    assert "| one: first | 0.00 | 0.25 | 1.00 | +2.0 ± " in by_hand.to_markdown()
    assert by_hand.to_frame()["gain"].tolist() == [2.0, 4.0, 1.5]
    assert by_hand.version == 7
    assert by_hand.remarks[-1].startswith("Version 7 of the record has 3 splits of 2 data sets (one and two)")


def test_students_t_equals_scipys() -> None:
    for degrees in (1, 2, 3, 4, 5, 8, 12, 25):
        for t in (0.0, 0.3, 1.0, 2.776, 15.0):
            assert _student.two_sided(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), abs=1e-12)
        for level in (0.5, 0.95, 0.999):
            assert _student.quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees))


def test_strategies_that_do_not_differ_are_seldom_recommended() -> None:
    """Runs with one seed on one data set share half of their variance, as those of the record do."""
    rng = np.random.default_rng(0)
    names = ("SCAFFOLD", "FedDyn", "FedProx", "FedNova")
    num_false = 0
    for _ in range(300):
        shared = {data: rng.normal(size=(4, 5)) for data in ("one", "two")}
        splits = [
            (data, name, AT_HALF, dict(zip(names, (shared[data] + rng.normal(size=(4, 5))).tolist(), strict=True)))
            for data, name in (("one", "a"), ("one", "b"), ("two", "c"))
        ]
        num_false += evidence(made(*splits).splits, Position(0.5, 1.0, 0.0, 0.0, 2)).best != "FedAvg"
    # Only gains count, so half of 5 % are expected; 18 or more of 300 have a probability below 0.1 %.
    assert num_false < 18
