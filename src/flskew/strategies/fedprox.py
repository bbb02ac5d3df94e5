"""FedProx: federated averaging whose clients are held near the parameters they were sent.

Tian Li, Anit Kumar Sahu, Manzil Zaheer, Maziar Sanjabi, Ameet Talwalkar and Virginia Smith. Federated Optimization in
Heterogeneous Networks. Proceedings of Machine Learning and Systems 2 (MLSys 2020), pages 429 to 450. arXiv 1812.06127.
The server's part is FedAvg and the sending of mu; the term itself is added by the clients.

Unlike the paper, which samples clients in proportion to their numbers of examples and averages them equally, we sample
them equally and average in proportion to their numbers of examples, because that is FedAvg's rule and Flower's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedProx as FlowerFedProx

from flskew.strategies import arguments
from flskew.strategies.fedavg import FedAvg, MetricsAggregator

__all__ = ["FedProx"]

_logger = logging.getLogger("flwr")


class FedProx(FedAvg, FlowerFedProx):
    """FedAvg that tells the clients a strength mu for FedProx's proximal term.

    It arrives in the config of `fit` as "proximal-mu"; `ProximalTerm.from_config(config, parameters)` takes it from
    there. A client that ignores it trains as under FedAvg.

    Args:
        fraction_train: As in `FedAvg`, like all up to `proximal_mu`.
        fraction_evaluate: See `FedAvg`.
        min_train_nodes: See `FedAvg`.
        min_evaluate_nodes: See `FedAvg`.
        min_available_nodes: See `FedAvg`.
        weighted_by_key: See `FedAvg`.
        arrayrecord_key: See `FedAvg`.
        configrecord_key: See `FedAvg`.
        train_metrics_aggr_fn: See `FedAvg`.
        evaluate_metrics_aggr_fn: See `FedAvg`.
        proximal_mu: Finite and >= 0; 0 is FedAvg, larger holds the clients closer.
        min_replies: See `FedAvg`.
        min_evaluate_replies: See `FedAvg`.
        seed: See `FedAvg`.
        node_patience: See `FedAvg`.

    Raises:
        TypeError: A number is of the wrong type.
        ValueError: A number is out of its range.

    Example:
        >>> FedProx(proximal_mu=0.1).proximal_mu
        0.1
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregator | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregator | None = None,
        proximal_mu: float = 0.0,
        *,
        min_replies: int = 1,
        min_evaluate_replies: int = 0,
        seed: int = 42,
        node_patience: float = 3600.0,
    ) -> None:
        FedAvg.__init__(
            self,
            fraction_train,
            fraction_evaluate,
            min_train_nodes,
            min_evaluate_nodes,
            min_available_nodes,
            weighted_by_key,
            arrayrecord_key,
            configrecord_key,
            train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn,
            min_replies=min_replies,
            min_evaluate_replies=min_evaluate_replies,
            seed=seed,
            node_patience=node_patience,
        )
        self.proximal_mu = arguments.mu("proximal_mu", proximal_mu)
        if self.proximal_mu == 0.0:
            _logger.warning("FedProx with proximal_mu=0.0 is FedAvg")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to train, with mu in their config."""
        with_mu = ConfigRecord({**config, "proximal-mu": self.proximal_mu})
        return FedAvg.configure_train(self, server_round, arrays, with_mu, grid)
