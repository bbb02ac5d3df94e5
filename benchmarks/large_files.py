"""Split labels in memory-mapped files that are larger than most: a .npy file and an Arrow IPC file.

    python benchmarks/large_files.py                # 10^9 labels: minutes, 18 GB of memory, 2 GB of temporary files
    python benchmarks/large_files.py --rows 1e7     # a trial; writes no results

Each measurement is one process, which also reports its peak memory, mapped files included. NumPy's permutation of the
same number of rows is the floor. `make bench` leaves this script out; `make figures` runs it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from records import RESULTS, about, write

CLASSES = 10
PARTITIONS = 100
ALPHA = 0.5
BILLION = 10**9
# Labels written at a time.
BLOCK = 10**7

READ = {
    "a .npy file": "labels = np.load('labels.npy', mmap_mode='r')",
    "an Arrow IPC file": "labels = pa.ipc.open_file(pa.memory_map('labels.arrow')).read_all()['label']",
}
MEASURE = """
import resource, time
import numpy as np, pyarrow as pa
from flskew.partitioners import DirichletPartitioner
partitioner = DirichletPartitioner({partitions}, "label", {alpha})
partitioner.assign(np.arange(1000) % 10)  # loads what the first call needs
start = time.perf_counter()
{work}
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write_files(folder: Path, rows: int) -> None:
    """Write the same random labels, one byte each, to both files, block by block."""
    rng = np.random.default_rng(0)
    array = np.lib.format.open_memmap(folder / "labels.npy", mode="w+", dtype=np.int8, shape=(rows,))
    schema = pa.schema({"label": pa.int8()})
    with pa.OSFile(str(folder / "labels.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for start in range(0, rows, BLOCK):
            labels = rng.integers(0, CLASSES, min(BLOCK, rows - start), dtype=np.int8)
            array[start : start + len(labels)] = labels
            file.write_batch(pa.record_batch([pa.array(labels)], schema=schema))
    array.flush()


def measured(work: str, folder: Path) -> tuple[float, float]:
    """Return the seconds that some lines of Python take in a process of their own, and its peak memory in GB."""
    program = MEASURE.format(partitions=PARTITIONS, alpha=ALPHA, work=work)
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=folder)
    seconds, peak = map(float, run.stdout.split())
    return seconds, peak / 1e9


def main() -> None:
    """Write the files, measure, print; keep the results of the full size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=BILLION, help="number of labels, 1e9 by default")
    parser.add_argument("--output", type=Path, help="where to write results; by default, only for 1e9 labels")
    arguments = parser.parse_args()
    rows = int(arguments.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, rows)
        floor, _ = measured(f"np.random.default_rng(0).permutation({rows})", folder)
        print(f"{rows:.0e} rows: NumPy's permutation {floor:.1f} s")
        records = []
        for source, read in READ.items():
            seconds, peak = measured(f"{read}\npartitioner.assign(labels)", folder)
            print(
                f"{source}: {seconds:.1f} s, {seconds / floor:.2f} times the permutation, peak {peak:.1f} GB",
                flush=True,
            )
            records.append({"source": source, "ours_s": seconds, "peer_s": floor, "peak_gb": peak})
    output = arguments.output or (RESULTS if rows == BILLION else None)
    if output is not None:
        settings = {"rows": rows, "classes": CLASSES, "partitions": PARTITIONS, "alpha": ALPHA}
        write(output / "large_files.json", {"about": about("numpy", "pyarrow"), **settings, "records": records})


if __name__ == "__main__":
    main()
