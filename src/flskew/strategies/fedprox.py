"""FedProx: federated averaging whose clients stay near the parameters they were sent.

The server runs FedAvg and sends mu; the clients add the term.

Unlike the paper's algorithm 2, which samples clients in proportion to their numbers of examples and averages them
equally, we sample them equally and average in proportion to their numbers of examples, because that is FedAvg's rule
and Flower's, and what the paper's own experiments do (section 5.1).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from flskew._util import checks
from flskew._util.texts import listed
from flskew._wire import LOSS_KEY
from flskew.strategies._adaptive_mu import AdaptiveMu
from flskew.strategies.fedavg import FedAvg
from flskew.typing import Phase

__all__ = ["FedProx"]

_logger = logging.getLogger("flwr")


@dataclass(repr=False, eq=False)
class FedProx(FedAvg):
    """FedAvg that also sends the clients mu, the strength of FedProx's proximal term.

    Use it when some clients are too slow to finish a round and send partial work. Where all clients finish, it is not
    better than `FedAvg` on any split of the benchmark of record.

    mu arrives in the config of `fit` as "proximal-mu", where `LocalTerm.from_config(config, model)` reads it. Unless mu
    is 0, a client made with `client_app` that trains without the term raises an error.

    With `adaptive_mu`, mu follows the loss by the paper's rule. It starts at `proximal_mu` and grows by 0.1 whenever
    the loss is higher than in the round before. It shrinks by 0.1, but never below 0, after five consecutive decreases.
    A round whose loss is missing, NaN or infinite leaves it unchanged, and the log says so.

    Args:
        proximal_mu: The mu, finite and >= 0; 0 is FedAvg, and larger values keep clients closer to the global model.
            With `adaptive_mu`, the mu of the first round. All other arguments are those of `FedAvg`, in the same order.
        adaptive_mu: Which "loss", averaged over the clients, mu follows: "evaluate" for the loss of the new model on
            their evaluation rows, or "train" for the loss that they report from training. None keeps mu constant.

    Attributes:
        mu_by_round: The mu sent in each round since the last `start`.

    Raises:
        TypeError: A number has the wrong type.
        ValueError: A number is out of range, `adaptive_mu` has another value, or it is "evaluate" and no client
            evaluates.

    References:
        T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous
        Networks", MLSys 2020, https://arxiv.org/abs/1812.06127.

    Examples:
        >>> FedProx(proximal_mu=0.1)
        FedProx(proximal_mu=0.1, seed=42)
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

    proximal_mu: float = 0.0
    _: KW_ONLY
    adaptive_mu: Phase | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.proximal_mu = checks.proximal_mu("proximal_mu", self.proximal_mu)
        self.adaptive_mu = checks.choice("adaptive_mu", self.adaptive_mu, ("train", "evaluate", None))
        if self.adaptive_mu == "evaluate" and self.fraction_evaluate == 0.0:
            raise ValueError(
                "adaptive_mu='evaluate' needs evaluations, got fraction_evaluate=0.0; raise it, or use "
                "adaptive_mu='train'"
            )
        if self.proximal_mu == 0.0 and self.adaptive_mu is None:
            _logger.warning("FedProx with proximal_mu=0.0 is FedAvg")
        self.mu_by_round: dict[int, float] = {}
        self._mu = AdaptiveMu(self.proximal_mu)

    def state_dict(self) -> dict[str, Any]:
        """Return the adaptive mu, the losses it depends on, and the mu of each round."""
        return {"mu": asdict(self._mu), "mu_by_round": dict(self.mu_by_round)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._mu, self.mu_by_round = AdaptiveMu(**state["mu"]), dict(state["mu_by_round"])

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages of a round's training, with mu in their config."""
        if server_round == 1:  # a new run, whichever loop calls this
            self._mu, self.mu_by_round = AdaptiveMu(self.proximal_mu), {}
        mu = self.proximal_mu if self.adaptive_mu is None else self._mu.mu
        self.mu_by_round[server_round] = mu
        return super().configure_train(server_round, arrays, ConfigRecord({**config, "proximal-mu": mu}), grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new model and the metrics; mu may follow their loss.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
            ValueError: mu follows the loss, but no reply has reported one.
        """
        arrays, metrics = super().aggregate_train(server_round, replies)
        if self.adaptive_mu == "train":
            self._follow(server_round, metrics)
        return arrays, metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return the metrics of the accepted replies; mu may follow their loss.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
            ValueError: mu follows the loss, but no reply has reported one.
        """
        metrics = super().aggregate_evaluate(server_round, replies)
        if self.adaptive_mu == "evaluate":
            self._follow(server_round, metrics)
        return metrics

    def _follow(self, server_round: int, metrics: MetricRecord | None) -> None:
        """Choose the next round's mu from the loss of this one."""
        loss = None if metrics is None else metrics.get(LOSS_KEY)
        if loss is None and metrics is not None and self._mu.loss is None:
            raise ValueError(
                f"adaptive_mu={self.adaptive_mu!r} follows the metric {LOSS_KEY!r}, but the replies of round "
                f"{server_round} have [{listed(sorted(metrics))}]; report it, or set a constant proximal_mu"
            )
        if not isinstance(loss, int | float) or not math.isfinite(loss):
            _logger.warning(
                "\t> mu stays at %g: the %s loss of round %d is %s", self._mu.mu, self.adaptive_mu, server_round, loss
            )
            return
        before, self._mu = self._mu, self._mu.after(loss)
        if self._mu.mu != before.mu:
            _logger.info(
                "\t> mu changes from %g to %g: the %s loss is %g", before.mu, self._mu.mu, self.adaptive_mu, loss
            )
