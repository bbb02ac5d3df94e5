"""Split data into realistic non-IID clients and train on them with Flower.

flskew splits a data set among clients, reproducibly and with the skew you choose; turns any model whose parameters are
NumPy arrays into a Flower client; and trains with strategies that hold up under skew, with every reply checked. Flower
stays the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from flskew._version import __version__

if TYPE_CHECKING:
    from flskew import client as client
    from flskew import partitioners as partitioners
    from flskew import plots as plots
    from flskew import skew as skew
    from flskew import study as study
    from flskew import synthetic as synthetic
    from flskew import tables as tables
    from flskew import testing as testing
    from flskew import typing as typing
    from flskew._arrays.records import ParametersError as ParametersError
    from flskew._time_split import split_by_time as split_by_time
    from flskew.assignment import Assignment as Assignment
    from flskew.assignment import PartitionIdError as PartitionIdError
    from flskew.client import AbsentError as AbsentError
    from flskew.client import ClientError as ClientError
    from flskew.client import LabelPrior as LabelPrior
    from flskew.client import LocalTerm as LocalTerm
    from flskew.client import client_app as client_app
    from flskew.client import partition as partition
    from flskew.client import partition_id as partition_id
    from flskew.client import without_local as without_local
    from flskew.partitioners import CrossPartitioner as CrossPartitioner
    from flskew.partitioners import DirichletPartitioner as DirichletPartitioner
    from flskew.partitioners import DistributionPartitioner as DistributionPartitioner
    from flskew.partitioners import ExponentialPartitioner as ExponentialPartitioner
    from flskew.partitioners import ExtendedDirichletPartitioner as ExtendedDirichletPartitioner
    from flskew.partitioners import GroupedNaturalIdPartitioner as GroupedNaturalIdPartitioner
    from flskew.partitioners import IidPartitioner as IidPartitioner
    from flskew.partitioners import InnerDirichletPartitioner as InnerDirichletPartitioner
    from flskew.partitioners import LabelExclusionPartitioner as LabelExclusionPartitioner
    from flskew.partitioners import LinearPartitioner as LinearPartitioner
    from flskew.partitioners import MixturePartitioner as MixturePartitioner
    from flskew.partitioners import NaturalIdPartitioner as NaturalIdPartitioner
    from flskew.partitioners import PachinkoPartitioner as PachinkoPartitioner
    from flskew.partitioners import PathologicalPartitioner as PathologicalPartitioner
    from flskew.partitioners import QuantityPartitioner as QuantityPartitioner
    from flskew.partitioners import ShardPartitioner as ShardPartitioner
    from flskew.partitioners import SizePartitioner as SizePartitioner
    from flskew.partitioners import SquarePartitioner as SquarePartitioner
    from flskew.schedule import Schedule as Schedule
    from flskew.simulation import LocalGrid as LocalGrid
    from flskew.simulation import read_app_config as read_app_config
    from flskew.simulation import simulate as simulate
    from flskew.strategies import BestModel as BestModel
    from flskew.strategies import Checked as Checked
    from flskew.strategies import Checkpoint as Checkpoint
    from flskew.strategies import ClassAware as ClassAware
    from flskew.strategies import Failure as Failure
    from flskew.strategies import FedAvg as FedAvg
    from flskew.strategies import FedDyn as FedDyn
    from flskew.strategies import FedNova as FedNova
    from flskew.strategies import FedProx as FedProx
    from flskew.strategies import History as History
    from flskew.strategies import KeepBest as KeepBest
    from flskew.strategies import Reply as Reply
    from flskew.strategies import Round as Round
    from flskew.strategies import RoundError as RoundError
    from flskew.strategies import RunResult as RunResult
    from flskew.strategies import Scaffold as Scaffold

# The module that defines each public name. It is imported when the name is first used, so `import flskew` loads neither
# Flower nor NumPy, and a script that only trains never loads Flower Datasets.
_HOMES = {
    "AbsentError": "flskew.client",
    "Assignment": "flskew.assignment",
    "BestModel": "flskew.strategies",
    "Checked": "flskew.strategies",
    "Checkpoint": "flskew.strategies",
    "ClassAware": "flskew.strategies",
    "ClientError": "flskew.client",
    "CrossPartitioner": "flskew.partitioners",
    "DirichletPartitioner": "flskew.partitioners",
    "DistributionPartitioner": "flskew.partitioners",
    "ExponentialPartitioner": "flskew.partitioners",
    "ExtendedDirichletPartitioner": "flskew.partitioners",
    "Failure": "flskew.strategies",
    "FedAvg": "flskew.strategies",
    "FedDyn": "flskew.strategies",
    "FedNova": "flskew.strategies",
    "FedProx": "flskew.strategies",
    "GroupedNaturalIdPartitioner": "flskew.partitioners",
    "History": "flskew.strategies",
    "IidPartitioner": "flskew.partitioners",
    "InnerDirichletPartitioner": "flskew.partitioners",
    "KeepBest": "flskew.strategies",
    "LabelExclusionPartitioner": "flskew.partitioners",
    "LabelPrior": "flskew.client",
    "LinearPartitioner": "flskew.partitioners",
    "LocalGrid": "flskew.simulation",
    "LocalTerm": "flskew.client",
    "MixturePartitioner": "flskew.partitioners",
    "NaturalIdPartitioner": "flskew.partitioners",
    "PachinkoPartitioner": "flskew.partitioners",
    "ParametersError": "flskew._arrays.records",
    "PartitionIdError": "flskew.assignment",
    "PathologicalPartitioner": "flskew.partitioners",
    "QuantityPartitioner": "flskew.partitioners",
    "Reply": "flskew.strategies",
    "Round": "flskew.strategies",
    "RoundError": "flskew.strategies",
    "RunResult": "flskew.strategies",
    "Scaffold": "flskew.strategies",
    "Schedule": "flskew.schedule",
    "ShardPartitioner": "flskew.partitioners",
    "SizePartitioner": "flskew.partitioners",
    "SquarePartitioner": "flskew.partitioners",
    "client_app": "flskew.client",
    "partition": "flskew.client",
    "partition_id": "flskew.client",
    "read_app_config": "flskew.simulation",
    "simulate": "flskew.simulation",
    "split_by_time": "flskew._time_split",
    "without_local": "flskew.client",
}

# Public modules, used by their names: `flskew.skew.report`.
_ROOMS = ("client", "partitioners", "plots", "shifts", "skew", "study", "synthetic", "tables", "testing", "typing")

__all__ = ["__version__", *_HOMES, *_ROOMS]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
