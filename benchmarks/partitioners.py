"""Compare partitioners with those of Flower Datasets, and with a permutation in NumPy.

    python benchmarks/partitioners.py   # minutes

With a million rows, only the schemes by size and two others are compared, because most of Flower's are slow.

Each ratio compares alternating timings from this run, so it is robust to noise. Writes a JSON file and a plot of time
over rows to --output.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Set before importing Flower Datasets, whose natural partitioners would show a progress bar.
os.environ["TQDM_DISABLE"] = "1"

import flwr_datasets.partitioner as flower
import numpy as np
from datasets import Dataset, disable_progress_bars, load_dataset
from numpy.typing import NDArray
from records import RESULTS, about, write

import flskew.partitioners as ours
from flskew.partitioners import (
    CrossPartitioner,
    DirichletPartitioner,
    LinearPartitioner,
    MixturePartitioner,
    NaturalIdPartitioner,
)

CLASSES = 10
REPEATS = 5

Make = Callable[[], flower.Partitioner]


def schemes(rows: int, partitions: int) -> dict[str, tuple[Make, Make]]:
    """Return, for each scheme that both libraries have, our partitioner and theirs with the same arguments."""
    sizes = [rows // partitions] * partitions
    shares = np.random.default_rng(0).lognormal(0, 2, (CLASSES, 2 * partitions // CLASSES))
    arguments: dict[str, tuple[object, ...]] = {
        "IidPartitioner": (partitions,),
        "DirichletPartitioner": (partitions, "label", 0.5),
        "PathologicalPartitioner": (partitions, "label", 2, "deterministic"),
        "ShardPartitioner": (partitions, "label", 2),
        "InnerDirichletPartitioner": (sizes, "label", 1.0),
        "DistributionPartitioner": (shares, partitions, 2, "label", 1),
        "NaturalIdPartitioner": ("site",),
        "GroupedNaturalIdPartitioner": ("site", 3),
        "LinearPartitioner": (partitions,),
        "SquarePartitioner": (partitions,),
        "ExponentialPartitioner": (min(partitions, 10),),
        "SizePartitioner": (sizes,),
    }
    return {
        name: (
            lambda name=name, given=given: getattr(ours, name)(*given),  # type: ignore[misc]
            lambda name=name, given=given: getattr(flower, name)(*given),  # type: ignore[misc]
        )
        for name, given in arguments.items()
    }


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def to_first_partition(make: Make, dataset: Dataset) -> float:
    """Return the time to make a partitioner, bind it and load partition 0."""

    def load() -> None:
        partitioner = make()
        partitioner.dataset = dataset
        partitioner.load_partition(0)

    return seconds(load)


def in_pairs(ours_takes: Callable[[], float], theirs_takes: Callable[[], float]) -> tuple[float, float, float]:
    """Time both, alternating; return our median, their median and the median ratio. A slow peer is timed only once."""
    mine, peer = [ours_takes()], [theirs_takes()]
    for _ in range(REPEATS - 1):
        mine.append(ours_takes())
        if statistics.median(peer) < 2:
            peer.append(theirs_takes())
    ratios = [theirs / our for our, theirs in zip(mine, peer, strict=False)]
    if len(peer) == 1:
        ratios = [peer[0] / statistics.median(mine)]
    return statistics.median(mine), statistics.median(peer), statistics.median(ratios)


def load(rows: int, folder: str, shuffled: bool) -> Dataset:
    """Return a data set read from disk; if `shuffled`, shuffle it like `FederatedDataset` does by default."""
    rng = np.random.default_rng(0)
    columns = {"label": rng.integers(0, CLASSES, rows), "site": rng.integers(0, 1000, rows)}
    file = f"{folder}/{rows}.parquet"
    Dataset.from_dict(columns).to_parquet(file)
    dataset = load_dataset("parquet", data_files=file, split="train", cache_dir=f"{folder}/cache")
    return dataset.shuffle(seed=42) if shuffled else dataset


def against_flower(
    rows: int, partitions: int, shuffled: bool, names: list[str] | None = None
) -> Iterator[dict[str, object]]:
    """Yield the times to the first partition, scheme by scheme."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _against_flower(load(rows, folder, shuffled), partitions, shuffled, names)


def _against_flower(
    dataset: Dataset, partitions: int, shuffled: bool, names: list[str] | None
) -> Iterator[dict[str, object]]:
    rows = dataset.num_rows
    for name, (make_ours, make_theirs) in schemes(rows, partitions).items():
        if names is not None and name not in names:
            continue
        to_first_partition(make_ours, dataset)
        try:
            mine, peer, ratio = in_pairs(
                lambda make=make_ours: to_first_partition(make, dataset),  # type: ignore[misc]
                lambda make=make_theirs: to_first_partition(make, dataset),  # type: ignore[misc]
            )
        except ValueError as error:
            yield {"scheme": name, "rows": rows, "peer": f"flwr-datasets: {str(error)[:60]}"}
            continue
        yield {
            "scheme": name, "rows": rows, "partitions": partitions, "shuffled": shuffled,
            "peer": "flwr-datasets", "ours_s": mine, "peer_s": peer, "ratio": ratio,
        }  # fmt: skip


def against_floor(rows: int, classes: int, partitions: int, scheme: str = "DirichletPartitioner") -> dict[str, object]:
    """Return the time of a complete split, relative to a random permutation of the same number of rows."""
    # One byte per label if possible, as in image data sets.
    labels = np.random.default_rng(0).integers(0, classes, rows, dtype=np.uint8 if classes <= 256 else np.int32)
    assign = _assigning(scheme, partitions, labels)
    repeats = 3 if rows > 10**7 else REPEATS
    floor, mine = [], []
    for _ in range(repeats):
        floor.append(seconds(lambda: np.random.default_rng(0).permutation(rows)))
        mine.append(seconds(assign))
    ratio = statistics.median(our / least for our, least in zip(mine, floor, strict=True))
    return {
        "scheme": scheme, "rows": rows, "classes": classes, "partitions": partitions,
        "peer": "Generator.permutation", "ours_s": statistics.median(mine), "peer_s": statistics.median(floor),
        "times_the_floor": ratio, "ns_per_row": statistics.median(mine) / rows * 1e9,
    }  # fmt: skip


def _assigning(scheme: str, partitions: int, labels: NDArray[Any]) -> Callable[[], object]:
    """Return the call that splits labels by a scheme; natural ids are ten sites."""
    dirichlet = DirichletPartitioner(partitions, "label", 0.5, min_partition_size=0)
    if scheme == "CrossPartitioner":
        sites = np.random.default_rng(1).integers(0, 10, len(labels), dtype=np.uint8)
        within = DirichletPartitioner(partitions // 10, "label", 0.5, min_partition_size=0)
        crossed = CrossPartitioner(NaturalIdPartitioner("site"), within)
        return lambda: crossed.assign(sites, labels)
    partitioner = {
        "DirichletPartitioner": dirichlet,
        "LinearPartitioner": LinearPartitioner(partitions, partition_by="label"),
        "MixturePartitioner": MixturePartitioner(dirichlet, iid_fraction=0.5),
    }[scheme]
    return lambda: partitioner.assign(labels)


def draw(records: list[dict[str, object]], path: Path) -> None:
    """Plot time over rows: to the first partition, with the peer; and for all partitions, with the permutation."""
    from matplotlib.figure import Figure

    floors = [r for r in records if r.get("classes") == 100 and r["scheme"] == "DirichletPartitioner"]
    peers = [r for r in records if r["scheme"] == "DirichletPartitioner" and r.get("shuffled")]
    lines = (
        (peers, "peer_s", "^:", "#d55e00", "flwr-datasets: first of 10 or 100 partitions, 10 classes"),
        (peers, "ours_s", "v:", "#0072b2", "flskew: the same"),
        (floors, "ours_s", "o-", "#0072b2", "flskew: all of 100 to 10,000 partitions, 100 classes"),
        (floors, "peer_s", "s--", "#666666", "NumPy: one permutation of the rows"),
    )
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    for points, key, style, color, label in lines:
        axes.loglog([r["rows"] for r in points], [r[key] for r in points], style, color=color, label=label)
    axes.set(xlabel="rows", ylabel="seconds", title="DirichletPartitioner: time over rows")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # Flower Datasets warns each time it redraws.
    warnings.simplefilter("ignore")
    disable_progress_bars()

    records: list[dict[str, object]] = []

    def note(record: dict[str, object]) -> None:
        records.append(record)
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items()), flush=True)

    print("Ratios: speed relative to flwr-datasets, to the first partition")
    some = ["DirichletPartitioner", "PathologicalPartitioner"]
    by_size = ["LinearPartitioner", "SquarePartitioner", "ExponentialPartitioner", "SizePartitioner"]
    for rows, partitions, shuffled, names in (
        (60_000, 10, False, some),
        (60_000, 10, True, None),
        (10**6, 100, False, some),
        (10**6, 100, True, some + by_size),
    ):
        for record in against_flower(rows, partitions, shuffled, names):
            note(record)
    print("Ratios: time relative to a random permutation of the same number of rows")
    for rows, partitions in ((10**5, 100), (10**6, 100), (10**7, 1000), (10**8, 10_000)):
        note(against_floor(rows, 100, partitions))
    for rows, classes, partitions in ((10**5, 10**5, 10), (10**6, 10**6, 10), (10**6, 10, 10**4), (10**6, 10, 10**5)):
        note(against_floor(rows, classes, partitions))
    for scheme in ("LinearPartitioner", "MixturePartitioner", "CrossPartitioner"):
        for rows, partitions in ((10**7, 1000), (10**8, 10_000)):
            note(against_floor(rows, 100, partitions, scheme))

    content = {"about": about("flwr-datasets", "datasets", "numpy"), "records": records}
    write(arguments.output / "partitioners.json", content)
    draw(records, arguments.output / "partitioners.png")


if __name__ == "__main__":
    main()
