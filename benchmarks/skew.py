"""Time the measures of skew relative to one pass over the counts, and the feature report relative to SciPy.

    python benchmarks/skew.py                               # times and memory; needs SciPy
    FLSKEW_MNIST=/path/to/mnist python benchmarks/skew.py   # also the table of docs/skew.md

Each ratio compares alternating timings from one run. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from records import RESULTS, about, write
from scipy.stats import wasserstein_distance

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    PathologicalPartitioner,
    QuantityPartitioner,
    skew,
)

CLIENTS, CLASSES = 10_000, 1000
REPEATS = 15
# The table of the feature report, and the number of partitions that SciPy compares.
FEATURE_ROWS, FEATURES, COMPARED = 10**6, 50, 10
FEATURE_PARTITIONS = (10, 1000)
SEEDS = range(20)
HOSPITALS = ({1, 3, 7}, {2, 5, 8}, {4, 6, 9})

# The rows of the table in docs/skew.md: their names, and their partitioners for a seed.
SCHEMES: dict[str, Callable[[int], object]] = {
    "IID": lambda seed: IidPartitioner(10, partition_by="label", seed=seed),
    "three hospitals": lambda seed: LabelExclusionPartitioner(HOSPITALS, on_excluded="drop", seed=seed),
    "Dirichlet, alpha 10": lambda seed: DirichletPartitioner(10, "label", 10, seed=seed),
    "Dirichlet, alpha 1": lambda seed: DirichletPartitioner(10, "label", 1, seed=seed),
    "Dirichlet, alpha 0.5": lambda seed: DirichletPartitioner(10, "label", 0.5, seed=seed),
    "Dirichlet, alpha 0.1": lambda seed: DirichletPartitioner(10, "label", 0.1, seed=seed),
    "3 classes a client": lambda seed: PathologicalPartitioner(10, "label", 3, "first-deterministic", seed=seed),
    "2 classes a client": lambda seed: PathologicalPartitioner(10, "label", 2, "first-deterministic", seed=seed),
    "1 class a client": lambda seed: PathologicalPartitioner(10, "label", 1, "deterministic", seed=seed),
    "sizes, alpha 0.5": lambda seed: QuantityPartitioner(10, "label", alpha=0.5, seed=seed),
}


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def counts_of_many() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return counts of 10,000 clients by 1,000 classes, a third of them 0."""
    return np.random.default_rng(0).poisson(1.1, (CLIENTS, CLASSES))


def all_measures(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> list[float]:
    """Return every measure of these counts."""
    split = skew.Tally(counts, tuple(range(CLASSES)))
    return [measure(split) for measure in skew.MEASURES.values()]


def against_one_pass() -> dict[str, float]:
    """Return the time of all measures relative to the sum of the counts, alternating."""
    counts = counts_of_many()
    pairs = [(seconds(counts.sum), seconds(lambda: all_measures(counts))) for _ in range(REPEATS)]
    return {
        "one_pass_s": statistics.median(floor for floor, _ in pairs),
        "measures_s": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ours / floor for floor, ours in pairs),
    }


def peak_memory() -> dict[str, float]:
    """Return the peak memory of the measures, as a multiple of the counts, measured in a separate process."""
    program = (
        "import resource, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import skew as benchmark\n"
        "counts = benchmark.counts_of_many()\n"
        "benchmark.all_measures(counts[:10].repeat(3, axis=0))\n"
        "before = int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "benchmark.all_measures(counts)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / counts.nbytes)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {"copies_of_the_counts": float(run.stdout)}


def scipy_distances(values: np.ndarray, partitions: list[np.ndarray]) -> list[float]:
    """Return the distances of partitions with SciPy, without what chance would give."""
    ranks = np.arange(len(values))
    spread = 2 * (2 * ranks - len(values) + 1) @ np.sort(values) / len(values) ** 2
    return [wasserstein_distance(values[rows], values) / spread for rows in partitions]


def feature_reports() -> list[dict[str, float]]:
    """Return the times of feature reports by number of partitions, and their memory in copies of the table."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(FEATURE_ROWS, FEATURES))
    one = columns[:, :1].copy()
    records = []
    for count in FEATURE_PARTITIONS:
        cuts = np.sort(rng.choice(np.arange(1, FEATURE_ROWS), count - 1, replace=False))
        assignment = Assignment.from_partitions(np.split(rng.permutation(FEATURE_ROWS), cuts))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        skew.feature_report(columns, assignment)
        all_s = time.perf_counter() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        start = time.perf_counter()
        report = skew.feature_report(one, assignment)
        ours_s = time.perf_counter() - start
        # SciPy sorts all rows again for each partition, so its time is proportional to their number.
        compared = [assignment[partition_id] for partition_id in range(min(count, COMPARED))]
        start = time.perf_counter()
        peer = scipy_distances(one[:, 0], compared)
        peer_s = (time.perf_counter() - start) * count / len(compared)
        np.testing.assert_allclose(report.columns[0].distances[: len(compared)], peer, atol=1e-9)
        record = {"partitions": count, "ours_s": all_s, "per_column_s": ours_s, "peer_per_column_s": peer_s}
        records.append({**record, "ratio": peer_s / ours_s, "copies_of_the_table": grown / columns.nbytes})
    return records


def mnist_table(folder: Path) -> list[dict[str, object]]:
    """Return the mean and range of each measure over twenty seeds, for the 60,000 training labels."""
    (path,) = folder.glob("train-labels-idx1-ubyte*")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    labels = np.frombuffer(content, np.uint8, offset=8)
    records = []
    for name, make in SCHEMES.items():
        splits: list[Assignment] = [make(seed).assign(labels) for seed in SEEDS]  # type: ignore[attr-defined]
        record: dict[str, object] = {"scheme": name}
        for measure, function in skew.MEASURES.items():
            values = [function(split) for split in splits]
            record[measure] = {"mean": statistics.mean(values), "min": min(values), "max": max(values)}
        records.append(record)
    return records


def markdown(records: list[dict[str, object]]) -> str:
    """Return the table of docs/skew.md: means, with ranges if they are visible after rounding."""
    lines = [f"| split | {' | '.join(name.replace('_', ' ') for name in skew.MEASURES)} |"]
    lines.append(f"| :-- |{' --: |' * len(skew.MEASURES)}")
    for record in records:
        cells = []
        for measure in skew.MEASURES:
            value: dict[str, float] = record[measure]  # type: ignore[assignment]
            low, high = f"{value['min']:.2f}", f"{value['max']:.2f}"
            cells.append(low if low == high else f"{value['mean']:.2f} ({low} to {high})")
        lines.append(f"| {record['scheme']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    report: dict[str, object] = {"about": about("numpy", "pandas", "scipy")}
    report["time"] = timed = against_one_pass()
    print(f"all measures of {CLIENTS:,} by {CLASSES:,} counts: {timed['ratio']:.1f} times their sum")
    report["memory"] = memory = peak_memory()
    print(f"their memory in addition to the counts: {memory['copies_of_the_counts']:.2f} copies of the counts")
    report["features"] = features = feature_reports()
    for record in features:
        faster, copies = record["ratio"], record["copies_of_the_table"]
        print(
            f"feature report, {record['partitions']:,} partitions: {record['ours_s']:.1f} s, {faster:.0f} times as "
            f"fast as SciPy, {copies:.2f} copies of the table"
        )
    folder = os.environ.get("FLSKEW_MNIST")
    if folder:
        report["mnist"] = records = mnist_table(Path(folder))
        print(markdown(records))
    write(arguments.output / "skew.json", report)


if __name__ == "__main__":
    main()
