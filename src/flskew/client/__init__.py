"""Client side: a NumPy client as a Flower app, FedProx's proximal term, and losses for missing classes."""

from flskew.client._app import ClientFn, client_app
from flskew.client._label_prior import LabelPrior, LogitTransform
from flskew.client._node_config import partition, partition_id
from flskew.client._protocols import ClientError, SupportsEvaluate, SupportsFit, SupportsQuery
from flskew.client._proximal import ProximalTerm

__all__ = [
    "ClientError",
    "ClientFn",
    "LabelPrior",
    "LogitTransform",
    "ProximalTerm",
    "SupportsEvaluate",
    "SupportsFit",
    "SupportsQuery",
    "client_app",
    "partition",
    "partition_id",
]
