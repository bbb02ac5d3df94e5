"""Federated averaging that checks what it averages.

H. Brendan McMahan, Eider Moore, Daniel Ramage, Seth Hampson and Blaise Agüera y Arcas. Communication-Efficient Learning
of Deep Networks from Decentralized Data. AISTATS 2017, PMLR 54, pages 1273 to 1282. arXiv 1602.05629.
"""

from __future__ import annotations

import logging
import math

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid

from flskew._util import checks
from flskew.strategies import _arguments
from flskew.strategies._judgement import Judgement
from flskew.strategies._metrics import aggregate_metrics
from flskew.strategies._pipeline import Pipeline
from flskew.strategies._sampling import available_nodes, sample
from flskew.strategies._stragglers import asked_epochs, without_stragglers
from flskew.typing import MetricsAggregator, Phase

__all__ = ["FedAvg"]

_logger = logging.getLogger("flwr")


class FedAvg(Pipeline):
    """Federated averaging that checks every reply before averaging it.

    The new model is the mean of the clients' models, weighted by their numbers of examples. Unlike Flower's FedAvg:

    - A reply is accepted if its arrays have the names, shapes and dtypes that were sent and are finite, and its weight
      is positive. Other replies, errors and silent nodes are dropped with a reason, and the round continues without
      them. With fewer than `min_replies` left, the run ends with a `RoundError` that lists the reasons, so the model is
      never empty or silently unchanged. A failed evaluation does not end the run.
    - Partial work counts: a reply that reports fewer "local-epochs" than the config asked for is accepted, unless
      `drop_stragglers`.
    - Clients that report different splits are not mixed: that is a `RoundError` too.
    - Arrays keep their dtype; integers are rounded to the nearest. Averaging takes the memory of one model. If all
      replies are good and float32 or float64, the result equals Flower's bit for bit.
    - Nodes are sampled by `seed`, regardless of the order in which they are listed. The global generator is not used.
    - Metrics that only some clients report are averaged over those clients.
    - The records given to `start` are not changed.
    - `history` has every client's reply and `result` the latest model and metrics, however the run ends.

    Args:
        fraction_train: Fraction of the nodes that train in a round, 0 ... 1.
        fraction_evaluate: Fraction of the nodes that evaluate in a round, 0 ... 1.
        min_train_nodes: Minimum number of nodes sampled for training.
        min_evaluate_nodes: Minimum number of nodes sampled for evaluation.
        min_available_nodes: Minimum number of connected nodes before a round starts.
        weighted_by_key: Key of the weight among a reply's metrics.
        arrayrecord_key: Key of the model in a message.
        configrecord_key: Key of the config in a message.
        train_metrics_aggr_fn: Combines training metrics; None takes the weighted mean.
        evaluate_metrics_aggr_fn: Combines evaluation metrics; None takes the weighted mean.
        min_replies: Minimum number of accepted training replies, >= 0. With 0, a round without any leaves the model
            unchanged; the log warns about it, and the history shows it.
        min_evaluate_replies: Minimum number of accepted evaluation replies, >= 0.
        seed: Any integer; decides which nodes take part in which round.
        node_patience: Seconds to wait for nodes to connect before a round, > 0.
        drop_stragglers: Whether to drop a reply whose metrics report fewer "local-epochs" than its config asked for. A
            reply that reports none is accepted.

    Raises:
        TypeError: A number is of the wrong type.
        ValueError: A number is out of its range.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import LocalGrid, client_app
        >>> class Adds:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + 1], 10, {}
        >>> strategy = FedAvg(fraction_evaluate=0.0, seed=7)
        >>> grid = LocalGrid(client_app(lambda context: Adds()), 3)
        >>> result = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
        >>> result.arrays.to_numpy_ndarrays()
        [array([2., 2.])]
        >>> [(round.server_round, len(round.replies)) for round in strategy.history]
        [(1, 3), (2, 3)]
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
        *,
        min_replies: int = 1,
        min_evaluate_replies: int = 0,
        seed: int = 42,
        node_patience: float = 3600.0,
        drop_stragglers: bool = False,
    ) -> None:
        super().__init__(weighted_by_key, arrayrecord_key, min_replies, min_evaluate_replies)
        self.fraction_train = _arguments.fraction("fraction_train", fraction_train)
        self.fraction_evaluate = _arguments.fraction("fraction_evaluate", fraction_evaluate)
        self.min_train_nodes = checks.integer("min_train_nodes", min_train_nodes, minimum=0)
        self.min_evaluate_nodes = checks.integer("min_evaluate_nodes", min_evaluate_nodes, minimum=0)
        self.min_available_nodes = checks.integer("min_available_nodes", min_available_nodes, minimum=0)
        self.configrecord_key = configrecord_key
        self.train_metrics_aggr_fn = train_metrics_aggr_fn
        self.evaluate_metrics_aggr_fn = evaluate_metrics_aggr_fn
        self.seed = checks.seed(seed, otherwise="each run would sample other nodes")
        self.node_patience = _arguments.seconds("node_patience", node_patience)
        self.drop_stragglers = checks.truth("drop_stragglers", drop_stragglers)

    def _ask(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the messages to the sampled nodes.

        Raises:
            TimeoutError: Too few nodes connected.
            ValueError: Stragglers are to be dropped, and the config does not say how many local epochs it asks for.
        """
        is_train = phase == "train"
        if is_train and self.drop_stragglers:
            asked_epochs(config)
        fraction = self.fraction_train if is_train else self.fraction_evaluate
        if fraction == 0.0:
            return []
        # Both halves of a round, so that it does not fail in the second one.
        needed = max(self.min_available_nodes, self._minimum("train"), self._minimum("evaluate"), 1)
        node_ids = available_nodes(grid, needed, self.node_patience)
        if not is_train:
            node_ids = [node_id for node_id in node_ids if self._record.evaluates(node_id)]
            if not node_ids:
                return []
        # The small number undoes the rounding of, say, 100 * 0.29 = 28.999999999999996.
        size = max(math.floor(len(node_ids) * fraction + 1e-9), self._minimum(phase), 1)
        chosen = sample(node_ids, size, seed=self.seed, server_round=server_round, phase=phase)
        _logger.info("configure_%s: Sampled %d nodes (out of %d)", phase, len(chosen), len(node_ids))
        copied = ConfigRecord({**self._config(phase, server_round, config), "server-round": server_round})
        record = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: copied})
        message_type = MessageType.TRAIN if is_train else MessageType.EVALUATE
        return [Message(record, node_id, message_type) for node_id in chosen]

    def _config(self, phase: Phase, server_round: int, config: ConfigRecord) -> ConfigRecord:
        """Return what the clients are told in a round; an algorithm may add to it."""
        return config

    def _admit(self, judgement: Judgement) -> Judgement:
        if self.drop_stragglers:
            judgement = without_stragglers(judgement, self.configrecord_key)
        # If the mean is finite, all replies are: only otherwise each is searched for NaN.
        return judgement if judgement.counted and judgement.is_finite() else judgement.without_infinite()

    def _combine(self, judgement: Judgement) -> tuple[ArrayRecord, MetricRecord | None]:
        aggregate = self.train_metrics_aggr_fn or aggregate_metrics
        return judgement.mean, aggregate(judgement.contents(), self.weighted_by_key)

    def _combine_metrics(self, judgement: Judgement) -> MetricRecord | None:
        aggregate = self.evaluate_metrics_aggr_fn or aggregate_metrics
        return aggregate(judgement.contents(), self.weighted_by_key)

    def _minimum(self, phase: Phase) -> int:
        """Return the minimum number of nodes of a phase, 0 if the phase is off."""
        if phase == "train":
            return self.min_train_nodes if self.fraction_train else 0
        return self.min_evaluate_nodes if self.fraction_evaluate else 0
