"""The three hospitals' package, and its run.py, as a person in the example's folder would import them."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "three-hospitals"

sys.path.insert(0, str(EXAMPLE))


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the app."""
    return EXAMPLE


@pytest.fixture(scope="session")
def run() -> ModuleType:
    """The module run.py; by its path, since every example has one."""
    spec = importlib.util.spec_from_file_location("three_hospitals_run", EXAMPLE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="session")
def _quiet_flower() -> Iterator[None]:
    """Keep Flower's log of every round out of the reports."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
