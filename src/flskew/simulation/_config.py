"""Run configs: validated, flattened, and read from the pyproject.toml of a Flower app."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

from flskew.typing import RunConfig

__all__ = ["flat_config", "read_app_config"]


def flat_config(config: Mapping[str, object]) -> RunConfig:
    """Return a run config as Flower passes it to apps: keys of nested tables are joined by dots.

    Raises:
        TypeError: It is not a mapping, a key is not a string, or a value is not a bool, int, float, str or table.

    Examples:
        >>> flat_config({"learning-rate": 0.1, "model": {"hidden": 64}})
        {'learning-rate': 0.1, 'model.hidden': 64}
    """
    if not isinstance(config, Mapping):
        raise TypeError(
            f"run_config must be a dictionary, got {type(config).__name__}; "
            "flskew.read_app_config(path) reads it from an app"
        )
    return dict(_flattened(config, ""))


def read_app_config(path: str | PathLike[str], overrides: Mapping[str, object] | None = None) -> RunConfig:
    """Return the `[tool.flwr.app.config]` of an app, flattened, as `flwr run` passes it to the app.

    Args:
        path: The app's directory, or its pyproject.toml.
        overrides: Values that replace the app's own, like `flwr run --run-config`; only for existing keys.

    Raises:
        FileNotFoundError: pyproject.toml does not exist.
        LookupError: An override names a key that the app's config lacks.
        TypeError: A value is not a bool, int, float, str or table.
        ValueError: The file is not TOML in UTF-8, or has no `[tool.flwr.app]`.

    Examples:
        >>> import pathlib, tempfile
        >>> app = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (app / "pyproject.toml").write_text(
        ...     "tool.flwr.app.config.learning-rate = 0.1"
        ... )
        >>> read_app_config(app, {"learning-rate": 0.2})
        {'learning-rate': 0.2}
    """
    file = Path(path)
    if file.is_dir():
        file /= "pyproject.toml"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; pass the directory of a Flower app or its pyproject.toml")
    with file.open("rb") as stream:
        try:
            project: object = tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is not TOML in UTF-8: {error}") from error
    for name in ("tool", "flwr", "app"):
        project = project.get(name) if isinstance(project, dict) else None
    if not isinstance(project, dict):
        raise ValueError(f"{file} has no [tool.flwr.app]; pass the pyproject.toml of a Flower app")
    config = flat_config(project.get("config", {}))
    for key, value in flat_config(overrides or {}).items():
        if key not in config:
            raise LookupError(f"{key!r} is not in [tool.flwr.app.config] of {file}, which has {sorted(config)}")
        config[key] = value
    return config


def _flattened(config: Mapping[str, object], prefix: str) -> Iterator[tuple[str, bool | float | int | str]]:
    for key, value in config.items():
        if not isinstance(key, str):
            raise TypeError(f"run_config: keys must be strings, got {key!r}")
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, bool | float | int | str):
            yield f"{prefix}{key}", value
        else:
            raise TypeError(
                f"run_config[{prefix + key!r}] must be a bool, int, float or str, got {value!r} of type "
                f"{type(value).__name__}; convert it, a path with str()"
            )
