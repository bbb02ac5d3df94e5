"""The published experiment on stragglers: train, print the figures, write them as JSON, draw the picture.

python stragglers.py --quick                     scikit-learn's digits, one seed, a few seconds
python stragglers.py --data-dir /path/to/mnist   MNIST at the published settings, three seeds, minutes
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tomllib
from pathlib import Path

from fedprox_stragglers import figures
from fedprox_stragglers.experiment import experiment
from fedprox_stragglers.task import load_dataset

from flskew import read_app_config

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment that the command line asks for."""
    options = _parser().parse_args(arguments)
    # Dropped replies are part of the experiment, but the log would have a warning for each.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    if not options.quick and not options.data_dir:
        sys.exit("stragglers.py: the experiment needs MNIST: pass --data-dir FOLDER or --quick, or set FLSKEW_MNIST")
    changes: dict[str, object] = {}
    if not options.quick:
        changes = tomllib.loads((HERE / "mnist.toml").read_text(encoding="utf-8"))
        changes["data-dir"] = str(Path(options.data_dir).expanduser().resolve())
    config = read_app_config(HERE, changes)
    try:
        load_dataset(str(config["data-dir"]))
    except (OSError, ValueError) as error:
        sys.exit(f"stragglers.py: {error}")
    seeds = options.seeds or ([1] if options.quick else [1, 2, 3])
    results = experiment(config, seeds, options.output / "cells")
    print(f"{results.data}: {results.num_clients:,} clients, accuracy on the test set, mean of the last ten rounds\n")
    print(results.table(), end="\n\n")
    results.save(options.output / "results.json")
    figures.save(figures.picture(results), options.output / "stragglers.png")
    for name in ("results.json", "stragglers.png"):
        print(f"wrote {options.output / name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stragglers.py", description="FedAvg drops stragglers, FedProx uses them.")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits and one seed; takes seconds")
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("FLSKEW_MNIST", ""),
        metavar="FOLDER",
        help="the four MNIST files, plain or gzipped; by default the folder in FLSKEW_MNIST",
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="by default 1 2 3; with --quick, 1")
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "results",
        metavar="FOLDER",
        help="folder for JSON, picture and finished runs (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
