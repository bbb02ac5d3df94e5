"""Thousands of students in one process: train, print the table, draw the picture.

python run.py      about ten seconds
"""

from __future__ import annotations

import argparse
import logging
import sys
import tomllib
from pathlib import Path

from students import client_app, figures, server_app
from students.comparison import compare
from students.task import load_ratings

from flskew import read_app_config, simulate

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison that the command line asks for."""
    options = _parser().parse_args(arguments)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    try:
        config = read_app_config(HERE, tomllib.loads("\n".join(options.run_config.split())))
    except (LookupError, TypeError, ValueError) as error:
        sys.exit(f"run.py: {error}")
    ratings, assignment = load_ratings()
    print(f"{len(ratings.ratings):,} ratings by {len(assignment):,} students, {config['num-server-rounds']} rounds\n")
    context = simulate(server_app.app, client_app.app, num_supernodes=len(assignment), run_config=config)
    comparison = compare(context, config)
    print(comparison.table(), end="\n\n")
    figures.save(figures.picture(comparison), options.output / "students.png")
    print(f"wrote {options.output / 'students.png'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Thousands of students, alone and together.")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results", metavar="FOLDER", help="folder for the picture (%(default)s)"
    )
    parser.add_argument(
        "--run-config",
        default="",
        metavar="'KEY=VALUE ...'",
        help="settings that override the app's, as for flwr run; e.g. 'num-server-rounds=10 seed=7'",
    )
    return parser


if __name__ == "__main__":
    main()
