"""Hugging Face data sets, as one client sees them: the same bytes as with NumPy, and what `datasets` does with them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from numpy.testing import assert_array_equal
from PIL import Image as PilImage

from flskew import Assignment, IidPartitioner
from flskew.shifts import Affine, Missing, Noise, Relabel, Rotate

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3
SPLIT = Assignment.from_partitions([range(0, 12, 2), [9, 1, 7, 3]], num_rows=12)
VIEW = SPLIT.with_shift(Rotate([0, 90.0], layout="NHWC") | Noise(30.0) | Relabel({1: 2}, 0.7)).view(1)


def images(pixels: np.ndarray = PIXELS) -> Dataset:
    columns = {"image": [PilImage.fromarray(image) for image in pixels], "label": LABELS, "id": np.arange(12)}
    return Dataset.from_dict(columns, Features(image=Image(), label=ClassLabel(3), id=Value("int16")))


PARTITION = images().select(VIEW.rows)


def pixels_of(batch) -> np.ndarray:
    return np.stack([np.asarray(image) for image in batch["image"]])


either = pytest.mark.parametrize("lazy", [False, True], ids=["mapped", "lazy"])


@either
def test_images_and_labels_are_the_same_as_with_numpy(lazy: bool):
    seen = VIEW.dataset(PARTITION, feature_by="image", lazy=lazy)
    assert_array_equal(pixels_of(seen[:]), VIEW.features(PIXELS[VIEW.rows]))
    assert_array_equal(seen[:]["label"], VIEW.labels(LABELS[VIEW.rows]))
    assert seen[:]["id"] == VIEW.rows.tolist()
    assert_array_equal(np.asarray(seen[2]["image"]), pixels_of(seen[2:3])[0])


@either
def test_rows_see_the_same_after_selecting_shuffling_and_splitting(lazy: bool):
    seen = VIEW.dataset(PARTITION, feature_by="image", lazy=lazy)
    whole = SPLIT.with_shift(VIEW.shift).shift_features(PIXELS)
    parts = seen.shuffle(seed=1).train_test_split(0.5, seed=1)
    for part in (seen.select([3, 1]), parts["train"], parts["test"]):
        assert_array_equal(pixels_of(part[:]), whole[part[:]["id"]])


def test_a_mapped_data_set_keeps_types_and_format():
    for given in (PARTITION, PARTITION.with_format("numpy", columns=["image"], output_all_columns=True)):
        seen = VIEW.dataset(given, feature_by="image")
        assert seen.features == given.features
        assert seen.format == given.format
        assert type(seen[0]["image"]) is type(given[0]["image"])


def test_a_mapped_data_set_keeps_a_transform_that_comes_after_the_shift():
    def sums(batch):
        return {"sum": [int(np.asarray(image).sum()) for image in batch["image"]]}

    given = PARTITION.with_transform(sums)
    expected = VIEW.features(PIXELS[VIEW.rows]).sum(axis=(1, 2, 3)).tolist()
    assert VIEW.dataset(given, feature_by="image")[:]["sum"] == expected
    assert VIEW.dataset(PARTITION, feature_by="image", lazy=True, transform=sums)[:]["sum"] == expected


@pytest.mark.parametrize("mode", ["L", "I", "F", "I;16"])
def test_images_with_one_channel_keep_their_mode(mode: str):
    dtype = {"L": "uint8", "I": "int32", "F": "float32", "I;16": "uint16"}[mode]
    pixels = PIXELS[..., 0].astype(dtype)
    view = SPLIT.with_shift(Affine(offset=[0.0, 7.0])).view(1)
    given = images(pixels).select(view.rows)
    for lazy in (False, True):
        seen = view.dataset(given, feature_by="image", lazy=lazy)
        assert_array_equal(pixels_of(seen[:]), view.features(pixels[view.rows]))
    assert seen[0]["image"].mode == mode


def test_images_of_several_sizes_are_seen_one_by_one():
    pixels = [np.full((2 + row % 3, 4), row, dtype=np.uint8) for row in range(4)]
    given = Dataset.from_dict({"image": [PilImage.fromarray(image) for image in pixels]}, Features(image=Image()))
    view = SPLIT.with_shift(Noise(30.0)).view(1)
    seen = view.dataset(given, feature_by="image", label_by=None)
    for row, image, shifted in zip(view.rows, pixels, seen[:]["image"], strict=True):
        assert_array_equal(np.asarray(shifted), view.features(image[None], [row])[0])


def test_lists_of_numbers_are_features_like_an_array():
    numbers = np.random.default_rng(1).random((12, 6)).astype(np.float32)
    given = Dataset.from_dict(
        {"x": numbers.tolist(), "label": LABELS}, Features(x=datasets.Sequence(Value("float32")), label=Value("int64"))
    ).select(VIEW.rows)
    view = SPLIT.with_shift(Noise(1.0)).view(1)
    for lazy in (False, True):
        seen = view.dataset(given, feature_by="x", lazy=lazy)
        assert_array_equal(np.array(seen[:]["x"], np.float32), view.features(numbers[view.rows]))


@pytest.mark.skipif(datasets.__version__ < "2.15", reason="datasets 2.14 makes arrays only with an older pyarrow")
def test_arrays_are_features_too():
    numbers = np.random.default_rng(1).random((4, 2, 3)).astype(np.float32)
    given = Dataset.from_dict({"x": numbers}, Features(x=datasets.Array2D((2, 3), "float32")))
    view = SPLIT.with_shift(Noise(1.0)).view(1)
    for lazy in (False, True):
        seen = view.dataset(given, feature_by="x", label_by=None, lazy=lazy)
        assert_array_equal(np.array(seen[:]["x"], np.float32), view.features(numbers))


@either
def test_a_table_is_seen_by_column_and_its_missing_values_stay(lazy: bool):
    table = {
        "age": [31.0, None, 53.0, 64.0],
        "visits": [1, 2, None, 4],
        "sex": ["m", "f", None, "f"],
        "notes": [[1], [], None, [2, 3]],
        "label": [0.5, 1.5, 2.5, 3.5],
    }
    view = SPLIT.with_shift(Affine(offset=[0.0, 1.0])).view(1)
    seen = view.dataset(Dataset.from_dict(table), lazy=lazy)[:]
    assert np.isnan(seen["age"][1])
    assert [seen["age"][row] for row in (0, 2, 3)] == [32.0, 54.0, 65.0]
    assert {name: seen[name] for name in table if name != "age"} == {
        name: table[name] for name in table if name != "age"
    }
    given = Dataset.from_dict(table)
    missing = SPLIT.with_shift(Missing(["sex"], [0.0, 1.0])).view(1).dataset(given, lazy=lazy)
    assert missing[:] == table | {"sex": [None] * 4}
    assert missing.features["sex"] == given.features["sex"]


def test_rows_of_every_batch_are_their_own():
    """`map` takes batches of 1,000 rows."""
    view = Assignment.from_partitions([range(2500, 0, -2)], num_rows=2501).with_shift(Noise(1.0, columns=["x"])).view(0)
    table = {"x": view.rows.astype(np.float64), "label": np.zeros(1250)}
    seen = view.dataset(Dataset.from_dict(table))[:]["x"]
    assert seen == view.features({"x": table["x"]})["x"].tolist()


def test_a_client_that_sees_the_data_as_they_are_gets_the_same_data_set():
    assert SPLIT.view(1).dataset(PARTITION) is PARTITION
    assert SPLIT.with_shift(Noise(1.0, partitions=[0])).view(1).dataset(PARTITION) is PARTITION


def test_only_the_columns_that_change_are_written_again():
    encoded = PARTITION.cast_column("image", Image(decode=False))
    view = SPLIT.with_shift(Relabel({1: 2})).view(1)
    seen = view.dataset(PARTITION, feature_by="image").cast_column("image", Image(decode=False))
    assert seen[:]["image"] == encoded[:]["image"]
    assert seen[:]["label"] == [0, 2, 2, 0]


def test_partitions_of_a_bound_partitioner_are_in_the_order_of_the_view():
    partitioner = IidPartitioner(3)
    partitioner.dataset = images()
    assignment = partitioner.assign(LABELS).with_shift(Rotate([0, 90.0, 180.0], layout="NHWC"))
    whole = assignment.shift_features(PIXELS)
    for partition_id in range(3):
        view = assignment.view(partition_id)
        seen = view.dataset(partitioner.load_partition(partition_id), feature_by="image")
        assert_array_equal(pixels_of(seen[:]), whole[view.rows])


def test_other_rows_such_as_a_test_set_are_seen_too():
    seen = VIEW.dataset(images(), range(12), feature_by="image")
    assert_array_equal(pixels_of(seen[:]), VIEW.features(PIXELS, range(12)))


FINGERPRINTS = """
from datasets import Dataset
from flskew.shifts import Noise, Relabel
data = Dataset.from_dict({"x": [1.0, 2.0], "label": [0, 1]})
def fingerprints(sigma):
    view = (Noise(sigma) | Relabel({1: 2, 0: 1})).view(1, 2)
    return [view.dataset(data, [7, 3], lazy=lazy)._fingerprint for lazy in (False, True)]
"""


def test_the_cache_knows_the_data_set_in_another_process(caplog: pytest.LogCaptureFixture):
    here: dict[str, Any] = {}
    exec(FINGERPRINTS, here)
    assert "hash" not in caplog.text
    other = subprocess.run(
        [sys.executable, "-c", f"{FINGERPRINTS}print(*fingerprints(0.5))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert "hash" not in other.stderr
    assert other.stdout.split() == here["fingerprints"](0.5)
    assert not {*here["fingerprints"](0.5)} & {*here["fingerprints"](0.6)}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: VIEW.dataset(PIXELS, feature_by="image"),
            TypeError,
            "dataset must be a datasets.Dataset, got ndarray",
        ),
        (lambda: VIEW.dataset(images(), feature_by="image"), ValueError, "got 12 entries and 4 rows; pass the row num"),
        (lambda: VIEW.dataset(PARTITION), ValueError, "feature_by must name the column of features, because 'image'"),
        (lambda: VIEW.dataset(PARTITION, feature_by="x"), ValueError, "'x' is not a column of the data set, which has"),
        (
            lambda: VIEW.dataset(PARTITION, feature_by="image", label_by="y"),
            ValueError,
            "'y' is not a column of the data set, which has 'image', 'label', 'id'",
        ),
        (
            lambda: VIEW.dataset(PARTITION, feature_by="image", transform=len),
            TypeError,
            "transform needs lazy=True; without it, call with_transform on the result",
        ),
        (
            lambda: VIEW.dataset(PARTITION.with_format("numpy"), feature_by="image", lazy=True),
            TypeError,
            "either a format or a transform, but this one has the format 'numpy'; use lazy=False",
        ),
        (
            lambda: VIEW.dataset(VIEW.dataset(PARTITION, feature_by="image", lazy=True), feature_by="image", lazy=True),
            TypeError,
            "this one has the format 'custom'",
        ),
        (
            lambda: VIEW.dataset(PARTITION, feature_by="image", lazy=True).remove_columns("flskew.row")[0],
            ValueError,
            "the column 'flskew.row' with the number of each row is missing; keep it, and read rows or batches",
        ),
        (
            lambda: VIEW.dataset(
                Dataset.from_dict({"image": [PilImage.new("P", (2, 2))] * 4}, Features(image=Image())),
                feature_by="image",
                label_by=None,
            ),
            TypeError,
            r"images must have one of the modes L, RGB, I, F, I;16, got P; convert .*, e.g. with convert\('RGB'\)",
        ),
        (lambda: VIEW.features(PARTITION), TypeError, "got Dataset; for a Hugging Face data set, use view.dataset"),
    ],
)
def test_what_cannot_be_shifted_is_refused(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
