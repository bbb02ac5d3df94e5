"""Server side: FedAvg and FedProx that check every reply before it counts."""

from flskew.strategies.fedavg import FedAvg
from flskew.strategies.fedprox import FedProx
from flskew.strategies.history import Failure, Reply, Round, RoundError

__all__ = ["Failure", "FedAvg", "FedProx", "Reply", "Round", "RoundError"]
