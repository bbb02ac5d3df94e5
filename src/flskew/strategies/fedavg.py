"""Federated averaging that checks what it averages.

H. Brendan McMahan, Eider Moore, Daniel Ramage, Seth Hampson and Blaise Agüera y Arcas. Communication-Efficient Learning
of Deep Networks from Decentralized Data. AISTATS 2017, PMLR 54, pages 1273 to 1282. arXiv 1602.05629.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from flwr.serverapp.strategy import Result

from flskew._arrays.records import Draft
from flskew._arrays.weighted_mean import NotFiniteError, weighted_mean
from flskew._util import checks
from flskew.strategies import _arguments
from flskew.strategies._judgement import Judgement
from flskew.strategies._ledger import Ledger, round_error
from flskew.strategies._metrics import aggregate_metrics
from flskew.strategies._running import ServerEvaluation, run_rounds
from flskew.strategies._sampling import available_nodes, sample
from flskew.strategies._stragglers import asked_epochs, without_stragglers
from flskew.strategies.history import History, Phase

__all__ = ["FedAvg", "MetricsAggregator"]

MetricsAggregator = Callable[[list[RecordDict], str], MetricRecord]
"""Makes one record of metrics from the contents of the replies that count, and the name of their weight."""

_logger = logging.getLogger("flwr")


class FedAvg(FlowerFedAvg):
    """Flower's FedAvg, with every reply checked before it counts.

    The mean of the clients' models, weighted by their numbers of examples. Beyond Flower's:

    - A reply counts if its arrays have the names, shapes and dtypes that were sent and are finite, and if its weight is
      positive. One that does not, an error, and a node that stays silent are dropped with a reason, and the round goes
      on without them. With fewer than `min_replies` left the run ends in a `RoundError` that lists the reasons, so the
      model is never empty or silently unchanged. An evaluation that fails does not end the run.
    - What a client trains counts, even if it reports fewer "local-epochs" than the config asked for, unless
      `drop_stragglers`.
    - Clients that say which split they use, and differ, are not mixed: that is a `RoundError` too.
    - Arrays keep their dtype; integers are rounded to the nearest. Averaging takes the memory of one model. Where all
      replies are good and float32 or float64 it is bit for bit Flower's.
    - Nodes are sampled by `seed`, whatever the order in which they are listed, and the global generator is not touched.
    - Metrics that only some clients report are averaged over those.
    - The records given to `start` are not changed.
    - `history` keeps what every client replied, and `result` what was reached, however the run ends.

    Args:
        fraction_train: Fraction of the nodes that train in a round, 0 ... 1.
        fraction_evaluate: Fraction of the nodes that evaluate in a round, 0 ... 1.
        min_train_nodes: At least so many train.
        min_evaluate_nodes: At least so many evaluate.
        min_available_nodes: A round begins when so many nodes are connected, or as many as train or evaluate.
        weighted_by_key: The name of the weight in a reply's metrics.
        arrayrecord_key: The name of the arrays in a message.
        configrecord_key: The name of the config in a message.
        train_metrics_aggr_fn: Aggregates training metrics; None is the weighted mean.
        evaluate_metrics_aggr_fn: Aggregates evaluation metrics; None is the weighted mean.
        min_replies: So many training replies must count, >= 0. With 0, a round in which none does leaves the model as
            it was; the log warns of it, and the history has it.
        min_evaluate_replies: So many replies of an evaluation must count, >= 0.
        seed: Any integer; decides which nodes take part in which round.
        node_patience: Seconds to wait for nodes to connect before a round, > 0.
        drop_stragglers: Whether to drop a reply that reports fewer "local-epochs" in its metrics than the config that
            was sent to it has under that name. A reply that reports none counts.

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
        # By its name, not super(): in FedProx the next class would be Flower's FedProx, which takes mu for 0.
        FlowerFedAvg.__init__(
            self,
            fraction_train=_arguments.fraction("fraction_train", fraction_train),
            fraction_evaluate=_arguments.fraction("fraction_evaluate", fraction_evaluate),
            min_train_nodes=checks.integer("min_train_nodes", min_train_nodes, minimum=0),
            min_evaluate_nodes=checks.integer("min_evaluate_nodes", min_evaluate_nodes, minimum=0),
            min_available_nodes=checks.integer("min_available_nodes", min_available_nodes, minimum=0),
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn or aggregate_metrics,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn or aggregate_metrics,
        )
        self.seed = checks.seed(seed, otherwise="each run would draw other nodes")
        self.node_patience = _arguments.seconds("node_patience", node_patience)
        self.drop_stragglers = checks.truth("drop_stragglers", drop_stragglers)
        self._ledger = Ledger(weighted_by_key, arrayrecord_key, min_replies, min_evaluate_replies)

    @property
    def result(self) -> Result:
        """What the last `start` has reached so far: the latest model, and the metrics."""
        return self._ledger.result

    @property
    def history(self) -> History:
        """What happened since the last `start`: a training and, unless it is off, an evaluation for every round."""
        return self._ledger.history

    def summary(self) -> None:
        """Log the configuration."""
        self._ledger.summary()
        _logger.info("\t├──> Seed of the sampling: %d", self.seed)
        _logger.info("\t├──> Partial work of stragglers is %s", "dropped" if self.drop_stragglers else "used")
        super().summary()

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: ServerEvaluation | None = None,
        *,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Result:
        """Run Flower's own loop and return its `Result`; with nothing to train, its arrays are the initial ones.

        Whatever ends the run before its time, `result` has the latest model and the metrics so far.

        Args:
            grid: Reaches the nodes.
            initial_arrays: The model of round 0: at least one array, all finite numbers.
            num_rounds: How many rounds to run, >= 0.
            timeout: Seconds to wait for replies, > 0.
            train_config: Sent to the clients that train, with "server-round" added to a copy of it.
            evaluate_config: The same for evaluation.
            evaluate_fn: Evaluates the model at the server, before the first round and after each.
            checkpoint_dir: A folder that takes what is reached after every round, for `resume` and `Checkpoint.load`;
                None writes nothing.
            resume: Go on from the last whole round in `checkpoint_dir`, if there is one; only the rounds up to
                `num_rounds` that are missing are run.

        Raises:
            TypeError: `initial_arrays` is not an ArrayRecord, or a number is of the wrong type.
            ValueError: `initial_arrays` is empty or cannot be averaged, a number is out of its range, stragglers are to
                be dropped and `train_config` has no "local-epochs", or what is in `checkpoint_dir` is damaged or of
                another model or strategy.
            FileExistsError: There is a run in `checkpoint_dir`, and `resume` is false.
            TimeoutError: Too few nodes connected.
            RoundError: Too few replies counted, or clients use different splits.
        """
        return run_rounds(
            self, self._ledger,
            grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn,
            checkpoint_dir, resume,
        )  # fmt: skip

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to train.

        Raises:
            TimeoutError: Too few nodes connected.
            ValueError: Stragglers are to be dropped, and the config does not say how many local epochs it asks for.
        """
        if self.drop_stragglers:
            asked_epochs(config)
        return self._configure("train", server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask the sampled nodes to evaluate."""
        return self._configure("evaluate", server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the replies that count, and of their metrics; None for both if none has to and none does.

        Raises:
            RoundError: Too few replies count, or clients use different splits.
        """
        judgement = self._ledger.judge("train", server_round, replies)
        if judgement is None:
            return None, None
        if self.drop_stragglers:
            judgement = without_stragglers(judgement, self.configrecord_key)
        arrays = _mean(judgement)
        if arrays is None:
            # Only now is each reply searched for NaN: where all are good, nobody waits for it.
            judgement = judgement.without_infinite()
        self._ledger.close(judgement)
        if not judgement.counted:
            _logger.warning("\t> No train reply of round %d counts: the model stays as it was", server_round)
            return None, None
        arrays = arrays or _mean(judgement)
        if arrays is None:
            raise round_error(judgement, "the mean of finite arrays is not finite; they are too large for their dtype")
        return arrays, self.train_metrics_aggr_fn(judgement.contents(), self.weighted_by_key)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return the mean of the metrics of the replies that count; None if none does."""
        judgement = self._ledger.judge("evaluate", server_round, replies)
        if judgement is None:
            return None
        self._ledger.close(judgement)
        if not judgement.counted:
            return None
        return self.evaluate_metrics_aggr_fn(judgement.contents(), self.weighted_by_key)

    def _configure(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        is_train = phase == "train"
        fraction = self.fraction_train if is_train else self.fraction_evaluate
        if fraction == 0.0:
            return []
        # Both halves of a round, so that it does not fail in the second one; Flower's minimum of a half left out is 0.
        needed = max(self.min_available_nodes, self.min_train_nodes, self.min_evaluate_nodes, 1)
        node_ids = available_nodes(grid, needed, self.node_patience)
        if not is_train:
            node_ids = [node_id for node_id in node_ids if self._ledger.evaluates(node_id)]
            if not node_ids:
                return []
        # The small number undoes the rounding of, say, 100 * 0.29 = 28.999999999999996.
        size = math.floor(len(node_ids) * fraction + 1e-9)
        minimum = self.min_train_nodes if is_train else self.min_evaluate_nodes
        chosen = sample(node_ids, max(size, minimum, 1), seed=self.seed, server_round=server_round, phase=phase)
        _logger.info("configure_%s: Sampled %d nodes (out of %d)", phase, len(chosen), len(node_ids))
        copied = ConfigRecord({**config, "server-round": server_round})
        record = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: copied})
        message_type = MessageType.TRAIN if is_train else MessageType.EVALUATE
        messages = [Message(record, node_id, message_type) for node_id in chosen]
        return self._ledger.note_sent(phase, server_round, messages, arrays)


def _mean(judgement: Judgement) -> ArrayRecord | None:
    """Return the mean of the replies that count; None if there is none, or if it is not finite."""
    counted = judgement.in_order()
    if not counted:
        return None
    drafts = {name: Draft(array) for name, array in zip(judgement.like, counted[0].parameters, strict=True)}
    try:
        weighted_mean(
            [reply.parameters for reply in counted],
            [reply.weight for reply in counted],
            out=[draft.numbers for draft in drafts.values()],
        )
    except NotFiniteError:
        return None
    return ArrayRecord({name: draft.finish() for name, draft in drafts.items()})
