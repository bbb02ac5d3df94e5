"""What every reproduction writes beside its figures, and how it writes them: the file is whole or it is the old one."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"

# The examples are apps, not packages of an environment; a person who runs one has its folder on the path as well.
# First, since a script here may have the name of an example.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "three-hospitals"))


def about(*packages: str) -> dict[str, str]:
    """Return the date, the Python and the versions that figures were made with."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{package: version(package) for package in ("flskew", "flwr", "numpy", *packages)},
    }


def write(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON in place of what was there, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
