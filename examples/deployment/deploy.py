"""Run a Flower app on a SuperLink and SuperNodes that are started for it, all on this machine.

python deploy.py ../three-hospitals          a SuperLink and three SuperNodes in separate processes
python deploy.py ../three-hospitals --ray    a SuperLink that simulates the nodes with Ray
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import tomllib
from pathlib import Path
from types import FrameType

from engines import Deployment, EngineError


def main(arguments: list[str] | None = None) -> None:
    """Run the app, show its log, and stop everything; the exit code is 0 only if the run completed."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    folder: Path = options.folder or Path(tempfile.mkdtemp(prefix="flower-"))
    try:
        status = deploy(options.app, folder, options.num_supernodes, options.run_config, simulation=options.ray)
    except KeyboardInterrupt:
        sys.exit("deploy.py: interrupted; everything is stopped")
    except EngineError as error:
        sys.exit(f"deploy.py: {error}")
    print(f"deploy.py: {status}")
    if status != "finished:completed":
        sys.exit(f"deploy.py: the logs are in {folder}")
    if options.folder is None:
        shutil.rmtree(folder)


def deploy(app: Path, folder: Path, num_supernodes: int, run_config: str = "", *, simulation: bool = False) -> str:
    """Start a SuperLink and its nodes, run an app, stop everything, and return the status of the run."""
    with Deployment(folder, num_supernodes, simulation=simulation) as deployment:
        return deployment.follow(deployment.start_run(app, run_config))


def _leave(number: int, frame: FrameType | None) -> None:
    # Raises an exception, so that everything is stopped.
    sys.exit(128 + number)


def _app(text: str) -> Path:
    path = Path(text)
    try:
        config = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a Flower app: {error}") from error
    if "app" not in config.get("tool", {}).get("flwr", {}):
        raise argparse.ArgumentTypeError(f"{text} is not a Flower app: its pyproject.toml has no [tool.flwr.app]")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy.py", description="Run a Flower app on its own engines.")
    parser.add_argument("app", type=_app, help="the folder of the app")
    parser.add_argument("--num-supernodes", type=int, default=3, metavar="N", help="number of partitions (3)")
    parser.add_argument(
        "--run-config", default="", metavar="'KEY=VALUE ...'", help="settings that override the app's, as for flwr run"
    )
    parser.add_argument("--ray", action="store_true", help="simulate the nodes with Ray")
    parser.add_argument(
        "--folder", type=Path, help="folder for logs and Flower's files (a temporary one, removed if the run completed)"
    )
    return parser


if __name__ == "__main__":
    main()
