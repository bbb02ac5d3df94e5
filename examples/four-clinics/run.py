"""Four clinics, alone and together: train, print the tables, draw the pictures.

python run.py      the gum index and preterm birth, ten seeds each: about a minute
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from four_clinics import figures
from four_clinics.comparison import run, table
from four_clinics.data import TARGETS, load_patients

from flskew import plots, read_app_config, skew

HERE = Path(__file__).resolve().parent
TITLES = {
    "gum-index": "R² of the gum index at the third visit",
    "preterm-birth": "Area under the ROC curve of preterm birth",
}


def main(arguments: list[str] | None = None) -> None:
    """Run the comparisons that the command line asks for."""
    options = _parser().parse_args(arguments)
    try:
        overrides = tomllib.loads("\n".join(options.run_config.split()))
        configs = {target: read_app_config(HERE, {**overrides, "target": target}) for target in options.targets}
    except (LookupError, TypeError, ValueError) as error:
        sys.exit(f"run.py: {error}")

    patients, assignment = load_patients(options.targets[0])
    report = skew.feature_report(patients.columns, assignment)
    print("How the clinics' patients differ\n", *report.remarks, "", sep="\n", flush=True)
    figures.save(plots.features(patients.columns, assignment, report=report), options.output / "features.png")

    for target, config in configs.items():
        results = run(config, range(options.seeds), options.output / "cells")
        print(f"{TITLES[target]}:\nmean of {options.seeds} seeds ± half of the 95 % interval\n")
        print(table(results, load_patients(target)[1].sizes), end="\n\n", flush=True)
        figures.save(figures.picture(results, figures.SCORES[target]), options.output / f"{target}.png")
    for name in ("features", *options.targets):
        print(f"wrote {options.output / name}.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Four clinics, alone and together.")
    parser.add_argument(
        "--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="what to predict; by default both"
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="use the seeds 0 to N - 1 (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results", metavar="FOLDER", help="folder for pictures (%(default)s)"
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
