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
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from flskew._util import checks
from flskew._wire import LOSS_KEY
from flskew.strategies._adaptive_mu import AdaptiveMu
from flskew.strategies.fedavg import FedAvg
from flskew.typing import FedAvgOptions, Phase

__all__ = ["FedProx"]

_logger = logging.getLogger("flwr")


class FedProx(FedAvg):
    """FedAvg that sends the clients a strength mu for FedProx's proximal term.

    The config of `fit` has it as "proximal-mu", where `ProximalTerm.from_config(config, parameters)` reads it. A client
    that ignores it trains as under FedAvg.

    With `adaptive_mu`, mu follows the loss by the paper's rule: it starts at `proximal_mu`, grows by 0.1 whenever the
    loss increases, and shrinks by 0.1, never below 0, after five consecutive decreases. A round whose loss is missing
    or not finite leaves it unchanged, and the log says so.

    Args:
        proximal_mu: Finite and >= 0; 0 is FedAvg, larger holds the clients closer to the model they were sent. With
            `adaptive_mu`, the mu of the first round.
        adaptive_mu: Which "loss", averaged over the clients, mu follows: "evaluate", of the new model on their
            evaluation rows, or "train", as reported by their training. None keeps mu.
        **options: The arguments of `FedAvg`, by keyword.

    Attributes:
        mu_by_round: The mu that was sent in each round.

    Raises:
        TypeError: A number has the wrong type.
        ValueError: A number is out of range, `adaptive_mu` is something else, or `adaptive_mu="evaluate"` while no node
            evaluates.

    Examples:
        >>> FedProx(proximal_mu=0.1, fraction_train=0.5)
        FedProx(proximal_mu=0.1, fraction_train=0.5, seed=42)
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
        self, *, proximal_mu: float = 0.0, adaptive_mu: Phase | None = None, **options: Unpack[FedAvgOptions]
    ) -> None:
        super().__init__(**options)
        self.proximal_mu = checks.proximal_mu("proximal_mu", proximal_mu)
        self.adaptive_mu = checks.choice("adaptive_mu", adaptive_mu, ("train", "evaluate", None))
        if adaptive_mu == "evaluate" and self.fraction_evaluate == 0.0:
            raise ValueError(
                "adaptive_mu='evaluate' follows the loss of evaluations, got fraction_evaluate=0.0; let some nodes "
                "evaluate, or pass adaptive_mu='train'"
            )
        if self.proximal_mu == 0.0 and self.adaptive_mu is None:
            _logger.warning("FedProx with proximal_mu=0.0 is FedAvg")
        self.mu_by_round: dict[int, float] = {}
        self._mu = AdaptiveMu(self.proximal_mu)

    def state_dict(self) -> dict[str, Any]:
        """Return mu, what its rule remembers, and what was sent in each round."""
        return {**vars(self._mu), "mu_by_round": dict(self.mu_by_round)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._mu = AdaptiveMu(state["mu"], state["loss"], state["falls"])
        self.mu_by_round = dict(state["mu_by_round"])

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Combine the training replies as FedAvg; mu may follow their loss."""
        arrays, metrics = super().aggregate_train(server_round, replies)
        if self.adaptive_mu == "train":
            self._follow(server_round, metrics)
        return arrays, metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Combine the evaluation replies as FedAvg; mu may follow their loss."""
        metrics = super().aggregate_evaluate(server_round, replies)
        if self.adaptive_mu == "evaluate":
            self._follow(server_round, metrics)
        return metrics

    def _config(self, phase: Phase, server_round: int, config: ConfigRecord) -> ConfigRecord:
        if phase == "evaluate":
            return config
        if server_round == 1:  # of a new run
            self._mu, self.mu_by_round = AdaptiveMu(self.proximal_mu), {}
        mu = self.proximal_mu if self.adaptive_mu is None else self._mu.mu
        self.mu_by_round[server_round] = mu
        return ConfigRecord({**config, "proximal-mu": mu})

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
