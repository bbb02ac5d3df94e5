"""Flower apps in this process, without Ray; the same apps run on Flower's own engines."""

from flskew.simulation._config import read_app_config
from flskew.simulation.grid import LocalGrid
from flskew.simulation.run import simulate

__all__ = ["LocalGrid", "read_app_config", "simulate"]
