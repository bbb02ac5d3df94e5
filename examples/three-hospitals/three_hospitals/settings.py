"""The app's settings: `[tool.flwr.app.config]` of pyproject.toml, as a checked dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

StrategyName: TypeAlias = Literal["fedavg", "fedprox", "feddyn", "scaffold", "fednova", "class-aware"]


@dataclass(frozen=True)
class Settings:
    """The settings of a run. Each field is the setting of the same name, with `_` instead of `-`.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    num_server_rounds: int
    local_epochs: int
    learning_rate: float
    momentum: float
    batch_size: int
    strategy: StrategyName
    proximal_mu: float
    feddyn_alpha: float
    fraction_evaluate: float
    hidden_units: int
    on_excluded: Literal["redistribute", "drop"]
    seed: int
    data_dir: str
    results_file: str
    model_file: str
    checkpoint_dir: str

    def __post_init__(self) -> None:
        """Check the values that would otherwise only fail in the middle of a run."""
        for name in ("num_server_rounds", "local_epochs", "batch_size", "hidden_units"):
            if getattr(self, name) < 1:
                raise ValueError(f"{_key(name)} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning-rate must be > 0, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if self.strategy not in get_args(StrategyName):
            raise ValueError(f"strategy must be one of {list(get_args(StrategyName))}, got {self.strategy!r}")
        # flskew and Flower check the other settings before the first round.

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, bool | float | int | str]) -> Settings:
        """Read the settings from a context's `run_config`, ignoring other keys.

        Raises:
            LookupError: A setting is missing.
            TypeError: A setting has the wrong type.
        """
        values: dict[str, Any] = {}
        for name, wanted in _TYPES.items():
            if _key(name) not in run_config:
                raise LookupError(f"the run config has no {_key(name)!r}; set it in [tool.flwr.app.config]")
            value = run_config[_key(name)]
            if wanted is float and type(value) is int:  # TOML's 1 for 1.0
                value = float(value)
            if type(value) is not wanted:
                raise TypeError(f"{_key(name)} must be of type {wanted.__name__}, got {value!r}")
            values[name] = value
        return cls(**values)


# Annotations are strings here; those of `strategy` and `on_excluded` allow only some texts.
_TYPES = {f.name: {"int": int, "float": float}.get(str(f.type), str) for f in fields(Settings)}


def _key(name: str) -> str:
    return name.replace("_", "-")
