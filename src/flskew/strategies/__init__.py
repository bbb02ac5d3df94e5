"""Server side: strategies that check every reply before it counts."""

from flskew.strategies._errors import RoundError
from flskew.strategies.checked import Checked
from flskew.strategies.checkpoints import Checkpoint
from flskew.strategies.class_aware import ClassAware
from flskew.strategies.fedavg import FedAvg
from flskew.strategies.fedprox import FedProx
from flskew.strategies.history import Failure, History, Reply, Round

__all__ = [
    "Checked",
    "Checkpoint",
    "ClassAware",
    "Failure",
    "FedAvg",
    "FedProx",
    "History",
    "Reply",
    "Round",
    "RoundError",
]
