"""What all shifts have in common: views, chains, strengths, and the assignment that has one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from flskew import Assignment, IidPartitioner
from flskew._util import archive
from flskew.shifts import Affine, Channels, FeatureShift, LabelShift, Noise, Ramp, Shift, Viewer

IMAGES = np.arange(6 * 4, dtype=np.float32).reshape(6, 2, 2)
SPLIT = Assignment.from_partitions([[4, 0], [2, 1, 5]], num_rows=6)


class Negative(LabelShift):
    """A shift of the tests' own: another sign."""

    def relabel(self, labels, rows, viewer):
        return -labels

    def at(self, severity):
        return Negative(partitions=self.partitions if severity else ())


def test_a_row_looks_the_same_in_any_batch_and_order():
    view = SPLIT.with_shift(Noise(0.5)).view(1)
    together = view.features(IMAGES, range(6))
    for order in ([5, 3, 1], [0], []):
        assert_array_equal(view.features(IMAGES[order], order), together[order])


def test_a_row_looks_the_same_in_another_process():
    code = (
        "import numpy as np; from flskew.shifts import Noise;"
        "print(Noise(0.5).view(1, 2).features(np.zeros((2, 3)), [7, 2]).tobytes().hex())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == Noise(0.5).view(1, 2).features(np.zeros((2, 3)), [7, 2]).tobytes().hex()


def test_clients_rows_seeds_columns_and_places_in_a_chain_have_different_noise():
    def draw(shift: Shift, partition_id: int = 0, row: int = 0) -> float:
        features = {"a": np.zeros(1), "b": np.zeros(1)}
        return shift.view(partition_id, 3).features(features, [row])["a"].item()

    noise = Noise(1.0)
    drawn = [draw(noise), draw(noise, 1), draw(noise, 0, 1), draw(Noise(1.0, seed=1)), draw(noise | noise) / 2]
    both = noise.view(0, 3).features({"a": np.zeros(1), "b": np.zeros(1)}, [0])
    assert len({*drawn, both["b"].item()}) == 6


def test_noise_has_the_standard_deviation_of_its_partition():
    noisy = Noise(Ramp(0.3, first=0.1)).view(2, 5).features(np.zeros((500, 80)), range(500))
    # .1 + .2 / 2 in the middle; 40,000 draws have a standard error of .2 / sqrt(80,000) = .0007.
    assert noisy.std() == pytest.approx(0.2, abs=0.003)
    assert noisy.mean() == pytest.approx(0, abs=0.004)


def test_whole_features_are_what_each_holder_sees():
    shifted = SPLIT.with_shift(Affine(offset=[100.0, 200.0]) | Noise(0.1))
    whole = shifted.shift_features(IMAGES)
    for partition_id in range(2):
        rows = shifted[partition_id]
        assert_array_equal(whole[rows], shifted.view(partition_id).features(IMAGES[rows]))
    assert_array_equal(whole[3], IMAGES[3])


def test_whole_labels_are_what_each_holder_sees():
    shifted = SPLIT.with_shift(Negative(partitions=[1]))
    assert shifted.shift_labels([1, 2, 3, 4, 5, 6]).tolist() == [1, -2, -3, 4, 5, -6]
    assert shifted.view(1).labels([3, 2, 6]).tolist() == [-3, -2, -6]


@pytest.mark.parametrize("kind", ["mapping", "frame"])
def test_a_table_keeps_its_kind_its_other_columns_and_the_original(kind: str):
    columns = {"age": np.arange(6.0), "sex": np.array(list("mfmfmf")), "visits": np.arange(6)}
    table = pd.DataFrame(columns) if kind == "frame" else columns
    seen = SPLIT.with_shift(Affine(offset=1)).shift_features(table)
    assert type(seen) is type(table)
    assert list(seen["age"]) == [1, 2, 3, 3, 5, 6]
    assert list(seen["visits"]) == list(range(6))
    assert list(table["age"]) == list(range(6))
    named = SPLIT.with_shift(Affine(offset=1, columns=["visits"])).shift_features(table)
    assert list(named["visits"]) == [1, 2, 3, 3, 5, 6]
    assert list(named["age"]) == list(range(6))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_the_dtype_is_kept_and_integers_are_rounded_and_clipped(dtype: str):
    values = np.array([0, 100, 250], dtype=dtype)
    seen = Affine(gain=1.1, offset=0.4).view(0, 1).features(values, range(3))
    assert seen.dtype == dtype
    # 0.4, 110.4, 275.4
    expected = {"uint8": [0, 110, 255], "int64": [0, 110, 275]}.get(dtype, [0.4, 110.4, 275.4])
    np.testing.assert_allclose(seen.astype(float), expected, rtol=2e-3)


def test_severity_runs_from_the_data_as_they_are_to_the_shift():
    chain = Affine(gain=[1.0, 3.0], offset=2.0) | Noise(Ramp(0.5), seed=7)
    assert chain.at(1) == chain
    assert_array_equal(SPLIT.with_shift(chain.at(0)).shift_features(IMAGES), IMAGES)
    assert chain.at(0.5) == Affine(gain=[1.0, 2.0], offset=1.0) | Noise(Ramp(0.25), seed=7)


def test_the_shift_is_part_of_the_fingerprint_the_file_and_the_pickle(tmp_path: Path):
    shifted = SPLIT.with_shift(Affine(2.0) | Negative(partitions=[0]))
    shifted.save(tmp_path / "split.npz")
    for copy in (Assignment.load(tmp_path / "split.npz"), pickle.loads(pickle.dumps(shifted))):
        assert copy == shifted
        assert copy.shift == shifted.shift
    others = {SPLIT.fingerprint, shifted.fingerprint, SPLIT.with_shift(Affine(2.0)).fingerprint}
    assert len(others) == 3
    assert shifted.with_shift(None) == SPLIT
    assert "seen through Affine(gain=2.0) | Negative(partitions=(0,))" in repr(shifted)


def test_a_matched_split_sees_the_data_as_they_are():
    train = IidPartitioner(2).assign([0, 1] * 5).with_shift(Affine(2.0))
    assert train.match([0, 1]).shift is None


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "Noise(0.1).at(0)",
        "open('x')",
        "3",
        "Noise(sigma=-1)",
        "Noise(",
        "Unknown()",
        pytest.param("Noise(" + "-" * 100_000 + "1)", id="too deep for Python's parser"),
        pytest.param(" | ".join(["Noise(sigma=0.1, seed=42)"] * 20_000), id="too long a chain"),
        pytest.param("Noise([0.1] * 10**9)", id="a large list"),
        pytest.param("Noise(sigma=0.1, columns={'a', 'b'}, seed=42)", id="a set has no order"),
    ],
)
def test_a_file_with_a_forged_shift_is_refused(tmp_path: Path, text: str):
    forged = SPLIT._seal(SPLIT._parts._replace(shift=np.array(text)))
    path = tmp_path / "split.npz"
    archive.write(path, "assignment", 1, forged._arrays() | {"fingerprint": np.array(forged.fingerprint)})
    with pytest.raises(ValueError, match=r"is not a valid assignment file: .* is not a shift"):
        Assignment.load(path)


@pytest.mark.parametrize(
    "text", ["Noise(0.1)", "Noise(sigma=0.1, seed=42, **{'seed': 1})", "Noise(sigma=0.1, seed=42) "]
)
def test_a_shift_in_a_file_that_was_written_differently_is_refused(tmp_path: Path, text: str):
    forged = SPLIT._seal(SPLIT._parts._replace(shift=np.array(text)))
    path = tmp_path / "split.npz"
    archive.write(path, "assignment", 1, forged._arrays() | {"fingerprint": np.array(forged.fingerprint)})
    with pytest.raises(ValueError, match="must be saved as what it prints as, Noise"):
        Assignment.load(path)


def test_names_of_columns_may_come_from_an_array():
    shift = Noise(0.1, columns=np.array(["age", "weight"]))
    assert SPLIT.with_shift(shift).shift == Noise(0.1, columns=["age", "weight"])


@pytest.mark.parametrize("partitions", [(), (0,), (1, 3), range(4)], ids=str)
def test_exactly_the_given_partitions_see_a_shift(partitions: Any):
    shift = Affine(2.0, partitions=partitions)
    seen = [shift.view(i, 4).features(np.ones(1), [0]).item() for i in range(4)]
    assert seen == [2.0 if i in partitions else 1.0 for i in range(4)]


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (Noise(0.1, partitions=[2]), "partitions of Noise must be in 0 ... 1, got 2"),
        (Noise([0.1, 0.2, 0.3]), "sigma must have one number for each of 2 partitions, got 3"),
        (Affine(2.0) | Affine(offset=[1.0]), "offset must have one number for each of 2 partitions, got 1"),
        (Channels([[1.0, 0.5, 0.5]]), "gains must have one list for each of 2 partitions, got 1"),
    ],
    ids=repr,
)
def test_a_shift_for_another_number_of_partitions_is_refused_before_any_client_looks(shift: Shift, message: str):
    with pytest.raises(ValueError, match=message):
        SPLIT.with_shift(shift)


@pytest.mark.parametrize(
    "shift",
    [Channels([1.0, 0.5, 0.5]), Channels([[1.0, 0.5, 0.5]] * 2), Noise([0.1, 0.2]), Noise(np.array(0.1))],
    ids=repr,
)
def test_a_shift_with_one_strength_per_partition_or_channel_is_accepted(shift: Shift):
    assert SPLIT.with_shift(shift).shift == shift


def test_a_view_is_the_same_by_name():
    named = Assignment.from_partitions({"Bern": [4, 0], "Lyon": [2, 1, 5]}, num_rows=6).with_shift(Noise(0.1))
    assert_array_equal(named.view("Lyon").features(IMAGES[[2]], [2]), named.view(1).features(IMAGES[[2]], [2]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Noise(-1), ValueError, r"sigma must be a finite number >= 0, got -1"),
        (lambda: Noise([0.1, float("nan")]), ValueError, r"sigma\[1\] must be a finite number >= 0, got nan"),
        (lambda: Noise("0.1"), TypeError, "sigma must be a number, a list with one number per partition, or a Ramp"),
        (lambda: Noise([]), ValueError, "sigma must have one number per partition, got none"),
        (lambda: Noise({0.2, 0.1}), TypeError, "sigma must be a number, a list with one number per partition"),
        (lambda: Noise({0: 0.1, 1: 0.2}), TypeError, "sigma must be a number, a list with one number per partition"),
        (lambda: Noise(1, partitions=["Bern"]), TypeError, "integers, got a string; .* assignment.names.index"),
        (lambda: Noise(0.1, seed=None), TypeError, "seed"),
        (lambda: Noise(0.1, columns="age"), TypeError, "columns must be a list of names or positions"),
        (lambda: Noise(0.1, partitions=[-1]), ValueError, "partitions must be at least 0"),
        (lambda: Noise(0.1).at(1.5), ValueError, "severity must be a number from 0 to 1"),
        (lambda: Noise([0.1]).view(0, 2).features(IMAGES, range(6)), ValueError, "one number for each of 2 partitions"),
        (lambda: Noise(1, partitions=[2]).view(0, 2).features(IMAGES, range(6)), ValueError, "must be in 0 ... 1"),
        (lambda: Noise(1).view(2, 2), ValueError, "partition_id must be at most 1"),
        (lambda: Noise(1).view(0, 2).features(IMAGES), AttributeError, "without rows; make it with assignment.view"),
        (lambda: Noise(1).view(0, 2).features(IMAGES, [1]), ValueError, "6 entries and 1 rows"),
        (lambda: Noise(1).view(0, 2).features(IMAGES, [-1] * 6), ValueError, "integers from 0 to 2.63 - 1, got -1"),
        (lambda: Noise(1).view(0, 2).features(IMAGES, [0.5] * 6), TypeError, "rows must be a list of row numbers"),
        (lambda: Noise(1).view(0, 2).features(3, [1]), TypeError, "features must be a NumPy array"),
        (lambda: Noise(1).view(0, 2).features(np.array(["a"]), [1]), TypeError, "Noise changes numbers"),
        (lambda: Noise(1, columns=["b"]).view(0, 2).features({"a": [1.0]}, [1]), ValueError, "'b' is not a column"),
        (lambda: SPLIT.with_shift(Noise), TypeError, "shift must be a shift, such as"),
        (lambda: SPLIT.shift_features(IMAGES[:2]), ValueError, "one entry for each of the 6 rows"),
        (lambda: Noise(1) | 3, TypeError, "unsupported operand"),
    ],
)
def test_bad_input_names_the_argument_the_rule_and_the_value(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_a_shift_that_prints_as_something_else_cannot_be_saved_and_is_refused():
    class Odd(FeatureShift):
        def change(self, values, rows, viewer, column):
            return values

        def at(self, severity):
            return self

        def __repr__(self):
            return "Noise(sigma=1.0)"

    with pytest.raises(ValueError, match="must print as the call that makes it"):
        SPLIT.with_shift(Odd())


def test_a_shift_whose_arguments_cannot_be_saved_is_refused_with_the_rule():
    class Limited(FeatureShift):
        def __init__(self, most):
            super().__init__()
            self.most = most

        def change(self, values, rows, viewer, column):
            return np.minimum(values, self.most)

        def at(self, severity):
            return Limited(self.most / severity if severity else np.inf)

    assert SPLIT.with_shift(Limited(2.0)).shift == Limited(2.0)
    with pytest.raises(ValueError, match="it contains inf, but arguments must be finite numbers, strings"):
        SPLIT.with_shift(Limited(2.0).at(0))


# 256 rows with one number each, 51 with five, and one with 300 share a part of the stream.
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (300,), (0,)], ids=str)
def test_random_numbers_of_a_row_do_not_depend_on_the_rows_drawn_with_it(shape: tuple[int, ...]):
    streams = Viewer(0, 1).streams(42, "test")
    rows = np.array([700, 3, 255, 256, 3, 0, 10**12, 254])
    for draw in (streams.uniform, streams.normal):
        together = draw(rows, shape)
        assert together.shape == (8, *shape)
        for position in range(8):
            assert_array_equal(draw(rows[[position]], shape)[0], together[position])
        assert_array_equal(draw(np.sort(rows), shape), together[np.argsort(rows)])


def test_random_numbers_of_many_rows_are_those_of_each():
    streams = Viewer(0, 1).streams(42, "test")
    rows = np.random.default_rng(0).permutation(70_000)  # more parts than are in memory at the same time
    together = streams.uniform(rows)
    for position in (0, 40_000, 69_999):
        assert streams.uniform(rows[[position]]) == together[position]
    assert_array_equal(streams.uniform(np.arange(70_000))[rows], together)
    assert len(set(together)) == 70_000


def test_rows_of_another_shape_have_other_numbers():
    streams = Viewer(0, 1).streams(42, "test")
    drawn = [streams.uniform(np.array([0]), shape).ravel()[0] for shape in [(), (2,), (5,), (300,), (784,)]]
    assert len(set(drawn)) == 5


def test_neighbouring_rows_have_independent_numbers():
    drawn = Viewer(0, 1).streams(42, "test").normal(np.arange(20_000), ())
    # Correlations of n independent pairs have a standard error of 1 / sqrt(n) = .007.
    for distance in (1, 2, 255, 256):
        assert abs(np.corrcoef(drawn[distance:], drawn[:-distance])[0, 1]) < 0.03


class Marked(FeatureShift):
    """Adds the number of each row to rows from `first` on, and remembers how many rows it got at a time."""

    def __init__(self, first: int):
        super().__init__()
        self.first = first
        self.counts: list[int] = []

    def change(self, values, rows, viewer, column):
        self.counts.append(len(rows))
        chosen = rows >= self.first
        return values + np.where(chosen, rows, 0)[:, None].astype(values.dtype) if chosen.any() else values

    def at(self, severity):
        return self


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("first", [0, 300, 599])
def test_large_arrays_are_changed_in_blocks(dtype: str, first: int):
    features = np.full((600, 1000), 7, dtype)
    shift = Marked(first)
    seen = shift.view(0, 1).features(features, range(600))
    assert shift.counts == [131, 131, 131, 131, 76]  # 2^17 // 1000 rows
    assert seen.dtype == dtype
    assert_array_equal(seen[:, 0], [7 + row if row >= first else 7 for row in range(600)])
    assert (features == 7).all()


def test_a_shift_that_changes_no_block_returns_the_features_themselves():
    features = np.zeros((600, 1000), "uint8")
    assert Marked(600).view(0, 1).features(features, range(600)) is features


def test_a_shift_of_your_own_must_keep_the_shape():
    class First(FeatureShift):
        def change(self, values, rows, viewer, column):
            return values[:, 0]

        def at(self, severity):
            return self

    with pytest.raises(ValueError, match=r"First must return values of shape \(6, 2, 2\), got \(6, 2\)"):
        First().view(0, 1).features(IMAGES, range(6))


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint8"])
def test_values_beyond_the_range_of_an_integer_stay_at_its_ends(dtype: str):
    values = np.array([1, 0], dtype)
    limits = np.iinfo(dtype)
    # The largest double below 2^63 is 2^63 - 1024, and below 2^64 it is 2^64 - 2048.
    most = limits.max - {"int64": 1023, "uint64": 2047}.get(dtype, 0)
    assert Affine(gain=1e30).view(0, 1).features(values, range(2)).tolist() == [most, 0]
    assert Affine(gain=-1e30).view(0, 1).features(values, range(2)).tolist() == [limits.min, 0]


def test_a_shift_of_ones_own_cannot_take_the_name_of_another():
    with pytest.raises(TypeError, match=r"Noise is the name of a class of flskew\.shifts; choose another"):
        type("Noise", (Negative,), {})
    with pytest.raises(TypeError, match="Ramp is the name of a class"):
        type("Ramp", (Negative,), {})
    # A notebook may define its own again.
    type("Mine", (Negative,), {})
    mine = type("Mine", (Negative,), {})(partitions=[1])
    assert SPLIT.with_shift(mine).shift == mine


def test_a_shift_without_all_of_its_methods_cannot_be_made():
    for unfinished in (Shift, FeatureShift, LabelShift):
        with pytest.raises(TypeError, match="abstract"):
            unfinished()
