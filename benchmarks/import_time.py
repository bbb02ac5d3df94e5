"""Compare the time of `import flskew` with that of `import numpy`, which every user needs anyway.

Each pair consists of two fresh interpreters, in alternating order, so a slow moment of the machine affects both. Only
the import statement is timed, inside the interpreter. The exit code is 1 if the median ratio exceeds the limit.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from records import RESULTS, about, write

PAIRS = 21
LIMIT = 1.5


def main() -> int:
    """Time the pairs, print the figures, and compare with the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for module in ("numpy", "flskew"):
        milliseconds(module)  # The first run also reads the module from disk and compiles it.
    numpy, flskew = [], []
    for pair in range(PAIRS):
        order = ((numpy, "numpy"), (flskew, "flskew"))
        for times, module in order if pair % 2 else reversed(order):
            times.append(milliseconds(module))
    lower, ratio, upper = statistics.quantiles((ours / theirs for ours, theirs in zip(flskew, numpy, strict=True)), n=4)
    print(f"import numpy   {statistics.median(numpy):7.1f} ms (median of {PAIRS})")
    print(f"import flskew  {statistics.median(flskew):7.1f} ms")
    print(f"ratio          {ratio:7.2f}    (median of the pairs; limit {LIMIT})")
    record = {
        "numpy_ms": statistics.median(numpy), "flskew_ms": statistics.median(flskew),
        "ratio": ratio, "lower_quartile": lower, "upper_quartile": upper,
    }  # fmt: skip
    write(arguments.output / "import_time.json", {"about": about("numpy"), "records": [record]})
    return int(ratio > LIMIT)


def milliseconds(module: str) -> float:
    """Time one import in a new interpreter."""
    code = f"from time import perf_counter as now; t = now(); import {module}; print((now() - t) * 1e3)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(run.stdout)


if __name__ == "__main__":
    sys.exit(main())
