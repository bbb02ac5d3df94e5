"""Train on the past, test on the future, at each site."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given

from flskew import Assignment, DirichletPartitioner, NaturalIdPartitioner, split_by_time

CLINICS = Assignment.from_partitions({"Bern": [5, 0, 1, 2, 3], "Lyon": [4, 6], "Rome": [7], "Oslo": []}, num_rows=9)
YEARS = [2021, 2024, 2022, 2023, 2020, 2025, 2019, 2018, 2000]
DATES = [date(year, 7, 1) for year in YEARS]


def rows_of(assignment: Assignment) -> list[list[int]]:
    return [rows.tolist() for rows in assignment]


@st.composite
def splits(draw: st.DrawFn) -> tuple[Assignment, list[int]]:
    """Partitions of some rows, and times of which many are equal."""
    holders = draw(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
    times = draw(st.lists(st.integers(-4, 4), min_size=len(holders), max_size=len(holders)))
    rows = draw(st.permutations(range(len(holders))))
    partitions = [[row for row in rows if holders[row] == partition_id] for partition_id in range(4)]
    return Assignment.from_partitions(partitions, num_rows=len(holders)), times


@given(split=splits(), share=st.sampled_from([0.01, 0.2, 0.25, 0.5, 0.7, 0.99]))
def test_each_partition_is_cut_at_the_time_that_comes_closest_to_the_share(split: tuple[Assignment, list[int]], share):
    assignment, times = split
    train, test = split_by_time(assignment, times, share)
    for rows, past, future in zip(assignment, train, test, strict=True):
        # Plain Python: all ways to cut between two different times, the smallest test set first.
        sizes = sorted(sum(times[row] > time for row in rows) for time in {times[row] for row in rows})
        best = min(sizes[1:], key=lambda size: abs(size - share * len(rows)), default=0)
        assert len(future) == best
        assert past.tolist() == [row for row in rows if row in past]  # in the order of the assignment
        assert sorted([*past, *future]) == sorted(rows)
        assert max(times[row] for row in past) < min((times[row] for row in future), default=99) if len(past) else True


def test_a_fifth_of_each_site_is_tested_on_by_default():
    sizes = [10, 100, 1000]
    assignment = Assignment.from_partitions(np.split(np.random.default_rng(0).permutation(1110), [10, 110]))
    train, test = split_by_time(assignment, np.random.default_rng(1).permutation(1110))
    assert test.sizes.tolist() == [2, 20, 200]
    assert (train.sizes + test.sizes).tolist() == sizes


@pytest.mark.parametrize("when", [YEARS, DATES], ids=["years", "dates"])
def test_a_site_with_few_rows_keeps_the_oldest_for_training(when):
    train, test = split_by_time(CLINICS, when)
    assert rows_of(train) == [[0, 1, 2, 3], [6], [7], []]
    assert rows_of(test) == [[5], [4], [], []]
    assert train.names == test.names == ("Bern", "Lyon", "Rome", "Oslo")
    assert train.unassigned.tolist() == [4, 5, 8]
    assert test.num_rows == 9


def test_rows_at_one_time_are_never_divided():
    assignment = Assignment.from_partitions([range(10), range(10, 13)])
    # Nine of ten rows are in the last year, and all rows of the second site are in one.
    train, test = split_by_time(assignment, [1, *[2] * 9, 5, 5, 5])
    assert rows_of(train) == [[0], [10, 11, 12]]
    assert rows_of(test) == [[*range(1, 10)], []]


ZURICH = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("when", "test"),
    [
        (YEARS, 2023),
        (YEARS, 2022.5),
        (np.array(YEARS, dtype=np.uint16), np.int64(2023)),
        (DATES, date(2023, 7, 1)),
        (DATES, datetime(2023, 7, 1)),
        (DATES, np.datetime64("2023-07")),
        (DATES, pd.Timestamp("2023-07-01")),
        (DATES, datetime(2023, 7, 1, 1, tzinfo=ZURICH)),
        (np.array(DATES, dtype="M8[D]"), date(2023, 7, 1)),
        (pd.Series(pd.to_datetime(DATES), index=range(9, 0, -1)), date(2023, 7, 1)),
        (pd.Series(pd.to_datetime(DATES)).dt.tz_localize("UTC"), datetime(2023, 7, 1, tzinfo=UTC)),
        (pa.array(DATES), date(2023, 7, 1)),
        (Dataset.from_dict({"day": DATES})["day"], date(2023, 7, 1)),
        (Dataset.from_dict({"day": [None, *DATES]}).select(range(1, 10))["day"], date(2023, 7, 1)),
        (Dataset.from_dict({"day": [*DATES[::-1], None]}).select(range(8, -1, -1))["day"], date(2023, 7, 1)),
    ],
    ids=[
        "years", "half a year", "NumPy's", "date", "midnight", "month", "pandas", "with a zone", "array", "column",
        "column with a zone", "Arrow", "Hugging Face", "Hugging Face, selected", "Hugging Face, reversed",
    ],
)  # fmt: skip
def test_a_first_time_of_the_test_rows_is_the_same_at_all_sites(when, test):
    train, later = split_by_time(CLINICS, when, test)
    assert rows_of(train) == [[0, 2], [4, 6], [7], []]
    assert rows_of(later) == [[5, 1, 3], [], [], []]


def test_class_counts_are_those_of_the_rows_on_each_side(tmp_path):
    sites = NaturalIdPartitioner("site").assign(list("abababab"), labels=list("xyxxyyxy"))
    train, test = split_by_time(sites, range(8), test=0.5, labels=list("xyxxyyxy"))
    # Site a has rows 0, 2, 4 and 6 with labels x, x, y, x; site b has y, x, y, y.
    assert train.label_counts.tolist() == [[2, 0], [1, 1]]
    assert test.label_counts.tolist() == [[1, 1], [0, 2]]
    test.save(tmp_path / "test")
    assert Assignment.load(tmp_path / "test") == test
    later = NaturalIdPartitioner("site").assign(["b"], like=train)
    assert rows_of(later) == [[], [0]]
    assert not split_by_time(sites, range(8))[0].has_labels


def test_bins_stay_those_of_the_whole_data_set():
    ages = np.arange(40) % 13 * 1.5
    assignment = DirichletPartitioner(3, alpha=1.0, min_partition_size=2, num_bins=4).assign(ages)
    train, test = split_by_time(assignment, range(40), labels=ages)
    assert np.array_equal(train.edges, assignment.edges)
    assert np.array_equal(train.label_counts + test.label_counts, assignment.label_counts)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((CLINICS, YEARS[:4]), ValueError, "when must be one time per row of the data set, got 4 for 9 rows"),
        ((CLINICS, [*DATES[:8], None]), ValueError, r"when has a missing value .* at row 8 \(1 in total\)"),
        ((CLINICS, [*YEARS[:8], float("nan")]), ValueError, "when has a missing value .* at row 8"),
        ((CLINICS, ["2023-01-01"] * 9), TypeError, "numbers or dates, got string; parse .* with pandas.to_datetime"),
        ((CLINICS, YEARS, 0), ValueError, "test must be a share between 0 and 1, .* a number >= 1 like .* got 0"),
        ((CLINICS, YEARS, -0.2), ValueError, "got -0.2"),
        ((CLINICS, YEARS, float("nan")), ValueError, "got nan"),
        ((CLINICS, DATES, 2023), ValueError, "the first time of the test rows, a date like those in when; got 2023"),
        ((CLINICS, YEARS, date(2023, 1, 1)), TypeError, r"a number >= 1 like those in when; got datetime.date\(2023"),
        ((CLINICS, DATES, "2023-01-01"), TypeError, "got '2023-01-01' of type str"),
        ((CLINICS, DATES, True), TypeError, "got True of type bool"),
        ((CLINICS, DATES, pd.NaT), ValueError, "test has a missing value"),
        ((CLINICS, DATES, np.datetime64("NaT")), ValueError, "test has a missing value"),
        (([[0], [1]], [1, 2]), TypeError, "assignment must be an Assignment, got list"),
    ],
    ids=[
        "too few", "none", "nan", "strings", "zero", "negative", "not a number", "number", "date", "text", "bool",
        "pandas NaT", "NaT", "list",
    ],
)  # fmt: skip
def test_what_cannot_be_split_by_time_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        split_by_time(*arguments)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 0], "labels must be one per row of the data set, got 3 for 4 rows"),
        ([0, 1, 1, 0], "labels must be those that the assignment was made with, in the same order"),
        ([0, 2, 0, 2], "labels must be those that the assignment was made with"),
    ],
    ids=["too few", "another order", "other classes"],
)
def test_labels_of_other_rows_are_refused(labels, message):
    assignment = Assignment.from_partitions([[0, 1], [2, 3]], labels=[0, 0, 1, 1])
    with pytest.raises(ValueError, match=message):
        split_by_time(assignment, range(4), labels=labels)
