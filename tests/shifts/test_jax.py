"""JAX arrays give the same bytes as NumPy arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from flskew import Assignment
from flskew.shifts import Noise, Rotate, ShiftedDataset

pytestmark = pytest.mark.jax

IMAGES = np.random.default_rng(0).random((6, 5, 5)).astype(np.float32)
SPLIT = Assignment.from_partitions([[4, 0], [2, 1, 5]], num_rows=6).with_shift(Rotate(20) | Noise([0.0, 0.5]))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "bfloat16"])
def test_a_jax_array_is_seen_like_an_array(dtype: str):
    images = jnp.asarray(IMAGES * 100).astype(dtype)
    view = SPLIT.view(1)
    seen = view.features(images[view.rows])
    assert isinstance(seen, jax.Array)
    assert (seen.dtype, seen.sharding) == (images.dtype, images.sharding)
    assert_array_equal(np.asarray(seen), view.features(np.asarray(images)[view.rows]))
    assert_array_equal(np.asarray(SPLIT.shift_features(images))[view.rows], np.asarray(seen))


def test_a_jax_array_that_is_seen_as_it_is_is_the_same_object():
    images, labels = jnp.asarray(IMAGES), jnp.arange(6)
    assert Noise(0).view(0, 1).features(images, range(6)) is images
    assert SPLIT.shift_labels(labels) is labels


def test_a_data_set_of_jax_arrays_shows_what_the_client_sees():
    x, y = ShiftedDataset([(jnp.asarray(image), row) for row, image in enumerate(IMAGES)], SPLIT.view(1))[1]
    assert isinstance(x, jax.Array)
    assert y == 1
    assert_array_equal(np.asarray(x), SPLIT.shift_features(IMAGES)[1])


def test_compiled_code_cannot_be_shifted():
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(lambda images: Noise(1).view(0, 1).features(images, range(6)))(jnp.asarray(IMAGES))
