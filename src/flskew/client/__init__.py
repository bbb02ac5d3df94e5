"""Client side: a NumPy client as a Flower app, the local terms of strategies, and losses for missing classes."""

from flskew.client._app import ClientFn, client_app
from flskew.client._label_prior import LabelPrior, LogitTransform
from flskew.client._local_term import LocalTerm
from flskew.client._node_config import partition, partition_id
from flskew.client._private import without_local
from flskew.client._protocols import AbsentError, ClientError, SupportsEvaluate, SupportsFit, SupportsQuery

__all__ = [
    "AbsentError",
    "ClientError",
    "ClientFn",
    "LabelPrior",
    "LocalTerm",
    "LogitTransform",
    "SupportsEvaluate",
    "SupportsFit",
    "SupportsQuery",
    "client_app",
    "partition",
    "partition_id",
    "without_local",
]
