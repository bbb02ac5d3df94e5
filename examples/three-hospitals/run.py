"""Three hospitals, alone and together: train, print the table, draw the pictures.

python run.py                             scikit-learn's digits, a few seconds
python run.py --data-dir /path/to/mnist   MNIST at the published settings, about a minute
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from three_hospitals import figures
from three_hospitals.comparison import study, table
from three_hospitals.settings import Settings
from three_hospitals.task import load_data

from flskew.simulation import read_app_config
from flskew.typing import RunConfig

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison that the command line asks for."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_run_config(run_config(options.data_dir, _overrides(options.run_config)))
        load_data(settings.data_dir)
    except (OSError, LookupError, TypeError, ValueError) as error:
        sys.exit(f"run.py: {error}")
    data = f"MNIST in {settings.data_dir}" if settings.data_dir else "scikit-learn's digits"
    print(f"{data}: {settings.num_server_rounds} rounds of {settings.local_epochs} local epochs\n", flush=True)
    results = study(settings).run(options.output / "cells")
    print(table(results), end="\n\n")
    drawn = {options.output / name: figure for name, figure in figures.pictures(results).items()}
    if options.overview:
        drawn[options.overview] = figures.overview(results)
    for path, figure in drawn.items():
        figures.save(figure, path)
        print(f"wrote {path}")


def run_config(data_dir: str = "", overrides: Mapping[str, object] | None = None) -> RunConfig:
    """Read the app's config, for scikit-learn's digits or, with a folder, for MNIST as published.

    Args:
        data_dir: The folder with MNIST's four files, or empty.
        overrides: Settings that override those in the files.
    """
    changes: dict[str, object] = {}
    if data_dir:
        changes = tomllib.loads((HERE / "mnist.toml").read_text(encoding="utf-8"))
        changes["data-dir"] = str(Path(data_dir).expanduser().resolve())
    return read_app_config(HERE, {**changes, **(overrides or {})})


def _overrides(lines: list[str]) -> dict[str, object]:
    settings = [setting for line in lines for setting in line.split()]
    try:
        return tomllib.loads("\n".join(settings))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--run-config must be 'key=value ...', text in quotes; got {' '.join(settings)}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Three hospitals, alone and together.")
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("FLSKEW_MNIST", ""),
        metavar="FOLDER",
        help="the four MNIST files, plain or gzipped; without it (and without FLSKEW_MNIST), scikit-learn's digits",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "results",
        metavar="FOLDER",
        help="folder for pictures and finished runs (%(default)s)",
    )
    parser.add_argument(
        "--overview", type=Path, metavar="FILE", help="also write this PNG, who holds which digit above the recall"
    )
    parser.add_argument(
        "--run-config",
        action="append",
        default=[],
        metavar="'KEY=VALUE ...'",
        help="settings that override the app's, as for flwr run; e.g. 'proximal-mu=0.1 seed=7'",
    )
    return parser


if __name__ == "__main__":
    main()
