"""Three hospitals, alone and together: train, print the table, draw the pictures.

python run.py                             scikit-learn's digits, a few seconds
python run.py --data-dir /path/to/mnist   MNIST at the published settings, about a minute
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from flwr.app import RecordDict
from three_hospitals import client_app, figures, server_app
from three_hospitals.comparison import Comparison
from three_hospitals.settings import Settings
from three_hospitals.task import EXCLUDED, Score, evaluate, initial_parameters, load_data, load_hospital, train

from flskew import simulate
from flskew.simulation import read_app_config

HERE = Path(__file__).resolve().parent

RunConfig: TypeAlias = dict[str, bool | float | int | str]


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison that the command line asks for."""
    options = _parser().parse_args(arguments)
    try:
        config = run_config(options.data_dir, _overrides(options.run_config))
        settings = Settings.from_run_config(config)
        load_data(settings.data_dir)
    except (OSError, LookupError, TypeError, ValueError) as error:
        sys.exit(f"run.py: {error}")
    data = f"MNIST in {settings.data_dir}" if settings.data_dir else "scikit-learn's digits"
    print(f"{data}: {settings.num_server_rounds} rounds of {settings.local_epochs} local epochs\n", flush=True)
    comparison = compare(config, verbose=options.verbose)
    print(comparison.table(), end="\n\n")
    drawn = {options.output / name: figure for name, figure in figures.pictures(comparison).items()}
    if options.overview:
        drawn[options.overview] = figures.overview(comparison)
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


def compare(config: RunConfig, *, verbose: bool = False) -> Comparison:
    """Train each hospital alone, then all together, from the same weights and for the same number of local epochs."""
    settings = Settings.from_run_config(config)
    hospitals = range(len(EXCLUDED))
    counts = [np.bincount(load_hospital(hospital, settings)[0].labels, minlength=10) for hospital in hospitals]
    alone = [tuple(train_alone(hospital, settings)) for hospital in hospitals]
    context = simulate(server_app.app, client_app.app, len(hospitals), config, verbose=verbose)
    return Comparison(np.stack(counts), tuple(alone), tuple(read_scores(context.state)))


def train_alone(hospital: int, settings: Settings) -> Iterator[Score]:
    """Train like the hospital in the federation, but without averaging; yield the score after each round."""
    training, _ = load_hospital(hospital, settings)
    _, test = load_data(settings.data_dir)
    parameters = initial_parameters(training.images.shape[1], settings)
    yield evaluate(parameters, test)
    for server_round in range(1, settings.num_server_rounds + 1):
        parameters, _ = train(parameters, training, settings, (server_round, hospital))
        yield evaluate(parameters, test)


def read_scores(state: RecordDict) -> Iterator[Score]:
    """Yield the scores that the ServerApp stored in its context, round by round."""
    for server_round in range(sum(key.startswith("round-") for key in state)):
        record = state.metric_records[f"round-{server_round}"]
        yield Score(cast("float", record["loss"]), cast("float", record["accuracy"]), np.array(record["recall"]))


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
        "--output", type=Path, default=HERE / "results", metavar="FOLDER", help="folder for pictures (%(default)s)"
    )
    parser.add_argument("--overview", type=Path, metavar="FILE", help="write all three pictures into this PNG as well")
    parser.add_argument(
        "--run-config",
        action="append",
        default=[],
        metavar="'KEY=VALUE ...'",
        help="settings that override the app's, as for flwr run; e.g. 'proximal-mu=0.1 seed=7'",
    )
    parser.add_argument("--verbose", action="store_true", help="show Flower's log")
    return parser


if __name__ == "__main__":
    main()
