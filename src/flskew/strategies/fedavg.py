"""Federated averaging that checks what it averages.

H. Brendan McMahan, Eider Moore, Daniel Ramage, Seth Hampson and Blaise Agüera y Arcas. Communication-Efficient Learning
of Deep Networks from Decentralized Data. AISTATS 2017, PMLR 54, pages 1273 to 1282. arXiv 1602.05629.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from flwr.serverapp.strategy import Result

from flskew import _checks
from flskew.parameters import record_from_parameters
from flskew.strategies import arguments
from flskew.strategies.history import Phase, Round, RoundError
from flskew.strategies.judgement import Judgement, Sent, judge
from flskew.strategies.metrics import aggregate_metrics
from flskew.strategies.sampling import available_nodes, sample
from flskew.weighted_mean import WeightedMean

__all__ = ["FedAvg", "MetricsAggregator"]

MetricsAggregator = Callable[[list[RecordDict], str], MetricRecord]
"""Makes one record of metrics from the contents of the replies that count, and the name of their weight."""

_logger = logging.getLogger("flwr")


class FedAvg(FlowerFedAvg):
    """Flower's FedAvg, with every reply checked before it counts.

    The mean of the clients' models, weighted by their numbers of examples. Beyond Flower's:

    - A reply counts if its arrays have the names, shapes and dtypes that were sent and are finite, and if its weight is
      finite and positive. One that does not, an error, and a node that stays silent are dropped with a reason, and the
      round goes on without them. With fewer than `min_replies` left the run ends in a `RoundError` that lists the
      reasons, so the result is never an empty or silently unchanged model.
    - Arrays keep their dtype; integers are rounded to the nearest. Averaging takes the memory of one model. Where all
      replies are good and float32 or float64 it is bit for bit Flower's.
    - Nodes are sampled by `seed`, whatever the order in which they are listed, and the global generator is not touched.
    - Metrics that only some clients report are averaged over those.
    - The configs given to `start` are not changed.
    - `history` keeps what every client replied.

    Args:
        fraction_train: Fraction of the nodes that train in a round, 0 ... 1.
        fraction_evaluate: Fraction of the nodes that evaluate in a round, 0 ... 1.
        min_train_nodes: At least so many train.
        min_evaluate_nodes: At least so many evaluate.
        min_available_nodes: A round begins when so many nodes are connected.
        weighted_by_key: The name of the weight in a reply's metrics.
        arrayrecord_key: The name of the arrays in a message.
        configrecord_key: The name of the config in a message.
        train_metrics_aggr_fn: Aggregates training metrics; None is the weighted mean.
        evaluate_metrics_aggr_fn: Aggregates evaluation metrics; None is the weighted mean.
        min_replies: So many training replies must count, >= 1. Of an evaluation at least one must.
        seed: Any integer; decides which nodes take part in which round.
        node_patience: Seconds to wait for nodes to connect before a round, > 0.

    Raises:
        TypeError: A number is of the wrong type.
        ValueError: A number is out of its range.

    Example:
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
        seed: int = 42,
        node_patience: float = 3600.0,
    ) -> None:
        # By its name, not super(): in FedProx the next class would be Flower's FedProx, which takes mu for 0.
        FlowerFedAvg.__init__(
            self,
            fraction_train=arguments.fraction("fraction_train", fraction_train),
            fraction_evaluate=arguments.fraction("fraction_evaluate", fraction_evaluate),
            min_train_nodes=_checks.integer("min_train_nodes", min_train_nodes, minimum=0),
            min_evaluate_nodes=_checks.integer("min_evaluate_nodes", min_evaluate_nodes, minimum=0),
            min_available_nodes=_checks.integer("min_available_nodes", min_available_nodes, minimum=0),
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn or aggregate_metrics,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn or aggregate_metrics,
        )
        self.min_replies = _checks.integer("min_replies", min_replies, minimum=1)
        self.seed = _checks.seed(seed)
        self.node_patience = arguments.seconds("node_patience", node_patience)
        self.history: list[Round] = []
        """What happened since the last `start`: a training and, unless it is off, an evaluation for every round."""
        self._sent: dict[Phase, Sent] = {}

    def summary(self) -> None:
        """Log the configuration."""
        _logger.info("\t├──> Replies needed: %d", self.min_replies)
        _logger.info("\t├──> Seed of the sampling: %d", self.seed)
        super().summary()

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run Flower's own loop and return its `Result`; with nothing to train, its arrays are the initial ones.

        Args:
            grid: Reaches the nodes.
            initial_arrays: The model of round 0: at least one array, all finite numbers.
            num_rounds: How many rounds to run, >= 0.
            timeout: Seconds to wait for replies, > 0.
            train_config: Sent to the clients that train, with "server-round" added to a copy of it.
            evaluate_config: The same for evaluation.
            evaluate_fn: Evaluates the model at the server, before the first round and after each.

        Raises:
            TypeError: `initial_arrays` is not an ArrayRecord, or a number is of the wrong type.
            ValueError: `initial_arrays` is empty or cannot be averaged, or a number is out of its range.
            TimeoutError: Too few nodes connected.
            RoundError: Too few replies counted.
        """
        arguments.initial(initial_arrays)
        rounds = _checks.integer("num_rounds", num_rounds, minimum=0)
        seconds = arguments.seconds("timeout", timeout)
        self.history = []
        result = super().start(grid, initial_arrays, rounds, seconds, train_config, evaluate_config, evaluate_fn)
        if not result.arrays:
            result.arrays = initial_arrays
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to train."""
        return self._configure("train", server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to evaluate."""
        return self._configure("evaluate", server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the replies that count, and of their metrics."""
        judgement = self._judge("train", server_round, replies)
        if judgement is None or judgement.like is None:
            return None, None
        mean = WeightedMean(sum(reply.weight for reply in judgement.counted))
        for reply in judgement.counted:
            mean.add(reply.parameters, reply.weight)
        arrays = record_from_parameters(mean.result(), judgement.like)
        contents = [reply.content for reply in judgement.counted]
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return the mean of the metrics of the replies that count."""
        judgement = self._judge("evaluate", server_round, replies)
        if judgement is None:
            return None
        return self.evaluate_metrics_aggr_fn([reply.content for reply in judgement.counted], self.weighted_by_key)

    def _configure(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        is_train = phase == "train"
        fraction = self.fraction_train if is_train else self.fraction_evaluate
        minimum = self.min_train_nodes if is_train else self.min_evaluate_nodes
        self._sent.pop(phase, None)
        if fraction == 0.0:
            return []
        node_ids = available_nodes(grid, max(self.min_available_nodes, minimum, 1), self.node_patience)
        # The small number undoes the rounding of, say, 100 * 0.29 = 28.999999999999996.
        size = max(math.floor(len(node_ids) * fraction + 1e-9), minimum, 1)
        chosen = sample(node_ids, size, seed=self.seed, server_round=server_round, phase=phase)
        if is_train and len(chosen) < self.min_replies:
            raise ValueError(
                f"min_replies={self.min_replies}, but only {len(chosen)} of {len(node_ids)} nodes train; "
                "lower it, or raise fraction_train or min_train_nodes"
            )
        _logger.info("configure_%s: Sampled %d nodes (out of %d)", phase, len(chosen), len(node_ids))
        copied = ConfigRecord({**config, "server-round": server_round})
        record = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: copied})
        message_type = MessageType.TRAIN if is_train else MessageType.EVALUATE
        messages = [Message(record, node_id, message_type) for node_id in chosen]
        self._sent[phase] = Sent(server_round, phase, tuple(messages), arrays, time.monotonic())
        return messages

    def _judge(self, phase: Phase, server_round: int, replies: Iterable[Message]) -> Judgement | None:
        """Return what counts, after noting it in the history; None if nobody was asked."""
        received = list(replies)
        sent = self._sent.pop(phase, None)
        if sent is None and not received:
            return None
        if sent is None or sent.server_round != server_round:
            sent = Sent(server_round, phase, (), None, time.monotonic())
        judgement = judge(received, sent, self.weighted_by_key, self.arrayrecord_key)
        self.history.append(judgement.round)
        failures = judgement.round.failures
        _logger.info("aggregate_%s: Received %d results and %d failures", phase, len(judgement.counted), len(failures))
        for failure in failures:
            _logger.warning("\t> Dropped %s", failure)
        needed = self.min_replies if phase == "train" else 1
        if len(judgement.counted) < needed:
            raise RoundError(
                f"round {server_round}: {len(judgement.counted)} of {len(judgement.counted) + len(failures)} "
                f"{phase} replies count, at least {needed} must:",
                server_round,
                phase,
                failures,
            )
        return judgement
