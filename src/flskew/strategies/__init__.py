"""Server side: strategies that check every reply before it counts."""

from flskew.strategies._errors import RoundError
from flskew.strategies.best import BestModel, KeepBest, RunResult
from flskew.strategies.checked import Checked
from flskew.strategies.checkpoints import Checkpoint
from flskew.strategies.fedavg import FedAvg
from flskew.strategies.fedprox import FedProx
from flskew.strategies.history import Failure, History, Reply, Round

__all__ = [
    "BestModel",
    "Checked",
    "Checkpoint",
    "Failure",
    "FedAvg",
    "FedProx",
    "History",
    "KeepBest",
    "Reply",
    "Round",
    "RoundError",
    "RunResult",
]
