"""Server side: strategies that check every reply before it counts."""

from flskew.strategies._errors import RoundError
from flskew.strategies.checked import Checked
from flskew.strategies.checkpoints import Checkpoint
from flskew.strategies.fedavg import FedAvg
from flskew.strategies.feddyn import FedDyn
from flskew.strategies.fednova import FedNova
from flskew.strategies.fedprox import FedProx
from flskew.strategies.history import Failure, History, Reply, Round
from flskew.strategies.scaffold import Scaffold

__all__ = [
    "Checked",
    "Checkpoint",
    "Failure",
    "FedAvg",
    "FedDyn",
    "FedNova",
    "FedProx",
    "History",
    "Reply",
    "Round",
    "RoundError",
    "Scaffold",
]
