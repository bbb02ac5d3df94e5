"""Replay simulated runs: `python -m tests.simulated_runs SEED [LAST]`."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path

from .laws import BrokenLawError, check_run


def main() -> int:
    """Check one seed, or all from the first to the last."""
    first = int(sys.argv[1])
    last = int(sys.argv[2]) if len(sys.argv) > 2 else first
    broken = 0
    started = time.perf_counter()
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                check_run(seed, Path(folder))
            except BrokenLawError as error:
                broken += 1
                if first == last:
                    traceback.print_exc()
                else:
                    print(f"{seed}: {str(error).splitlines()[0]:.300}")
    print(f"{last + 1 - first} runs, {broken} broken, {time.perf_counter() - started:.1f} s")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
