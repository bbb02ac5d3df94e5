"""Dates are binned wherever numbers are, and exactly."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    NaturalIdPartitioner,
)

DAYS = np.arange("2023-11-07", "2024-02-15", dtype="M8[D]")  # 100 days
CONTAINERS = {
    "days": DAYS,
    "hours": DAYS.astype("M8[h]"),
    "nanoseconds": DAYS.astype("M8[ns]"),
    "list of dates": DAYS.tolist(),
    "list of NumPy's dates": [*DAYS],
    "list of timestamps": [*pd.Series(DAYS)],
    "pandas column": pd.Series(DAYS),
    "pandas column of objects": pd.Series(DAYS.tolist(), dtype=object),
    "pandas column with a zone": pd.Series(DAYS).dt.tz_localize("UTC").dt.tz_convert("Europe/Zurich"),
    "pandas index": pd.DatetimeIndex(DAYS),
    "Arrow days": pa.array(DAYS),
    "Arrow seconds": pa.chunked_array([pa.array(DAYS).cast(pa.timestamp("s"))]),
    "Arrow with a zone": pa.array(DAYS).cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "Asia/Tokyo")),
    "Hugging Face column": Dataset.from_dict({"day": DAYS.tolist()})["day"],
}


@pytest.mark.parametrize("days", CONTAINERS.values(), ids=CONTAINERS)
def test_dates_are_binned_in_any_container(days, tmp_path):
    quarters = LabelExclusionPartitioner([{3}, {0}], num_bins=4)
    assignment = quarters.assign(days)
    # A hundred days in quarters begin 25, 50 and 75 days after the first.
    assert assignment.edges.tolist() == [datetime(2023, 12, 2), datetime(2023, 12, 27), datetime(2024, 1, 21)]
    assert assignment.label_counts.tolist() == quarters.assign(range(100)).label_counts.tolist()
    assignment.save(tmp_path / "split")
    loaded = Assignment.load(tmp_path / "split")
    assert loaded == assignment
    matched = loaded.match([date(2023, 12, 1), date(2024, 1, 21)])
    assert matched.label_counts.tolist() == [[1, 0], [0, 1]]
    assert matched.classes.tolist() == [0, 3]


def test_dates_in_a_data_set_are_binned_and_can_be_a_label_beside_natural_ids():
    dataset = Dataset.from_dict({"day": DAYS.tolist(), "site": ["Bern", "Lyon"] * 50})
    excluding = LabelExclusionPartitioner([{3}, {0}], "day", num_bins=4)
    sites = NaturalIdPartitioner("site", label_by="day", num_bins=4)
    for scheme in (excluding, sites):
        scheme.dataset = dataset.shuffle(seed=1)
        assert np.array_equal(scheme.assignment.edges, excluding.assign(DAYS).edges)
    assert sites.assignment.label_counts.sum(axis=1).tolist() == [50, 50]


def test_dates_beyond_the_precision_of_floats_are_told_apart():
    """As floats, these numbers of microseconds since 1970 would be equal."""
    days = np.array([10**17, 10**17 + 1], dtype="M8[us]")
    assignment = LabelExclusionPartitioner([{1}, {0}], num_bins=2).assign(days)
    assert [rows.tolist() for rows in assignment] == [[0], [1]]
    assert assignment.match(days[::-1]).label_counts.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p.assign([date(2024, 1, 1), None]), ValueError, r"missing value \(None, NaN or NaT\) at row 1"),
        (lambda p: p.assign(np.array(["2024", "NaT"], "M8[M]")), ValueError, r"\(None, NaN or NaT\) at row 1 \(1 in"),
        (lambda p: p.assign(pd.Series([pd.NaT, pd.Timestamp("2024")])), ValueError, "at row 0"),
        (lambda p: p.assign(np.array([10**17], "M8[s]")), ValueError, "a date too far away to count in microseconds"),
        (lambda p: p.assign([date(2024, 1, 1), 3]), TypeError, "must be all dates or all numbers, got both"),
        (lambda p: p.assign([datetime(2024, 1, 1), 3]), TypeError, "must be all dates or all numbers, got both"),
        (
            lambda p: p.assign(DAYS).match([1, 2]),
            TypeError,
            "must be dates, like those that were binned before, got",
        ),
        (lambda p: p.assign(range(9)).match(DAYS), TypeError, "must be numbers, like those that were .* got dates"),
        (lambda p: p.assign(DAYS).match(["a"]), TypeError, "got string; pass the values of which bins were made"),
        (lambda p: DirichletPartitioner(2).assign(DAYS), TypeError, "got dates .*; pass num_bins to split by time"),
        (
            lambda p: IidPartitioner(2).assign(DAYS),
            TypeError,
            r"got dates \(date32\[day\]\); group them first, e.g. by",
        ),
    ],
    ids=[
        "none",
        "months",
        "pandas",
        "far",
        "mixed",
        "mixed times",
        "numbers",
        "dates",
        "strings",
        "no bins",
        "no argument",
    ],
)
def test_what_is_wrong_with_a_date_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make(LabelExclusionPartitioner([{1}, {0}], num_bins=2))
