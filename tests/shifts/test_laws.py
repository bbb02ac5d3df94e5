"""Every shift in the table obeys the laws of the conformance kit, and shows another process the same."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flskew.shifts
from flskew.shifts import Missing, Noise, Relabel, Shift, SwapLabels
from flskew.testing import check_shift

from .cases import CASES, NUM_PARTITIONS, Case, digests, dtypes, features_of, labels, num_rows, seeds

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
@given(data=st.data(), num_rows=num_rows, dtype=dtypes, seed=seeds, classes=labels)
def test_it_obeys_the_laws(case: Case, data: st.DataObject, num_rows: int, dtype: str, seed: int, classes: list):
    rng = np.random.default_rng(seed)
    features = features_of(data.draw(st.sampled_from(case.kinds)), num_rows, dtype, rng)
    labels = rng.choice(case.classes or classes, num_rows)
    check_shift(case.shift, features, labels, num_partitions=NUM_PARTITIONS)


@every_case
def test_a_pickled_shift_is_equal(case: Case):
    assert pickle.loads(pickle.dumps(case.shift)) == case.shift


def test_every_shift_is_in_the_table():
    in_table = {type(link) for case in CASES for link in [case.shift, *case.shift._links()]}
    exported = [getattr(flskew.shifts, name) for name in flskew.shifts.__all__]
    shifts = [one for one in exported if inspect.isclass(one) and issubclass(one, Shift)]
    assert {one for one in shifts if not inspect.isabstract(one)} == in_table


def test_another_process_sees_the_same():
    root = Path(__file__).resolve().parents[2]
    other = subprocess.run(
        [sys.executable, "-c", "from tests.shifts.cases import digests; print(*digests())"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path]), "PYTHONHASHSEED": "1"},
    )
    assert other.stdout.split() == digests()


def test_random_numbers_are_the_same_in_every_version():
    """A change would change what the clients of saved assignments see."""
    zeros, rows = np.zeros(12, dtype=np.int64), range(12)
    swapped = SwapLabels(0.5, 10, seed=7).view(1, 3).labels(zeros, rows)
    assert swapped.tolist() == [6, 0, 0, 0, 8, 0, 2, 6, 0, 0, 3, 3]
    relabelled = Relabel({0: 1}, 0.5, seed=7).view(1, 3).labels(zeros, rows)
    assert relabelled.tolist() == [1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0]
    holes = np.isnan(Missing(["x"], 0.5, seed=7).view(1, 3).features({"x": np.zeros(12)}, rows)["x"])
    assert holes.tolist() == [bool(hole) for hole in (0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1)]
    noise = Noise(1.0, seed=7).view(1, 3).features(np.zeros((2, 2)), [5, 2**40])
    assert noise.round(6).tolist() == [[0.555077, 0.448199], [-1.874419, -0.540901]]
