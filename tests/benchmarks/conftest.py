"""Shared by the tests of benchmarks: a small data set in MNIST's format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """Files in MNIST's format, in which each digit is a bar at a different height."""
    for part, count in (("train", 300), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 3 : 2 * label + 6] = 255
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes()
        )
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    return tmp_path
