"""Flower's engines on this machine: a SuperLink and SuperNodes on loopback, or a SuperLink that simulates with Ray."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from processes import family, kill, running

CONNECTION = "loopback"
"""The name of the SuperLink in Flower's config."""

_POLL_SECONDS = 0.2


class EngineError(RuntimeError):
    """Flower is too old, or a process did not start; the message contains the end of the logs."""


class Deployment:
    """A SuperLink and SuperNodes on free ports, which run during a `with` block.

    Args:
        folder: For logs and Flower's files; `~/.flwr` is neither read nor written.
        num_supernodes: Number of partitions: SuperNode i has `partition-id=i`.
        simulation: Whether the SuperLink simulates the nodes with Ray, without SuperNodes.
        patience: Maximum seconds until a process is ready, and until a command ends.

    Raises:
        EngineError: Flower is too old, or a process did not start.

    Attributes:
        superlink: The SuperLink's process, or None before it is started.
        supernodes: The SuperNodes' processes, by partition id.
    """

    def __init__(
        self, folder: Path, num_supernodes: int = 3, *, simulation: bool = False, patience: float = 300.0
    ) -> None:
        version = importlib.metadata.version("flwr")
        if tuple(map(int, version.split(".")[:2])) < (1, 40):
            raise EngineError(f"flwr {version} is too old for this script; install flwr 1.40 or newer")
        self.folder = folder.resolve()
        self.num_supernodes = num_supernodes
        self.simulation = simulation
        self.patience = patience
        self.superlink: subprocess.Popen[bytes] | None = None
        self.supernodes: dict[int, subprocess.Popen[bytes]] = {}
        self._address = f"127.0.0.1:{free_port()}"
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Deployment:
        """Start all processes, and wait until they are ready."""
        try:
            self._write_config()
            self._start_superlink()
            if not self.simulation:
                for partition_id in range(self.num_supernodes):
                    self.start_supernode(partition_id)
                self._wait_for("a SuperNode", lambda: len(self.online()) >= self.num_supernodes)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop all processes."""
        self.stop()

    def start_supernode(self, partition_id: int) -> None:
        """Start or restart the SuperNode of a partition, without waiting until it is connected."""
        self.supernodes[partition_id] = self._start(
            f"supernode-{partition_id}",
            *("flower-supernode", "--insecure", "--superlink", self._address, "--port", str(free_port())),
            *("--node-config", f"partition-id={partition_id} num-partitions={self.num_supernodes}"),
        )

    def online(self) -> set[int]:
        """Return the ids of the nodes that are connected."""
        nodes = self.flwr("supernode", "list", CONNECTION)["nodes"]
        return {int(node["node-id"]) for node in nodes if node["status"] == "online"}

    def start_run(self, app: Path, run_config: str = "") -> int:
        """Submit an app to the SuperLink, and return the id of its run."""
        options = ["--run-config", run_config] if run_config else []
        if self.simulation:
            nodes = f"num-supernodes={self.num_supernodes} client-resources-num-cpus=1"
            options += ["--federation-config", nodes]
        return int(self.flwr("run", str(app.resolve()), CONNECTION, *options)["run-id"])

    def follow(self, run_id: int) -> str:
        """Print the ServerApp's log until the run ends; return its status, `finished:completed` if it succeeded."""
        command = [_program("flwr"), "log", str(run_id), CONNECTION, "--stream"]
        subprocess.run(command, env=self._environment("cli"), stdin=subprocess.DEVNULL, check=False)
        return self.status(run_id)

    def status(self, run_id: int) -> str:
        """Return the status of a run, as shown by `flwr ls`."""
        return str(self.flwr("ls", CONNECTION, "--run-id", str(run_id))["runs"][0]["status"])

    def flwr(self, *arguments: str) -> dict[str, Any]:
        """Run a command of Flower's, and return its JSON output.

        Raises:
            EngineError: The command failed.
        """
        done = subprocess.run(
            [_program("flwr"), *arguments, "--format", "json"],
            env=self._environment("cli"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            answer = {}
        if not answer.get("success"):
            raise EngineError(f"flwr {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return answer

    def stop(self) -> None:
        """Stop all processes, including those that they have started."""
        everything = family(process.pid for process in self._started)
        try:
            for process in reversed(self._started):
                process.terminate()
            deadline = time.monotonic() + 20
            while running(everything) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                for process in self._started:
                    process.poll()
        finally:
            kill(everything)
            for process in self._started:
                process.wait()

    def _start_superlink(self) -> None:
        host, port = self._address.split(":")
        self.superlink = self._start(
            "superlink",
            *("flower-superlink", "--insecure", "--host", host, "--port", port),
            # The app's dependencies are in this environment, and need not be in a package index.
            "--disable-runtime-dependency-installation",
            *(["--simulation"] if self.simulation else []),
        )
        self._wait_for("the SuperLink", self._healthy)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._address}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _start(self, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [_program(program), *arguments],
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal then only reaches this script, which stops the others.
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _wait_for(self, what: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.patience
        while not is_ready():
            ended = [process for process in self._started if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"ended with {ended[0].returncode}" if ended else f"was not ready within {self.patience:g} s"
                raise EngineError(f"{what} {why}:\n{self._ends_of_logs()}")
            time.sleep(_POLL_SECONDS)

    def _ends_of_logs(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log}:\n{log.read_text('utf-8', errors='replace')[-2000:]}" for log in logs)

    def _write_config(self) -> None:
        config = self.folder / "cli" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f'[superlink.{CONNECTION}]\naddress = "{self._address}"\ninsecure = true\n', encoding="utf-8")

    def _environment(self, name: str) -> dict[str, str]:
        # Flower looks up its other programs in PATH.
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        return {**quiet, **os.environ, "PATH": path, "FLWR_HOME": str(self.folder / name)}


def _program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
