"""Read the four MNIST files in their original IDX format, plain or gzipped.

Format: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""(num_images, 784) grey values, 0 to 255."""

Digits: TypeAlias = NDArray[np.int64]
"""(num_images,) labels, 0 to 9."""

# The first four bytes of a file: unsigned bytes (8) in three dimensions or in one dimension.
IMAGES, LABELS = 0x803, 0x801
SIDE = 28


def load(data_dir: str) -> tuple[Pixels, Digits, Pixels, Digits]:
    """Read the training images, their labels, the test images and their labels.

    Args:
        data_dir: Folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, each either plain or gzipped, with `.gz` at the end.

    Raises:
        FileNotFoundError: The folder does not exist, or a file is missing.
        ValueError: A file is damaged, or its content does not match its name.
    """
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"data-dir {str(folder)!r} is not a folder; pass the one with the four MNIST files")
    return *_load_pair(folder, "train"), *_load_pair(folder, "t10k")


def _load_pair(folder: Path, part: str) -> tuple[Pixels, Digits]:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images = _read(images_path, IMAGES)
    labels = _read(labels_path, LABELS)
    if images.shape[1:] != (SIDE, SIDE):
        height, width = images.shape[1:]
        raise ValueError(f"{images_path} has images of {height} x {width} pixels; MNIST's are {SIDE} x {SIDE}")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images)} images and {labels_path} {len(labels)} labels; "
            f"they must belong to the same data set"
        )
    wrong = np.flatnonzero(labels > 9)
    if len(wrong):
        raise ValueError(f"{labels_path} has label {labels[wrong[0]]} at row {wrong[0]}; MNIST's are 0 to 9")
    absent = np.flatnonzero(np.bincount(labels, minlength=10) == 0)
    if len(absent):
        raise ValueError(f"{labels_path} has no label {absent[0]} among its {len(labels)}; MNIST has all from 0 to 9")
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder / name} is missing, and so is {name}.gz; data-dir needs all four MNIST files")


def _read(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read one IDX file whose header must begin with `magic`."""
    content = _unzipped(path)
    num_dimensions = magic & 0xFF
    header_size = 4 * (1 + num_dimensions)
    if len(content) < header_size:
        raise ValueError(f"{path} ends within its header, which needs {header_size} bytes; the file has {len(content)}")
    found, *shape = (int(number) for number in np.frombuffer(content, dtype=">u4", count=1 + num_dimensions))
    if found != magic:
        kind = {IMAGES: "images", LABELS: "labels"}
        raise ValueError(
            f"{path} begins with the magic number {found:#010x} ({kind.get(found, 'not an MNIST file')}), "
            f"but a file of {kind[magic]} begins with {magic:#010x}"
        )
    size = math.prod(shape)
    if len(content) != header_size + size:
        raise ValueError(
            f"{path} is {'truncated' if len(content) < header_size + size else 'too long'}: its header announces "
            f"{' x '.join(map(str, shape))} = {size} bytes, but {len(content) - header_size} follow"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


def _unzipped(path: Path) -> bytes:
    content = path.read_bytes()
    # Look at the content instead of the name: browsers may unzip a download but keep its name, or vice versa.
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or truncated and cannot be unzipped ({error})") from error
