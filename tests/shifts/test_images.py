"""Shifts of images, and coarser values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import ndimage

from flskew import Assignment
from flskew.shifts import Affine, Blur, Channels, ImageShift, Quantize, Ramp, Rotate, Shift
from flskew.shifts._columns import num_entries


class Shaded(ImageShift):
    """A shift of the tests' own, which depends on the row, the height and the width."""

    def change_images(self, images, rows, viewer):
        assert images.ndim == 4
        shade = np.outer(np.linspace(0, 1, images.shape[2]), np.linspace(0, 2, images.shape[3]))
        return images + (shade * rows[:, None, None])[:, None]

    def at(self, severity):
        return Shaded(layout=self.layout, partitions=self.partitions if severity else ())


SHIFTS = [
    Rotate(30),
    Rotate([5, 90], fill=0.5),
    Rotate(Ramp(170, first=-45), partitions=[1]),
    Blur(0.8),
    Blur([0, 30]),
    Channels([1, 0.5, 0.8]),
    Channels([[1, 1, 1], [0, 2, 0.9]]),
    Quantize(0.3),
    Quantize(Ramp(0.2), partitions=[1]),
    Shaded(),
]
EACH = pytest.mark.parametrize("shift", SHIFTS, ids=repr)


def seen(shift: Shift, images: Any) -> Any:
    """The images, or the table, of rows 0, 1, ... as partition 1 of 2 sees them."""
    return shift.view(1, 2).features(images, range(num_entries(images)))


@pytest.fixture
def photos() -> NDArray[np.float64]:
    return np.random.default_rng(0).random((5, 6, 9, 3))


@EACH
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_an_image_looks_the_same_in_any_batch_and_layout(shift: Shift, dtype: str, photos: NDArray[np.float64]):
    images = (photos * 100).astype(dtype)
    before = images.copy()
    together = seen(shift, images)
    assert together.dtype == dtype
    assert not np.array_equal(together, images) or (dtype == "uint8" and isinstance(shift, Quantize))
    assert_array_equal(images, before)
    order = [3, 0, 4]
    assert_array_equal(shift.view(1, 2).features(images[order], order), together[order])
    assert_array_equal(np.moveaxis(seen(shift, np.moveaxis(images, 3, 1)), 1, 3), together)


@pytest.mark.parametrize("shift", [s for s in SHIFTS if not isinstance(s, Channels)], ids=repr)
def test_grey_images_may_have_an_axis_of_channels(shift: Shift, photos: NDArray[np.float64]):
    grey = photos[..., 0]
    assert_array_equal(seen(shift, grey[..., None])[..., 0], seen(shift, grey))
    assert_array_equal(seen(shift, grey[:, None])[:, 0], seen(shift, grey))


@EACH
def test_severity_grows_from_the_images_as_they_are_to_the_shift(shift: Shift):
    # A disc that becomes brighter from left to right, on the background that rotations fill in. Images of noise would
    # be equally far from themselves at all angles.
    down, right = np.mgrid[-1:1:21j, -1:1:21j]
    disc = np.where(down**2 + right**2 < 0.9, 0.5 + right / 3, getattr(shift, "fill", 0))
    images = np.tile(disc[:, :, None], (2, 1, 1, 3))
    assert seen(shift.at(0), images) is images
    assert shift.at(1) == shift
    distances = [float(abs(seen(shift.at(severity), images) - images).mean()) for severity in (0, 0.25, 0.5, 0.75, 1)]
    assert distances == sorted(distances)
    assert distances[-1] > 0


@EACH
def test_partitions_that_are_not_named_see_the_images_as_they_are(shift: Shift, photos: NDArray[np.float64]):
    if shift.partitions is None:
        return
    assert shift.view(0, 2).features(photos, range(5)) is photos


@pytest.mark.parametrize("shift", SHIFTS[:-1], ids=repr)
def test_a_shift_is_saved_with_an_assignment(shift: Shift, tmp_path, photos: NDArray[np.float64]):
    split = Assignment.from_partitions([[4, 0], [2, 1, 3]]).with_shift(shift)
    split.save(tmp_path / "split.npz")
    loaded = Assignment.load(tmp_path / "split.npz")
    assert loaded.shift == shift
    assert_array_equal(loaded.shift_features(photos)[[1, 2, 3]], seen(shift, photos)[[1, 2, 3]])


def test_no_images_are_no_images():
    for shift in SHIFTS:
        assert seen(shift, np.zeros((0, 6, 9, 3))).shape == (0, 6, 9, 3)


@pytest.mark.parametrize("shape", [(7, 7), (6, 6), (5, 8)], ids=str)
@pytest.mark.parametrize("angle", [90, 180, 270, -90, 450, 0])
def test_right_angles_are_exact(angle: int, shape: tuple[int, int]):
    images = np.random.default_rng(0).random((3, *shape))
    images[0, 0, 0] = np.nan  # would spread to the neighbours if their weights of 0 were applied to it
    if shape[0] != shape[1] and angle % 180:
        return
    assert_array_equal(seen(Rotate(angle), images), np.rot90(images, angle // 90, axes=(1, 2)))


def test_a_rotated_image_shares_no_memory_with_the_original():
    images = np.zeros((2, 4, 4))
    assert not np.shares_memory(seen(Rotate(180), images), images)


def test_what_comes_from_outside_is_filled():
    # The left and right neighbours of 2 move above and below it, and out of the image.
    assert seen(Rotate(90, fill=7), np.array([[[1.0, 2.0, 3.0]]])).tolist() == [[[7, 2, 7]]]
    # The upper left pixel is at (-.5, .5), sqrt(.5) = .707 from the centre. Turned by 45 degrees, it comes from
    # (0, .707), which is .207 above the upper pixels, half way between them: .793 * 1 + .207 * 11.
    corner = seen(Rotate(45, fill=11), np.ones((1, 2, 2)))[0, 0, 0]
    assert corner == pytest.approx((1.5 - np.sqrt(0.5)) + (np.sqrt(0.5) - 0.5) * 11, abs=1e-4)
    assert (seen(Rotate(33, fill=200), np.full((1, 9, 9), 200, np.uint8)) == 200).all()


@pytest.mark.parametrize("angle", [1.5, 30, 45, 100, -200, 359])
@pytest.mark.parametrize("shape", [(28, 28), (7, 12)], ids=str)
def test_rotation_is_that_of_scipy(angle: float, shape: tuple[int, int]):
    images = np.random.default_rng(0).random((2, *shape))
    expected = ndimage.rotate(images, angle, axes=(1, 2), reshape=False, order=1, mode="grid-constant", cval=0.25)
    assert_allclose(seen(Rotate(angle, fill=0.25), images), expected, atol=1e-5)


def test_a_rotation_by_270_degrees_is_weakened_the_short_way_round():
    assert Rotate([270, -450], fill=1).at(0.5) == Rotate([-45, -45], fill=1)
    assert Rotate(270).at(1) == Rotate(270)
    assert Rotate(Ramp(270)).at(0.5) == Rotate(Ramp(135))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1, 2.5, 9, 40])
@pytest.mark.parametrize("shape", [(28, 28), (7, 12), (1, 5)], ids=str)
def test_blur_is_that_of_scipy(sigma: float, shape: tuple[int, int]):
    images = np.random.default_rng(0).random((2, *shape))
    expected = np.stack([ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4) for image in images])
    assert_allclose(seen(Blur(sigma), images), expected, rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.7, 3, 1000])
def test_blur_keeps_an_image_of_one_colour_and_the_mean_of_any(sigma: float, photos: NDArray[np.float64]):
    assert (seen(Blur(sigma), np.full((2, 8, 8), 137, np.uint8)) == 137).all()
    assert_allclose(seen(Blur(sigma), np.full((2, 8, 8), 0.1)), 0.1, rtol=1e-12)
    blurred = seen(Blur(sigma), photos)
    assert_allclose(blurred.mean(axis=(1, 2)), photos.mean(axis=(1, 2)), rtol=1e-12)
    if sigma == 1000:
        assert_allclose(blurred, np.broadcast_to(photos.mean(axis=(1, 2), keepdims=True), photos.shape), rtol=1e-3)


def test_a_wide_blur_takes_no_longer_than_the_image_is_wide():
    from flskew.shifts.blur import _filter

    assert len(_filter(1000.0, 28)[0]) == 29


def test_each_channel_has_its_gain():
    photos = np.full((1, 2, 2, 3), 200, np.uint8)
    # 200 * 1.5 is beyond 255; 200 * .333 = 66.6
    assert seen(Channels([1.5, 1, 0.333]), photos)[0, 0, 0].tolist() == [255, 200, 67]
    assert Channels([1.5, 1, 0]).at(0.5) == Channels([1.25, 1, 0.5])
    assert Channels([[1, 1], [2, 0]]).at(0.5) == Channels([[1, 1], [1.5, 0.5]])
    assert seen(Channels([[2, 2, 2], [1, 1, 1]]), photos) is photos
    assert seen(Channels([0.5]), np.ones((1, 4, 4)))[0, 0, 0] == 0.5


def test_values_become_multiples_of_the_step():
    values = np.array([0.1, 0.26, -0.3, 0.74, np.inf, -np.inf])
    assert seen(Quantize(0.5), values).tolist() == [0, 0.5, -0.5, 0.5, np.inf, -np.inf]
    assert seen(Quantize(0.1), np.array([0.3, 0.7])).tolist() == [0.1 * 3, 0.1 * 7]
    assert np.isnan(seen(Quantize(0.5), np.array([np.nan])))


def test_tiny_steps_change_nothing():
    with np.errstate(all="raise", under="ignore"):
        for dtype in ("float32", "float64"):
            values = np.array([0.1, -3e30], dtype)
            for step in (1e-30, 1e-45, 1e-300):
                assert_allclose(seen(Quantize(step), values), values, rtol=1e-6)


@pytest.mark.parametrize("kind", ["mapping", "frame", "array"])
def test_columns_can_be_quantized(kind: str):
    columns = {"age": np.array([31.0, 48.0]), "weight": np.array([61.0, 87.0]), "site": np.array(["a", "b"])}
    if kind == "array":
        table: Any = np.column_stack([columns["age"], columns["weight"]])
        assert seen(Quantize(10, columns=[0]), table).tolist() == [[30, 61], [50, 87]]
        return
    table = pd.DataFrame(columns) if kind == "frame" else columns
    assert list(seen(Quantize(10, columns=["age"]), table)["age"]) == [30, 50]
    assert list(seen(Quantize(10), table)["weight"]) == [60, 90]
    assert list(seen(Quantize(10, columns=["age"]), table)["weight"]) == [61, 87]


def test_a_layout_can_be_given():
    # 1 row of 3 pixels with 4 channels, or 3 rows of 4 pixels with one channel: the last axis decides nothing.
    images = np.arange(2 * 1 * 3 * 4, dtype=float).reshape(2, 1, 3, 4)
    assert_array_equal(seen(Rotate(180, layout="NHWC"), images), images[:, ::-1, ::-1])
    assert_array_equal(seen(Rotate(180, layout="NCHW"), images), images[:, :, ::-1, ::-1])
    assert Rotate(10, layout="NCHW").at(0.5).layout == Blur(1, layout="NCHW").at(0.5).layout == "NCHW"
    assert Channels([1], layout="NHW").at(0.5).layout == "NHW"


def images_of(*shape: int) -> NDArray[np.float64]:
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: seen(Rotate(1), images_of(2, 784)), ValueError, r"shape \(2, 784\); reshape each row to \(28, 28\)"),
        (lambda: seen(Rotate(1), images_of(2, 6)), ValueError, r"reshape each row to \(height, width\)"),
        (lambda: seen(Rotate(1), images_of(2)), ValueError, "which have 3 or 4 axes"),
        (lambda: seen(Rotate(1), images_of(2, 3, 5, 4)), ValueError, "pass layout='NHWC' or layout='NCHW'"),
        (lambda: seen(Rotate(1), images_of(2, 5, 5, 5)), ValueError, "cannot tell which axis"),
        (lambda: seen(Rotate(1, layout="NHW"), images_of(2, 5, 5, 3)), ValueError, "layout='NHW' needs 3 axes, got"),
        (lambda: Rotate(1, layout="HWC"), ValueError, "layout must be one of 'NHW', 'NHWC', 'NCHW', got 'HWC'"),
        (lambda: seen(Blur(1), {"a": [1.0]}), TypeError, "Blur changes images, but features are a dict"),
        (lambda: seen(Blur(1), pd.DataFrame({"a": [1.0]})), TypeError, "features are a DataFrame; pass the array"),
        (lambda: Rotate("30"), TypeError, "angles must be a number, a list with one number per partition, or a Ramp"),
        (lambda: Rotate(np.inf), ValueError, "angles must be a finite number of degrees"),
        (lambda: Rotate(1, fill=np.nan), ValueError, "fill must be a finite number, got nan"),
        (lambda: Blur(-1), ValueError, "sigma must be a number from 0 to 1000, got -1"),
        (lambda: Blur(1001), ValueError, "sigma must be a number from 0 to 1000, got 1001"),
        (lambda: Quantize(-1), ValueError, "step must be a finite number >= 0"),
        (lambda: Channels(2.0), TypeError, "gains must be a list with one number per channel"),
        (lambda: Channels([]), TypeError, "gains must be a list with one number per channel"),
        (lambda: Channels("abc"), TypeError, "gains must be a list with one number per channel"),
        (lambda: Channels([[1, 2], 3]), TypeError, r"gains\[1\] must be a list with one number per channel, got 3"),
        (lambda: Channels([1, -1]), ValueError, r"gains\[1\] must be a finite number >= 0, got -1"),
        (lambda: Channels([[1], [np.inf]]), ValueError, r"gains\[1\]\[0\] must be a finite number >= 0"),
        (lambda: seen(Channels([1, 2]), images_of(2, 5, 5, 3)), ValueError, "for each of 3 channels, got 2"),
        (lambda: seen(Channels([1, 2]), images_of(2, 5, 5)), ValueError, "for each of 1 channels, got 2"),
        (lambda: seen(Channels([[1]]), images_of(2, 5, 5)), ValueError, "one list for each of 2 partitions, got 1"),
        (lambda: Affine(1) | 3, TypeError, "unsupported operand"),
    ],
)
def test_bad_input_names_the_argument_the_rule_and_the_value(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_an_image_shift_of_your_own_must_keep_the_shape():
    class Cropped(ImageShift):
        def change_images(self, images, rows, viewer):
            return images[:, :, 1:]

        def at(self, severity):
            return self

    with pytest.raises(ValueError, match=r"Cropped must return images of shape \(2, 1, 5, 5\), got \(2, 1, 4, 5\)"):
        seen(Cropped(), images_of(2, 5, 5))
