"""Client side: a NumPy client as a Flower app, and FedProx's proximal term."""

from flskew.client._app import ClientFn, client_app
from flskew.client._node_config import partition, partition_id
from flskew.client._private import without_local
from flskew.client._protocols import ClientError, SupportsEvaluate, SupportsFit, SupportsQuery
from flskew.client._proximal import ProximalTerm

__all__ = [
    "ClientError",
    "ClientFn",
    "ProximalTerm",
    "SupportsEvaluate",
    "SupportsFit",
    "SupportsQuery",
    "client_app",
    "partition",
    "partition_id",
    "without_local",
]
