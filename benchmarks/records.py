"""Write the results of benchmarks and reproductions atomically, with the date, machine and versions."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def about(*packages: str) -> dict[str, str | None]:
    """Return the date, the machine and the package versions; None for packages that are not installed."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores of {_processor()}, {platform.system()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in ("flskew", *packages)},
    }


def write(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file, replacing any existing file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def resumed(path: Path, settings: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the runs in a results file; exit if they were made with other settings."""
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    # As JSON, which has no tuples.
    if content["settings"] != json.loads(json.dumps(settings)):
        sys.exit(f"{path} has other settings: {content['settings']}; move it away to start again")
    runs: list[dict[str, Any]] = content["runs"]
    return runs


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
