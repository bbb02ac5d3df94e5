"""Golden fingerprints: the splits of fixed labels that every partitioner must reproduce.

    python -m tests.partitioners.golden             # write golden.json, after deciding to change splits
    python -m tests.partitioners.golden --sample    # compare a sample with it; exit with 1 if any differs

If a fingerprint changes, so do the splits of all users. That needs a decision, and an entry in the changelog.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flskew import (
    Assignment,
    CrossPartitioner,
    DirichletPartitioner,
    GroupedNaturalIdPartitioner,
    NaturalIdPartitioner,
    split_by_time,
)
from flskew.typing import Label

from . import several
from .cases import CASES, Case

PATH = Path(__file__).with_name("golden.json")
SEEDS = (42, 0, -(2**70))


def _labels() -> dict[str, list[Label]]:
    """Labels of every kind, made without random numbers. Classes above 10,000 rows are shuffled with another method."""
    squares = [row * row for row in range(45_000)]
    return {
        "digits": [square % 11 for square in squares[:500]],
        "numbers with gaps": [square % 7 * 10**15 - 3 * 10**15 for square in squares[:61]],
        "words": [["ant", "bee", "cat", "dog", "élan"][square % 5] for square in squares[:200]],
        "booleans": [square % 3 == 0 for square in squares[:90]],
        "many classes": [square % 1009 for square in squares[:3000]],
        "one class": [7] * 40,
        "many rows": [square % 3 for square in squares],
    }


LABELS = _labels()


def _several() -> dict[str, several.Rows]:
    """Several labels per row, made without random numbers: words, some of which come together, and many classes."""
    words: list[Label] = ["ant", "bee", "cat", "dog", "élan", "fox"]
    squares = [row * row % 97 for row in range(900)]
    return {
        "words": [
            [words[code] for code in range(6) if square >> code & 1 and square % 5 in (code, code - 1, code - 3)]
            for square in squares
        ],
        "numbers": [[row % 211 * 10**15, 10**18 + row * 7919 % 60 % (row % 4 + 1)][: row % 3] for row in range(2000)],
    }


SEVERAL = _several()


def fingerprints(cases: list[Case] = CASES, seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[str, str]]:
    """Yield a name and the fingerprint for every case, kind of labels and seed."""
    for kind, labels in LABELS.items():
        num_partitions = 4 if len(set(labels)) < 100 else 13
        for case in cases:
            for seed in seeds:
                try:
                    print_of = case.make(num_partitions, labels, seed).assign(labels).fingerprint
                except ValueError as error:
                    print_of = str(error).partition("(")[0].strip()
                yield f"{case} | {kind} | seed {seed}", print_of
        natural = NaturalIdPartitioner("user").assign(labels)
        yield f"natural ids | {kind}", natural.fingerprint
        like = NaturalIdPartitioner("user").assign(labels[::3], like=natural)
        yield f"natural ids like others | {kind}", like.fingerprint
        grouped = GroupedNaturalIdPartitioner("user", 2).assign(labels, labels)
        yield f"grouped natural ids | {kind}", grouped.fingerprint
        yield f"matched natural ids | {kind}", grouped.match(labels[::2]).fingerprint
        sites = [f"site {row % 2}" for row in range(len(labels))]
        within = CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(3, min_partition_size=0))
        crossed = within.assign(sites, labels)
        yield f"within natural ids | {kind}", crossed.fingerprint
        yield (
            f"within natural ids like others | {kind}",
            within.assign(sites[::3], labels[::3], like=crossed).fingerprint,
        )
        by_site = DirichletPartitioner(3, min_partition_size=0).assign(sites, labels=labels)
        yield f"dirichlet by another column | {kind}", by_site.fingerprint
    for kind, rows in SEVERAL.items():
        for several_case in several.CASES:
            # Exclusions of so many classes would leave rows that no partition may hold.
            if "exclusion" in str(several_case) and kind == "numbers":
                continue
            for seed in seeds:
                made = several_case.make(5, rows, seed).assign(rows)
                yield f"{several_case} | several {kind} | seed {seed}", made.fingerprint
                yield f"{several_case}, matched | several {kind} | seed {seed}", made.match(rows[::2]).fingerprint
    named = Assignment.from_partitions({"Bern": range(40, 100), "Genève": range(40)}, LABELS["words"][:100])
    yield "named | words", named.fingerprint
    days = np.arange("2020-02-01", "2021-02-01", dtype="M8[D]")
    dated = DirichletPartitioner(4, alpha=0.5, min_partition_size=0, num_bins=5).assign(days)
    yield "dirichlet | dates in bins", dated.fingerprint
    for side, part in zip(("past", "future"), split_by_time(named, np.arange(100) * 7919 % 101), strict=True):
        yield f"named, {side} | words", part.fingerprint
    # Enough rows for threads, and for a class that is shuffled instead of sampled.
    huge = np.arange(700_000) * 7919 % 2
    counts = [[100_000, 20_000], [0, 300_000], [250_000, 30_000]]
    yield "counts | huge", Assignment.from_counts(counts, huge).fingerprint


def read() -> dict[str, str]:
    """Return the committed fingerprints."""
    return dict(json.loads(PATH.read_text("utf-8")))


def dispatched() -> list[str]:
    """Return the optional instruction sets that NumPy uses on this processor."""
    return list(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))


def main() -> int:
    """Write all fingerprints, or compare a sample."""
    if "--sample" not in sys.argv:
        PATH.write_text(json.dumps(dict(fingerprints()), indent=0, ensure_ascii=False) + "\n", "utf-8")
        return 0
    golden = read()
    changed = [name for name, found in fingerprints(seeds=SEEDS[:1]) if golden[name] != found]
    print(f"{len(changed)} changed with the instruction sets {dispatched()}", *changed, sep="\n")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
