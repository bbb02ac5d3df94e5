"""Five stores, alone and together: train, print the table, draw the picture.

python run.py      ten seeds: about ten seconds
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from five_stores import figures
from five_stores.comparison import run, table

from flskew import read_app_config

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison that the command line asks for."""
    options = _parser().parse_args(arguments)
    try:
        config = read_app_config(HERE, tomllib.loads("\n".join(options.run_config.split())))
    except (LookupError, TypeError, ValueError) as error:
        sys.exit(f"run.py: {error}")
    results = run(config, range(options.seeds), options.output / "cells")
    print(f"Area under the ROC curve, mean of {options.seeds} seeds ± half of the 95 % interval\n")
    print(table(results), end="\n\n")
    figures.save(figures.picture(results), options.output / "stores.png")
    print(f"wrote {options.output / 'stores.png'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Five stores, alone and together.")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="use the seeds 0 to N - 1 (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results", metavar="FOLDER", help="folder for the picture (%(default)s)"
    )
    parser.add_argument(
        "--run-config",
        default="",
        metavar="'KEY=VALUE ...'",
        help="settings that override the app's, as for flwr run; e.g. 'num-server-rounds=20 local-epochs=5'",
    )
    return parser


if __name__ == "__main__":
    main()
