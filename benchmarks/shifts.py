"""Compare shifts of 60,000 images of 28 x 28 with the same arithmetic in NumPy, and noise with drawing normal numbers.

Each shift and its peer process the same batches: all images at once, batches of 32 in order, and shuffled batches of
32, whose images are taken in the time measured. Timings of both alternate, so the ratios are robust to noise. Checks
that both get the same result. The exit code is 1 if a median ratio exceeds the limit. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import RESULTS, about, write

from flskew import IidPartitioner
from flskew.shifts import Affine, Blur, Channels, Noise, Quantize, Rotate, Shift
from flskew.shifts.blur import _filter
from flskew.shifts.rotate import _corners

IMAGES = 60_000
TABLE = (10**6, 10)
BATCH = 32
LIMIT = {False: 3, True: 4}
"""The largest ratio, for shifts without and with random numbers."""

Images = NDArray[np.floating[Any]]
Change = Callable[[Images], NDArray[Any]]
one = np.float32


def peers(rng: np.random.Generator) -> Iterator[tuple[str, Shift, str, Change]]:
    """Yield each shift, the dtype of the images, and the same arithmetic in NumPy."""
    yield "Affine", Affine(1.2, 0.1), "float32", lambda images: images * one(1.2) + one(0.1)
    yield "Affine", Affine(1.2, 10), "uint8", affine_bytes
    yield "Channels", Channels([0.8]), "float32", lambda images: images * np.array([[[0.8]]], dtype=np.float32)
    yield "Quantize", Quantize(0.1), "float32", lambda images: np.rint(images / one(0.1)) * one(0.1)
    yield "Rotate", Rotate(30), "float32", rotate
    yield "Blur", Blur(1.0), "float32", blur
    yield "Noise", Noise(0.1), "float32", lambda images: rng.standard_normal(images.shape, dtype=np.float32)
    yield "Noise", Noise(20), "uint8", lambda images: rng.standard_normal(images.shape, dtype=np.float32)


def affine_bytes(images: Images) -> NDArray[Any]:
    """Multiply, add, round and clip."""
    return np.clip(np.rint(images.astype(np.float32) * one(1.2) + one(10)), 0, 255).astype(np.uint8)


def rotate(images: Images) -> Images:
    """Take the four neighbours of each pixel's origin, with their weights."""
    corners, _ = _corners(28, 28, 30.0, np.dtype(np.float32))
    flat = images.reshape(len(images), 28 * 28)
    return sum(flat[:, pixels] * weights for pixels, weights in corners).reshape(images.shape)  # type: ignore[union-attr]


def blur(images: Images) -> Images:
    """Add the moved images with their weights, along both axes."""
    weights, continued = _filter(1.0, 28)
    reach = len(weights) - 1
    padded = images[:, continued]
    images = sum(padded[:, reach + k : reach + k + 28] * one(weights[abs(k)]) for k in range(-reach, reach + 1))
    padded = images[:, :, continued]
    return sum(padded[:, :, reach + k : reach + k + 28] * one(weights[abs(k)]) for k in range(-reach, reach + 1))


def orders(count: int, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Return the batches that are compared, as slices where rows are in order."""
    shuffled = rng.permutation(count)
    return {
        "all at once": [slice(0, count)],
        f"batches of {BATCH}": [slice(start, start + BATCH) for start in range(0, count, BATCH)],
        f"shuffled batches of {BATCH}": [shuffled[start : start + BATCH] for start in range(0, count, BATCH)],
    }


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compared(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> dict[str, float]:
    """Time both, alternating; return the medians, the median ratio and its range."""
    ours(), theirs()
    timings = [(seconds(ours), seconds(theirs)) for _ in range(pairs)]
    ratios = [mine / peer for mine, peer in timings]
    mine, peer = (statistics.median(times) for times in zip(*timings, strict=True))
    return {
        "ours_s": mine, "peer_s": peer, "ratio": statistics.median(ratios), "ratio_from": min(ratios),
        "ratio_to": max(ratios),
    }  # fmt: skip


def of_images(pairs: int) -> Iterator[dict[str, Any]]:
    """Yield the times of each shift, for each kind of batches."""
    rng = np.random.default_rng(0)
    rows = np.arange(IMAGES)
    data = {"float32": rng.random((IMAGES, 28, 28), dtype=np.float32)}
    data["uint8"] = (data["float32"] * 256).astype(np.uint8)
    batches = orders(IMAGES, rng)
    for name, shift, dtype, change in peers(rng):
        images, view = data[dtype], shift.view(0, 1)
        if name != "Noise":
            difference = np.abs(view.features(images[:100], rows[:100]) - change(images[:100]).astype(float)).max()
            if difference > 1e-5:
                sys.exit(f"{name} and its peer differ by {difference}")
        for order, some in batches.items():

            def see(images=images, view=view, some=some) -> None:  # type: ignore[no-untyped-def]
                for batch in some:
                    view.features(images[batch], rows[batch])

            def pass_over(images=images, change=change, some=some) -> None:  # type: ignore[no-untyped-def]
                for batch in some:
                    change(images[batch])

            figures = compared(see, pass_over, pairs)
            yield {"what": "images", "shift": name, "dtype": dtype, "order": order, **figures}


def of_a_table(pairs: int) -> Iterator[dict[str, Any]]:
    """Yield the times of noise on a table, seen by one client and by ten."""
    rng = np.random.default_rng(0)
    table = {f"column {number}": rng.random(TABLE[0]) for number in range(TABLE[1])}
    for clients in (1, 10):
        split = IidPartitioner(clients).assign(np.zeros(TABLE[0], dtype=np.int8)).with_shift(Noise(0.1))
        figures = compared(lambda split=split: split.shift_features(table), lambda: rng.standard_normal(TABLE), pairs)  # type: ignore[misc]
        yield {"what": "table", "shift": "Noise", "clients": clients, **figures}


def memory() -> Iterator[dict[str, Any]]:
    """Yield the peak memory of shifting all images at once, in copies of the images."""
    for shift, dtype in ((Affine(1.2), "uint8"), (Noise(0.1), "float32"), (Blur(1.0), "float32")):
        images = np.ones((IMAGES, 28, 28), dtype=dtype)
        split = IidPartitioner(10).assign(np.zeros(IMAGES, dtype=np.int8)).with_shift(shift)
        tracemalloc.start()
        split.shift_features(images)
        copies = tracemalloc.get_traced_memory()[1] / images.nbytes
        tracemalloc.stop()
        yield {"what": "memory", "shift": type(shift).__name__, "dtype": dtype, "copies": copies}


def main() -> int:
    """Measure, print, write, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="how often to time each shift and its peer")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    records = []
    for measure in (of_images(arguments.pairs), of_a_table(arguments.pairs), memory()):
        for record in measure:
            records.append(record)
            print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else str(v) for k, v in record.items()), flush=True)
    write(arguments.output / "shifts.json", {"about": about("numpy"), "records": records})
    slow = [r for r in records if r["what"] == "images" and r["ratio"] > LIMIT[r["shift"] == "Noise"]]
    for record in slow:
        print(f"above the limit: {record}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
