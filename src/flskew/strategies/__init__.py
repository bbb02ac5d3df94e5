"""Server side: strategies that check every reply before it counts."""

from flskew.strategies._errors import RoundError
from flskew.strategies.best import BestModel, KeepBest, RunResult
from flskew.strategies.checked import Checked
from flskew.strategies.checkpoints import Checkpoint
from flskew.strategies.class_aware import ClassAware
from flskew.strategies.fedavg import FedAvg
from flskew.strategies.feddyn import FedDyn
from flskew.strategies.fednova import FedNova
from flskew.strategies.fedprox import FedProx
from flskew.strategies.history import Failure, History, Reply, Round
from flskew.strategies.scaffold import Scaffold

__all__ = [
    "BestModel",
    "Checked",
    "Checkpoint",
    "ClassAware",
    "Failure",
    "FedAvg",
    "FedDyn",
    "FedNova",
    "FedProx",
    "History",
    "KeepBest",
    "Reply",
    "Round",
    "RoundError",
    "RunResult",
    "Scaffold",
]
