"""Flower's engines on this machine, started by the example's script, and an app whose clients a test can pause."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples" / "deployment"), str(ROOT / "examples" / "three-hospitals")]

from engines import Deployment  # noqa: E402

Waits = Callable[..., None]


@pytest.fixture(scope="session", autouse=True)
def _this_tree() -> Iterator[None]:
    """Let every process that is started import flskew from this repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        yield


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, _this_tree: None) -> Iterator[Deployment]:
    """A SuperLink and three SuperNodes; a test that ends one of them must restart it."""
    with Deployment(tmp_path_factory.mktemp("deployment")) as started:
        yield started


@pytest.fixture(scope="session")
def three_hospitals() -> Path:
    """The folder of the app."""
    return ROOT / "examples" / "three-hospitals"


@pytest.fixture(scope="session")
def held_app() -> Path:
    """The folder of the app."""
    return Path(__file__).with_name("held_app")


@pytest.fixture(scope="session")
def wait_until() -> Waits:
    """Wait until a condition holds, with a generous limit, because a machine may be busy."""

    def wait(holds: Callable[[], object], what: str, patience: float = 300.0) -> None:
        deadline = time.monotonic() + patience
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {patience:g} s")
            time.sleep(0.2)

    return wait
