"""Shared by all tests: no network, no telemetry, no files in the user's home, no deadlines."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

# Otherwise, the data sets that tests load from files would stay in the user's cache.
HF_HOME = tempfile.TemporaryDirectory(prefix="flskew-hf-", ignore_cleanup_errors=True)
# Flower and datasets read these when they are imported; processes started by tests inherit them.
os.environ.update(
    FLWR_TELEMETRY_ENABLED="0",
    FLWR_DISABLE_UPDATE_CHECK="1",
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION="1",
    RAY_USAGE_STATS_ENABLED="0",
    HF_HOME=HF_HOME.name,
    HF_DATASETS_CACHE=f"{HF_HOME.name}/datasets",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    MPLBACKEND="agg",
    KERAS_BACKEND="tensorflow",
    TF_CPP_MIN_LOG_LEVEL="2",
    JAX_PLATFORMS="cpu",
)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the workers share the processors
# The examples read it too, but only tests that request MNIST may use it.
MNIST_DIR = os.environ.pop("FLSKEW_MNIST", None) or os.environ.get("FLSKEW_MNIST_OF_TESTS")
if MNIST_DIR:
    os.environ["FLSKEW_MNIST_OF_TESTS"] = MNIST_DIR  # the workers of pytest-xdist inherit it

# `make test-all` installs everything, so there, a skipped test is a mistake.
NO_SKIPS = bool(os.environ.get("FLSKEW_TEST_ALL"))

# The module that each marker needs, and the extra that installs it.
EXTRAS = {"ray": "simulation", "torch": "torch", "tensorflow": "keras", "jax": "jax"}

# These modules import their framework at the top.
collect_ignore_glob = [
    f"{folder}/test_{module}*.py"
    for folder in ("client", "shifts")
    for module, package in (("torch", "torch"), ("keras", "tensorflow"), ("jax", "jax"))
    if not NO_SKIPS and importlib.util.find_spec(package) is None
]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# Few examples during development; in CI many, and the same in every run. FLSKEW_HYPOTHESIS=ci selects the latter.
for profile, examples in (("dev", 20), ("ci", 100)):
    hypothesis.settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        derandomize=profile == "ci",
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(os.environ.get("FLSKEW_HYPOTHESIS") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose extra is not installed."""
    for marker, extra in EXTRAS.items():
        if item.get_closest_marker(marker) and importlib.util.find_spec(marker) is None:
            pytest.skip(f"needs {marker}: pip install 'flskew[{extra}]'")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure if nothing may be skipped."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failure if nothing may be skipped."""
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    if NO_SKIPS and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"FLSKEW_TEST_ALL is set, so nothing may be skipped. {reason}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _flower_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep Flower's state of this test run in a separate folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_HOME", str(tmp_path_factory.mktemp("flwr")))
        yield


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Restore the level of Flower's log, which examples and code on pages change."""
    logger = logging.getLogger("flwr")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the four MNIST files, for tests marked `mnist`."""
    if MNIST_DIR is None:
        pytest.skip("needs MNIST: set FLSKEW_MNIST to the folder of its four files")
    return Path(MNIST_DIR)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root folder of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def python() -> str:
    """This interpreter, for tests that need a separate process."""
    return sys.executable
