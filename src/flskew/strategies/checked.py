"""The checks of `FedAvg` around any other Flower strategy."""

from __future__ import annotations

import copy

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic, Strategy

from flskew._arrays.casting import narrowed, widened
from flskew._arrays.records import ParametersError
from flskew._util import checks
from flskew.strategies._checks import CheckedReply
from flskew.strategies._errors import round_error
from flskew.strategies._judgement import Judgement
from flskew.strategies._metrics import aggregate_metrics, shared_keys
from flskew.strategies._pipeline import Pipeline
from flskew.typing import Phase

__all__ = ["Checked"]


class Checked(Pipeline):
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
        if isinstance(strategy, Pipeline):
            raise TypeError(f"{type(strategy).__name__} checks its replies already; use it as it is")
        if isinstance(strategy, FedXgbBagging | FedXgbCyclic):
            raise TypeError(f"{type(strategy).__name__} grows trees, and a model must keep its size; use it unchecked")
        super().__init__(
            _setting(strategy, "weighted_by_key", "num-examples"),
            _setting(strategy, "arrayrecord_key", "arrays"),
            checks.integer("min_replies", min_replies, minimum=1),
            min_evaluate_replies,
        )
        self.strategy = strategy

    def summary(self) -> None:
        """Log the configuration."""
        super().summary()
        self.strategy.summary()

    def _ask(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the strategy's messages, in the dtypes of the model."""
        if phase == "evaluate":
            return list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        shown = widened(arrays, like=arrays)
        messages = list(self.strategy.configure_train(server_round, shown, config, grid))
        if _kinds(shown) != _kinds(arrays):
            for message in messages:
                sent = message.content.array_records.get(self.arrayrecord_key)
                # A strategy may also send arrays that are not the model's, which are left alone.
                if sent is not None and set(_kinds(sent)) <= set(_kinds(shown)):
                    like = ArrayRecord({name: arrays[name] for name in sent})
                    message.content[self.arrayrecord_key] = narrowed(sent, like)
        return messages

    def _combine(self, judgement: Judgement) -> tuple[ArrayRecord, MetricRecord | None]:
        shown, unshared = self._shown(judgement)
        made, metrics = self.strategy.aggregate_train(judgement.sent.server_round, shown)
        name = type(self.strategy).__name__
        if not made:
            raise round_error(judgement, f"{name} made no model of {len(shown)} replies; the log may say why")
        model = judgement.sent.model
        try:
            arrays = narrowed(made, like=model if set(made) == set(model) else judgement.like)
        except ParametersError as error:
            raise round_error(judgement, f"{name} made an unusable model of {len(shown)} replies: {error}") from error
        return arrays, self._with_unshared(metrics, unshared)

    def _combine_metrics(self, judgement: Judgement) -> MetricRecord | None:
        shown, unshared = self._shown(judgement)
        metrics = self.strategy.aggregate_evaluate(judgement.sent.server_round, shown)
        return self._with_unshared(metrics, unshared)

    def _train_without_nodes(self, server_round: int) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.strategy.aggregate_train(server_round, [])

    def _evaluate_without_nodes(self, server_round: int) -> MetricRecord | None:
        return self.strategy.aggregate_evaluate(server_round, [])

    def _shown(self, judgement: Judgement) -> tuple[list[Message], list[RecordDict]]:
        """Return the replies as the strategy sees them, and the metrics that it does not see."""
        counted = judgement.in_order()
        shared = shared_keys([reply.metrics for reply in counted])
        first = counted[0]  # Flower wants the same names in all replies
        shown = [self._shown_reply(reply, first, judgement.like, shared) for reply in counted]
        seen = frozenset(shared)
        kept = [[key for key in reply.metrics if key not in seen] for reply in counted]
        unshared = [
            RecordDict({"metrics": MetricRecord({key: reply.metrics[key] for key in (self.weighted_by_key, *keys)})})
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
        return MetricRecord({**aggregate_metrics(unshared, self.weighted_by_key), **metrics})


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
