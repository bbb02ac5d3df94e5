"""The checks of `FedAvg` around any other Flower strategy."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic, Result, Strategy

from flskew._arrays.casting import narrowed, widened
from flskew._arrays.records import ParametersError
from flskew._util import checks
from flskew.strategies._checks import CheckedReply
from flskew.strategies._judgement import Judgement
from flskew.strategies._ledger import Ledger, round_error
from flskew.strategies._metrics import aggregate_metrics, shared_keys
from flskew.strategies._running import ServerEvaluation, run_rounds
from flskew.strategies.fedavg import FedAvg
from flskew.strategies.history import History

__all__ = ["Checked"]

_logger = logging.getLogger("flwr")


class Checked(Strategy):
    """Any Flower strategy, with every reply checked before the strategy sees it.

    The checks, the history and the errors are those of `FedAvg`; what is made of the replies that count, and which
    nodes are asked, is up to the strategy: Flower's own draw nodes from Python's global generator, and wait without
    end for as many as they need. Beyond that:

    - The strategy calculates with floats: it is shown float16 and bfloat16 as float32, integers and booleans as
      float64, and an array without dimensions as one of a single number. The clients get, and the result has, the
      dtypes and shapes of the initial model; integers are rounded to the nearest.
    - The strategy sees one ArrayRecord, one MetricRecord and the ConfigRecords of a reply, and of the metrics those
      that all replies have. The others are averaged over the replies that have them, and added to what it makes.
    - A model that it makes must have the names and shapes of the one before, and be finite. None at all, or another,
      is a `RoundError`.

    Args:
        strategy: A strategy of Flower's or your own that makes one model of the clients' models. Where it has
            `weighted_by_key` and `arrayrecord_key`, or the strategy in its `strategy` has them, they apply.
        min_replies: So many training replies must count, >= 1: what a strategy makes of none, its own state included,
            is not known.
        min_evaluate_replies: So many replies of an evaluation must count, >= 0.

    Raises:
        TypeError: `strategy` is no strategy, checks its replies already, or grows trees, whose size changes.
        ValueError: A number is out of its range.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flwr.serverapp.strategy import FedMedian
        >>> from flskew import Checked, LocalGrid, client_app
        >>> class Diverges:
        ...     def __init__(self, context):
        ...         self.value = [1.0, 2.0, 9.0, np.nan][context.node_config["partition-id"]]
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + self.value], 10, {}
        >>> strategy = Checked(FedMedian(fraction_evaluate=0.0))
        >>> result = strategy.start(LocalGrid(client_app(Diverges), 4), ArrayRecord([np.zeros(1)]), num_rounds=1)
        >>> result.arrays.to_numpy_ndarrays()
        [array([2.])]
        >>> [failure.node_id for failure in strategy.history[0].failures]
        [1003]
    """

    def __init__(self, strategy: Strategy, *, min_replies: int = 1, min_evaluate_replies: int = 0) -> None:
        if not isinstance(strategy, Strategy):
            raise TypeError(f"strategy must be a flwr.serverapp.strategy.Strategy, got {type(strategy).__name__}")
        if isinstance(strategy, FedAvg | Checked):
            raise TypeError(f"{type(strategy).__name__} checks its replies already; use it as it is")
        if isinstance(strategy, FedXgbBagging | FedXgbCyclic):
            raise TypeError(f"{type(strategy).__name__} grows trees, and a model must keep its size; use it unchecked")
        self.strategy = strategy
        self._weighted_by_key = _setting(strategy, "weighted_by_key", "num-examples")
        self._arrayrecord_key = _setting(strategy, "arrayrecord_key", "arrays")
        needed = checks.integer("min_replies", min_replies, minimum=1)
        self._ledger = Ledger(self._weighted_by_key, self._arrayrecord_key, needed, min_evaluate_replies)

    @property
    def result(self) -> Result:
        """What the last `start` has reached so far: the latest model, and the metrics."""
        return self._ledger.result

    @property
    def history(self) -> History:
        """What happened since the last `start`, as in `FedAvg`."""
        return self._ledger.history

    def summary(self) -> None:
        """Log the configuration."""
        _logger.info("\t├──> %s, its replies checked", type(self.strategy).__name__)
        self._ledger.summary()
        self.strategy.summary()

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
        """Run Flower's own loop and return its `Result`; as `FedAvg.start`."""
        return run_rounds(
            self, self._ledger,
            grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn,
            checkpoint_dir, resume,
        )  # fmt: skip

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's messages, in the dtypes of the model."""
        shown = widened(arrays, like=arrays)
        messages = list(self.strategy.configure_train(server_round, shown, config, grid))
        if _kinds(shown) != _kinds(arrays):
            for message in messages:
                sent = message.content.array_records.get(self._arrayrecord_key)
                # A strategy may also send something else than arrays of the model, which is then its own affair.
                if sent is not None and set(_kinds(sent)) <= set(_kinds(shown)):
                    like = ArrayRecord({name: arrays[name] for name in sent})
                    message.content[self._arrayrecord_key] = narrowed(sent, like)
        return self._ledger.note_sent("train", server_round, messages, arrays)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's messages, without those to nodes that do not evaluate."""
        messages = self.strategy.configure_evaluate(server_round, arrays, config, grid)
        asked = [message for message in messages if self._ledger.evaluates(message.metadata.dst_node_id)]
        return self._ledger.note_sent("evaluate", server_round, asked, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the strategy makes of the replies that count."""
        judgement = self._ledger.judge("train", server_round, replies)
        if judgement is None:
            return self.strategy.aggregate_train(server_round, [])
        judgement = judgement.without_infinite()
        self._ledger.close(judgement)
        shown, unshared = self._shown(judgement)
        made, metrics = self.strategy.aggregate_train(server_round, shown)
        name = type(self.strategy).__name__
        if not made:
            raise round_error(judgement, f"{name} made no model of {len(shown)} replies; the log may say why")
        model = judgement.sent.model
        try:
            arrays = narrowed(made, like=model if set(made) == set(model) else judgement.like)
        except ParametersError as error:
            raise round_error(judgement, f"{name} made an unusable model of {len(shown)} replies: {error}") from error
        return arrays, self._with_unshared(metrics, unshared)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return what the strategy makes of the metrics of the replies that count."""
        judgement = self._ledger.judge("evaluate", server_round, replies)
        if judgement is None:
            return self.strategy.aggregate_evaluate(server_round, [])
        self._ledger.close(judgement)
        shown, unshared = self._shown(judgement)
        return self._with_unshared(self.strategy.aggregate_evaluate(server_round, shown), unshared)

    def _shown(self, judgement: Judgement) -> tuple[list[Message], list[RecordDict]]:
        """Return the replies as the strategy sees them, and the metrics that it does not see."""
        counted = judgement.in_order()
        if not counted:
            return [], []
        shared = shared_keys([reply.metrics for reply in counted])
        first = counted[0]  # Flower wants the same names in all replies
        shown = [self._shown_reply(reply, first, judgement.like, shared) for reply in counted]
        seen = frozenset(shared)
        kept = [[key for key in reply.metrics if key not in seen] for reply in counted]
        unshared = [
            RecordDict({"metrics": MetricRecord({key: reply.metrics[key] for key in (self._weighted_by_key, *keys)})})
            for reply, keys in zip(counted, kept, strict=True)
        ]
        return shown, unshared

    def _shown_reply(self, reply: CheckedReply, first: CheckedReply, like: ArrayRecord, shared: list[str]) -> Message:
        content = reply.message.content
        records: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {**content.config_records}
        if first.model_key is not None and reply.model_key is not None:
            records[first.model_key] = widened(content.array_records[reply.model_key], like)
        records[first.metrics_key] = MetricRecord({key: reply.metrics[key] for key in shared})
        shown = copy.copy(reply.message)
        shown.content = RecordDict(records)
        return shown

    def _with_unshared(self, metrics: MetricRecord | None, unshared: list[RecordDict]) -> MetricRecord | None:
        if metrics is None:
            return None
        return MetricRecord({**aggregate_metrics(unshared, self._weighted_by_key), **metrics})


def _kinds(arrays: ArrayRecord) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(name, array.dtype, tuple(array.shape)) for name, array in arrays.items()]


def _setting(strategy: object, name: str, default: str) -> str:
    """Return an attribute of the strategy, or of the one that it wraps."""
    while strategy is not None:
        value = getattr(strategy, name, None)
        if isinstance(value, str):
            return value
        strategy = getattr(strategy, "strategy", None)
    return default
