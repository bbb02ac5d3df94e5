"""Client side: a NumPy client as a Flower app, and FedProx's proximal term."""

from flskew.client.app import ClientFn, client_app
from flskew.client.node_config import partition, partition_id
from flskew.client.protocols import ClientError, Config, SupportsEvaluate, SupportsFit
from flskew.client.proximal import ProximalTerm
from flskew.client.replies import does_not_evaluate

__all__ = [
    "ClientError",
    "ClientFn",
    "Config",
    "ProximalTerm",
    "SupportsEvaluate",
    "SupportsFit",
    "client_app",
    "does_not_evaluate",
    "partition",
    "partition_id",
]
