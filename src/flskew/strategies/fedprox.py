"""FedProx: federated averaging whose clients are held near the parameters they were sent.

Tian Li, Anit Kumar Sahu, Manzil Zaheer, Maziar Sanjabi, Ameet Talwalkar and Virginia Smith. Federated Optimization in
Heterogeneous Networks. Proceedings of Machine Learning and Systems 2 (MLSys 2020), pages 429 to 450. arXiv 1812.06127.
The server's part is FedAvg and the sending of mu; the term itself is added by the clients.

Unlike the paper's algorithm 2, which samples clients in proportion to their numbers of examples and averages them
equally, we sample them equally and average in proportion to their numbers of examples, because that is FedAvg's rule
and Flower's, and what the paper's own experiments do (section 5.1).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedProx as FlowerFedProx

from flskew._util import checks
from flskew._wire import LOSS_KEY
from flskew.strategies._adaptive_mu import AdaptiveMu
from flskew.strategies.fedavg import FedAvg, MetricsAggregator
from flskew.strategies.history import Phase

__all__ = ["FedProx"]

_logger = logging.getLogger("flwr")


class FedProx(FedAvg, FlowerFedProx):
    """FedAvg that tells the clients a strength mu for FedProx's proximal term.

    It arrives in the config of `fit` as "proximal-mu"; `ProximalTerm.from_config(config, parameters)` takes it from
    there. A client that ignores it trains as under FedAvg.

    With `adaptive_mu`, mu follows the loss by the paper's rule: it begins at `proximal_mu`, grows by 0.1 after each
    round whose loss is above that of the round before, and shrinks by 0.1, to 0 at the least, after every five in a row
    whose loss is below. A round whose loss is missing, or is NaN or infinite, leaves it alone, and the log says so.
    `mu_by_round` has what was sent.

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
        proximal_mu: Finite and >= 0; 0 is FedAvg, larger holds the clients closer. With `adaptive_mu`, that of the
            first round.
        min_replies: See `FedAvg`.
        min_evaluate_replies: See `FedAvg`.
        seed: See `FedAvg`.
        node_patience: See `FedAvg`.
        drop_stragglers: See `FedAvg`.
        adaptive_mu: Whose "loss", as it is averaged over the clients, mu follows: "evaluate", the loss of the server's
            new model on their evaluation rows, or "train", what they report of their training. None: mu stays.

    Raises:
        TypeError: A number is of the wrong type.
        ValueError: A number is out of its range, `adaptive_mu` is something else, or nobody is to evaluate, whose loss
            it follows.

    Examples:
        >>> FedProx(proximal_mu=0.1).proximal_mu
        0.1
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import LocalGrid, client_app
        >>> class GetsWorse:
        ...     def fit(self, parameters, config):
        ...         return parameters, 10, {"loss": float(config["server-round"])}
        >>> strategy = FedProx(fraction_evaluate=0.0, adaptive_mu="train")
        >>> grid = LocalGrid(client_app(lambda context: GetsWorse()), 2)
        >>> _ = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=4)
        >>> strategy.mu_by_round
        {1: 0.0, 2: 0.0, 3: 0.1, 4: 0.2}
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
        drop_stragglers: bool = False,
        adaptive_mu: Phase | None = None,
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
            drop_stragglers=drop_stragglers,
        )
        self.proximal_mu = checks.proximal_mu("proximal_mu", proximal_mu)
        self.adaptive_mu = checks.choice("adaptive_mu", adaptive_mu, ("train", "evaluate", None))
        if adaptive_mu == "evaluate" and fraction_evaluate == 0.0:
            raise ValueError(
                "adaptive_mu='evaluate' follows the loss of evaluations, got fraction_evaluate=0.0; let some nodes "
                "evaluate, or follow the training by adaptive_mu='train'"
            )
        if self.proximal_mu == 0.0 and self.adaptive_mu is None:
            _logger.warning("FedProx with proximal_mu=0.0 is FedAvg")
        self.mu_by_round: dict[int, float] = {}
        """What was sent in each round since the last `start`."""
        self._mu = AdaptiveMu(self.proximal_mu)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to train, with mu in their config."""
        if server_round == 1:  # of a new run, whoever counts its rounds
            self._mu, self.mu_by_round = AdaptiveMu(self.proximal_mu), {}
        mu = self.proximal_mu if self.adaptive_mu is None else self._mu.mu
        self.mu_by_round[server_round] = mu
        with_mu = ConfigRecord({**config, "proximal-mu": mu})
        return FedAvg.configure_train(self, server_round, arrays, with_mu, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the replies that count, and of their metrics; mu may follow their loss.

        Raises:
            RoundError: Too few replies count, or clients use different splits.
            ValueError: mu is to follow the loss, and no reply has ever had one.
        """
        arrays, metrics = FedAvg.aggregate_train(self, server_round, replies)
        if self.adaptive_mu == "train":
            self._follow(server_round, metrics)
        return arrays, metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return the mean of the metrics of the replies that count, None if none does; mu may follow their loss.

        Raises:
            RoundError: Too few replies count, or clients use different splits.
            ValueError: mu is to follow the loss, and no reply has ever had one.
        """
        metrics = FedAvg.aggregate_evaluate(self, server_round, replies)
        if self.adaptive_mu == "evaluate":
            self._follow(server_round, metrics)
        return metrics

    def _follow(self, server_round: int, metrics: MetricRecord | None) -> None:
        """Choose the next round's mu by the loss of this one."""
        loss = None if metrics is None else metrics.get(LOSS_KEY)
        if loss is None and metrics is not None and self._mu.loss is None:
            raise ValueError(
                f"adaptive_mu={self.adaptive_mu!r} follows the metric {LOSS_KEY!r}, and the replies of round "
                f"{server_round} have {sorted(metrics)}; report it, or choose a mu"
            )
        if not isinstance(loss, int | float) or not math.isfinite(loss):
            _logger.warning(
                "\t> mu stays at %g: the %s loss of round %d is %s", self._mu.mu, self.adaptive_mu, server_round, loss
            )
            return
        before, self._mu = self._mu, self._mu.after(loss)
        if self._mu.mu != before.mu:
            _logger.info("\t> mu goes from %g to %g: the %s loss is %g", before.mu, self._mu.mu, self.adaptive_mu, loss)
