"""Write the splits that docs/explore.md shows: docs/assets/explore/frames.js.

    python scripts/explore_frames.py

Each frame is keyed by the code that makes it, so the page finds a picture by the line of code that it shows, and a test
evaluates every key. Label exclusion has no frames, because there are too many settings: the page computes its counts
from the offsets that flskew draws, one for each class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flskew import partitioners

FILE = Path(__file__).resolve().parent.parent / "docs" / "assets" / "explore" / "frames.js"

SEED = 42
# The example of docs/skew.md. 600 rows of a class, and all rows, can be divided by every number of clients.
NUM_CLASSES, ROWS_PER_CLASS = 10, 600
LABELS = np.repeat(np.arange(NUM_CLASSES), ROWS_PER_CLASS)

CLIENTS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50)
ALPHAS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7)
ALPHAS += (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
HELD, HELD_UNEQUALLY = range(1, NUM_CLASSES + 1), (2, 3, 5)
SHARDS = range(1, 6)
IID_FRACTIONS = tuple(step / 10 for step in range(11))

# One character for a number below _ONE, two for a larger count, and one for a run of zeros. The alphabet contains
# neither quotes nor backslashes.
_ALPHABET = "".join(chr(code) for code in range(35, 127) if chr(code) != "\\")
_ONE, _RUNS = 60, 70
_LONGEST = len(_ALPHABET) - _RUNS + 1


def codes() -> Iterator[str]:
    """Yield the code of every partitioner that the page shows, except those of label exclusion."""
    for count in CLIENTS:
        yield f"IidPartitioner({count}, seed={SEED})"
        for alpha in ALPHAS:
            yield f"DirichletPartitioner({count}, alpha={alpha:g}, seed={SEED})"
            sizes = f"[{len(LABELS) // count}] * {count}"
            yield f"InnerDirichletPartitioner({sizes}, alpha={alpha:g}, seed={SEED})"
            yield f"QuantityPartitioner({count}, alpha={alpha:g}, seed={SEED})"
            for held in HELD_UNEQUALLY:
                choice = f"num_classes_per_partition={held}, alpha={alpha:g}"
                yield f"ExtendedDirichletPartitioner({count}, {choice}, seed={SEED})"
        for held in HELD:
            yield f"PathologicalPartitioner({count}, num_classes_per_partition={held}, seed={SEED})"
        for shards in SHARDS:
            yield f"ShardPartitioner({count}, num_shards_per_partition={shards}, seed={SEED})"
        for fraction in IID_FRACTIONS:
            rest = f"PathologicalPartitioner({count}, seed={SEED})"
            yield f"MixturePartitioner({rest}, iid_fraction={fraction:g})"


def counts(code: str) -> NDArray[np.int64]:
    """Return the (clients, classes) counts of the partitioner that this code makes."""
    found: NDArray[np.int64] = eval(code, vars(partitioners)).assign(LABELS).label_counts
    return found


def packed(table: NDArray[np.int64]) -> str:
    """Return counts, client after client, as text."""
    text, zeros = [], 0
    for number in [*table.ravel().tolist(), None]:
        if number == 0 and zeros < _LONGEST:
            zeros += 1
            continue
        if zeros:
            text.append(_ALPHABET[0 if zeros == 1 else _RUNS + zeros - 2])
        zeros = int(number == 0)
        if number:
            high, low = divmod(number - _ONE, len(_ALPHABET))
            text.append(_ALPHABET[number] if number < _ONE else _ALPHABET[_ONE + high] + _ALPHABET[low])
    return "".join(text)


def offsets() -> list[float]:
    """Return the number from 0 to 1 that shifts the rounding of each class's shares."""
    streams = partitioners.Streams(SEED)
    return [streams("shares", label).random() for label in range(NUM_CLASSES)]


def main() -> None:
    """Write the file."""
    settings = {
        "seed": SEED,
        "numClasses": NUM_CLASSES,
        "rowsPerClass": ROWS_PER_CLASS,
        "clients": CLIENTS,
        "alphas": ALPHAS,
        "held": [*HELD],
        "heldUnequally": HELD_UNEQUALLY,
        "shards": [*SHARDS],
        "iidFractions": IID_FRACTIONS,
        "offsets": offsets(),
    }
    lines = [f"{json.dumps(name)}:{json.dumps(value)}," for name, value in settings.items()]
    frames = [f"{json.dumps(code)}:{json.dumps(packed(counts(code)))}" for code in codes()]
    head = "// Written by scripts/explore_frames.py: the splits of explore.js, by the code that makes them."
    text = "\n".join([head, "globalThis.flskewFrames = {", *lines, '"frames":{', ",\n".join(frames), "}};", ""])
    FILE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
