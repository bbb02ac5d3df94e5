"""Failures on the real engine are named, and the other clients continue."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import Deployment
from processes import family, kill

pytestmark = pytest.mark.e2e

Waits = Callable[..., None]
Rows = list[dict[str, Any]]


@dataclass
class HeldRun:
    """A run of the app whose clients can be paused."""

    deployment: Deployment
    app: Path
    folder: Path
    wait_until: Waits
    nodes: set[int] = field(default_factory=set)
    run_id: int = 0

    def start(self, run_config: str = "") -> None:
        """Start the run with the three nodes that are connected."""
        self.nodes = self.deployment.online()
        assert len(self.nodes) == 3
        self.run_id = self.deployment.start_run(self.app, f'folder="{self.folder}" {run_config}'.strip())

    def hold(self, server_round: int, partition: int) -> Path:
        """Pause a client in a round until the returned file is removed."""
        held = self.folder / f"hold-{server_round}-{partition}"
        held.touch()
        return held

    def wait_for_client(self, server_round: int, partition: int) -> int:
        """Wait until a client trains, and return the id of its process."""
        started = self.folder / f"started-{server_round}-{partition}"
        self.wait_until(started.exists, f"partition {partition} trains in round {server_round}")
        return int(started.read_text())

    def wait_for_end(self) -> None:
        """Wait until the run has completed."""
        self.wait_until(lambda: self.deployment.status(self.run_id).startswith("finished"), "the run ends")
        assert self.deployment.status(self.run_id) == "finished:completed"

    def round(self, server_round: int) -> Rows:
        """Return a round's entry in the history."""
        rows = [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]
        return [row for row in rows if row["server_round"] == server_round]

    def model(self) -> float:
        """Return the number that the model consists of."""
        return float(np.load(self.folder / "model.npy")[0])


def counted(rows: Rows) -> dict[int, int]:
    """The nodes whose replies were accepted, by partition."""
    return {row["metrics"]["partition"]: row["node_id"] for row in rows if row["counted"]}


def lost(rows: Rows) -> dict[int, str]:
    """The reasons of the failures, by node."""
    return {row["node_id"]: row["reason"] for row in rows if not row["counted"]}


@pytest.fixture(scope="module")
def after_kills(
    deployment: Deployment, held_app: Path, tmp_path_factory: pytest.TempPathFactory, wait_until: Waits
) -> HeldRun:
    """Two rounds; in the first, the ClientApp of partition 1 and the SuperNode of partition 2 are killed."""
    run = HeldRun(deployment, held_app, tmp_path_factory.mktemp("kills"), wait_until)
    run.hold(1, 1)
    run.hold(1, 2)
    run.start()
    client = run.wait_for_client(1, 1)
    run.wait_for_client(1, 2)
    os.kill(client, signal.SIGKILL)
    deployment.supernodes[2].kill()
    deployment.supernodes[2].wait()
    deployment.start_supernode(2)
    run.wait_for_end()
    return run


def test_a_round_completes_with_the_remaining_clients(after_kills: HeldRun) -> None:
    assert list(counted(after_kills.round(1))) == [0]
    # Partition p adds p + 1: first partition 0 alone, then all three.
    assert after_kills.model() == pytest.approx(1 + (1 + 2 + 3) / 3)


def test_each_row_of_the_history_has_the_partition_of_its_node(after_kills: HeldRun) -> None:
    for row in [*after_kills.round(1), *after_kills.round(2)]:
        if row["counted"]:
            assert row["partition_id"] == row["metrics"]["partition"]


def test_a_node_whose_clientapp_was_killed_is_named_and_takes_part_again(after_kills: HeldRun) -> None:
    node = counted(after_kills.round(2))[1]
    assert node in after_kills.nodes
    assert "ClientApp stopped responding" in lost(after_kills.round(1))[node]


def test_a_supernode_that_was_killed_is_named_and_takes_part_again_once_it_is_restarted(after_kills: HeldRun) -> None:
    (killed,) = after_kills.nodes - set(counted(after_kills.round(2)).values())
    assert "Node Unavailable" in lost(after_kills.round(1))[killed]
    assert counted(after_kills.round(2))[2] not in after_kills.nodes  # with a new id


def test_the_next_round_has_all_clients(after_kills: HeldRun) -> None:
    assert sorted(counted(after_kills.round(2))) == [0, 1, 2]
    assert lost(after_kills.round(2)) == {}


def test_a_client_that_has_not_replied_by_the_timeout_is_named(
    deployment: Deployment, held_app: Path, tmp_path: Path, wait_until: Waits
) -> None:
    run = HeldRun(deployment, held_app, tmp_path, wait_until)
    holding = run.hold(1, 2)
    run.start("timeout=60")
    run.wait_for_client(2, 0)
    holding.unlink()
    run.wait_for_end()
    replied = counted(run.round(1))
    assert sorted(replied) == [0, 1]
    (silent,) = run.nodes - set(replied.values())
    assert list(lost(run.round(1))) == [silent]
    assert lost(run.round(1))[silent].startswith("no reply before the timeout")


def test_a_killed_server_resumes_from_its_last_complete_round(
    held_app: Path, tmp_path: Path, wait_until: Waits
) -> None:
    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    settings = f'num-server-rounds=4 checkpoint-dir="{tmp_path / "checkpoints"}"'
    with Deployment(folder("logs of the first")) as deployment:
        killed = HeldRun(deployment, held_app, folder("first"), wait_until)
        killed.hold(3, 1)
        killed.start(settings)
        killed.wait_for_client(3, 1)
        assert deployment.superlink is not None
        kill(family([deployment.superlink.pid]))  # and the ServerApp that it has started
    with Deployment(folder("logs of the second")) as deployment:
        resumed = HeldRun(deployment, held_app, folder("second"), wait_until)
        resumed.start(settings)
        resumed.wait_for_end()
    assert not (killed.folder / "model.npy").exists()
    assert {path.name for path in resumed.folder.glob("started-*")} == {
        f"started-{server_round}-{partition}" for server_round in (3, 4) for partition in range(3)
    }
    # Partition p adds p + 1 in each of the four rounds.
    assert resumed.model() == pytest.approx(4 * (1 + 2 + 3) / 3)
    nodes = [set(counted(resumed.round(server_round)).values()) for server_round in (1, 2, 3, 4)]
    assert nodes == [killed.nodes, killed.nodes, resumed.nodes, resumed.nodes]
