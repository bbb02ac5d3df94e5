"""Time one round of the three hospitals on each of Flower's engines and with `simulate` in this process.

    python benchmarks/deployment.py   # several minutes; needs the extras sklearn and simulation, and flwr 1.40

Runs the example `three-hospitals` on scikit-learn's digits, with one round and with several more. The time per round is
the difference divided by the number of extra rounds; the rest is startup and shutdown. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from records import RESULTS, about, write

from flskew import simulate
from flskew.simulation import read_app_config

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
APP = EXAMPLES / "three-hospitals"
REPEATS = 3
# Enough extra rounds to outweigh the variation in startup time: Ray takes half a minute to start, +/- 2 s.
MORE = 20


def in_this_process(rounds: int) -> None:
    """Run the app with function calls."""
    from three_hospitals import client_app, server_app

    simulate(server_app.app, client_app.app, 3, run_config=read_app_config(APP, {"num-server-rounds": rounds}))


def on_flower(rounds: int, *, ray: bool) -> None:
    """Run the app on a new SuperLink, including startup and shutdown."""
    from deploy import deploy

    with tempfile.TemporaryDirectory(prefix="flower-") as folder:
        status = deploy(APP, Path(folder), 3, f"num-server-rounds={rounds}", simulation=ray)
    if status != "finished:completed":
        sys.exit(f"the run on {'Ray' if ray else 'SuperNodes'} ended with {status}")


def seconds(action: Callable[[], None]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(run: Callable[[int], None], repeats: int, more: int) -> dict[str, float]:
    """Time runs with one round and with `more` additional rounds, alternating; return the medians."""
    pairs = [(seconds(lambda: run(1)), seconds(lambda: run(1 + more))) for _ in range(repeats)]
    a_round = statistics.median((longer - one) / more for one, longer in pairs)
    return {"round_s": a_round, "start_s": statistics.median(one for one, _ in pairs) - a_round}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    sys.path += [str(APP), str(EXAMPLES / "deployment")]
    in_this_process(1)  # imports modules and reads data, so that no timed round does
    engines: dict[str, tuple[Callable[[int], None], int, int]] = {
        "simulate, in one process": (in_this_process, REPEATS, MORE),
        "Ray": (lambda rounds: on_flower(rounds, ray=True), REPEATS, MORE),
        "SuperLink and SuperNodes, on loopback": (lambda rounds: on_flower(rounds, ray=False), 1, 3),
    }
    records = []
    for engine, (run, repeats, more) in engines.items():
        records.append({"engine": engine, **measure(run, repeats, more)})
        print(f"{engine}: {records[-1]['round_s']:.2f} s a round", flush=True)
    write(arguments.output / "deployment.json", {"about": about("flwr", "ray", "scikit-learn"), "records": records})


if __name__ == "__main__":
    main()
