"""The checks of `FedAvg` around any other Flower strategy."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic, Strategy

from flskew._arrays.casting import narrowed, widened
from flskew._arrays.records import ParametersError
from flskew._flower import FreedRecords
from flskew._util import checks
from flskew.strategies import _arguments
from flskew.strategies._checks import CheckedReply
from flskew.strategies._flower_state import call_of, get_state, needed_metrics, nested, noisy, set_state
from flskew.strategies._judgement import Judgement
from flskew.strategies._metrics import aggregate_metrics, shared_keys
from flskew.strategies._pipeline import Pipeline
from flskew.strategies._record import round_error
from flskew.strategies._sampling import available_nodes
from flskew.typing import MetricValue, Phase

__all__ = ["Checked"]

_logger = logging.getLogger("flwr")


class Checked(Pipeline):
    """Any Flower strategy, with every reply checked before the strategy sees it.

    Use it when you need one of Flower's strategies, such as a robust mean against bad clients, or one of your own.

    The checks, the history and the errors are those of `FedAvg`. The wrapped strategy decides how the accepted replies
    are combined, and which nodes are sampled. Flower's strategies sample with Python's global generator, and wait
    indefinitely for the nodes they need, except on a `LocalGrid`, where no node can join. In addition:

    - The strategy computes with floats: it sees float16 and bfloat16 as float32, integers and booleans as float64, and
      0-d arrays as arrays of shape (1,). Clients and the result get the dtypes and shapes of the initial model;
      integers are rounded to the nearest.
    - The strategy sees one ArrayRecord, one MetricRecord and the ConfigRecords of a reply, and only the metrics that
      all replies share. The others are averaged over the replies that have them and added to its metrics.
    - A model that the strategy makes must be finite, with the names and shapes of the previous one. Any other model is
      a `RoundError`.
    - Checkpoints save the state of Flower's strategies. For checkpoints, your own strategy needs the methods
      `state_dict()` and `load_state_dict(state)`.

    Args:
        strategy: A strategy of Flower's, or your own, that combines the clients' models into one. Its `weighted_by_key`
            and `arrayrecord_key` apply; if it wraps another strategy, those of the inner one.
        min_replies: Minimum number of accepted training replies, >= 1.
        min_evaluate_replies: Minimum number of accepted evaluation replies, >= 0.
        max_update_norm: Largest norm, > 0, of the difference between a reply and the arrays that were sent to its
            client; replies with a larger update are dropped. None accepts any update.

    Raises:
        TypeError: `strategy` is not a Flower strategy, already checks its replies (like `FedAvg`), or grows trees.
        ValueError: A number is out of range.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flwr.serverapp.strategy import FedMedian
        >>> from flskew import Checked, LocalGrid, client_app, partition_id
        >>> class Diverges:
        ...     def __init__(self, context):
        ...         self.value = [1.0, 2.0, 9.0, np.nan][partition_id(context)]
        ...
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + self.value], 10, {}
        >>> strategy = Checked(FedMedian(fraction_evaluate=0.0))
        >>> grid = LocalGrid(client_app(Diverges), 4)
        >>> result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
        >>> result.arrays.to_numpy_ndarrays()
        [array([2.])]
        >>> [failure.node_id for failure in strategy.history[0].failures]
        [1003]
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        min_replies: int = 1,
        min_evaluate_replies: int = 0,
        max_update_norm: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(strategy, Strategy):
            raise TypeError(f"strategy must be a flwr.serverapp.strategy.Strategy, got {type(strategy).__name__}")
        if isinstance(strategy, Pipeline):
            raise TypeError(f"{type(strategy).__name__} already checks its replies; use it directly")
        if isinstance(strategy, FedXgbBagging | FedXgbCyclic):
            raise TypeError(
                f"{type(strategy).__name__} grows trees, but Checked needs a model of constant size; use it directly"
            )
        self.strategy = strategy
        self.weighted_by_key = _setting(strategy, "weighted_by_key", "num-examples")
        self.arrayrecord_key = _setting(strategy, "arrayrecord_key", "arrays")
        self.min_replies = checks.integer("min_replies", min_replies, minimum=1)
        self.min_evaluate_replies = checks.integer("min_evaluate_replies", min_evaluate_replies, minimum=0)
        self.max_update_norm = _arguments.norm("max_update_norm", max_update_norm)

    def __repr__(self) -> str:
        """The call that makes it."""
        options = {
            "min_replies": (self.min_replies, 1),
            "min_evaluate_replies": (self.min_evaluate_replies, 0),
            "max_update_norm": (self.max_update_norm, None),
        }
        shown = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return f"Checked({', '.join([call_of(self.strategy), *shown])})"

    def summary(self) -> None:
        """Log the configuration."""
        _logger.info("\t├──> %r", self)
        self.strategy.summary()

    def state_dict(self) -> dict[str, Any]:
        """Return what the wrapped strategy remembers from round to round.

        Raises:
            TypeError: It is neither Flower's nor has `state_dict` and `load_state_dict`.
        """
        return {"strategies": get_state(self.strategy)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; settings stay those of this strategy."""
        set_state(self.strategy, state["strategies"])

    def _messages(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if getattr(grid, "nodes_are_fixed", False):  # Flower's strategies would wait forever
            available_nodes(grid, _nodes_awaited(self.strategy, phase), patience=0.0)
        if phase == "evaluate":
            messages = self.strategy.configure_evaluate(server_round, arrays, config, grid)
            return [message for message in messages if self._record.evaluates(message.metadata.dst_node_id)]
        shown = widened(arrays, like=arrays)
        messages = list(self.strategy.configure_train(server_round, shown, config, grid))
        if _kinds(shown) != _kinds(arrays):
            for message in messages:
                sent = message.content.get(self.arrayrecord_key)
                # A strategy may also send arrays other than the model's; those are left unchanged.
                if isinstance(sent, ArrayRecord) and set(_kinds(sent)) <= set(_kinds(shown)):
                    like = ArrayRecord({name: arrays[name] for name in sent})
                    message.content[self.arrayrecord_key] = narrowed(sent, like)
        return messages

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        reasons = {
            place: f"metric {key!r} must be a finite number >= 0, as {name} needs it"
            for key, name in needed_metrics(self.strategy).items()
            for place, reply in judgement.counted.items()
            if not _is_no_less_than_zero(reply.metrics.get(key))
        }
        return super()._screen(judgement.without(reasons))

    def _combine(self, judgement: Judgement, made: ArrayRecord | None) -> tuple[ArrayRecord, MetricRecord | None]:
        shown, unshared = self._shown(judgement)
        combined, metrics = self.strategy.aggregate_train(judgement.sent.server_round, shown)
        name = type(self.strategy).__name__
        if not combined:
            raise round_error(judgement, f"{name} made no model from {len(shown)} replies; the log may say why")
        model = judgement.sent.model
        try:
            arrays = narrowed(combined, like=model if set(combined) == set(model) else judgement.like)
        except ParametersError as error:
            raise round_error(judgement, f"{name} made an unusable model from {len(shown)} replies: {error}") from error
        return arrays, self._with_unshared(metrics, unshared)

    def _combine_metrics(self, judgement: Judgement) -> MetricRecord | None:
        shown, unshared = self._shown(judgement)
        metrics = self.strategy.aggregate_evaluate(judgement.sent.server_round, shown)
        return self._with_unshared(metrics, unshared)

    def _nothing_trained(self, server_round: int) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.strategy.aggregate_train(server_round, [])

    def _nothing_evaluated(self, server_round: int) -> MetricRecord | None:
        return self.strategy.aggregate_evaluate(server_round, [])

    def _kinds(self) -> list[str]:
        return [type(self).__name__, *(type(inner).__name__ for inner in nested(self.strategy) if inner is not self)]

    def _noise(self) -> str | None:
        return noisy(self.strategy)

    def _shown(self, judgement: Judgement) -> tuple[list[Message], list[RecordDict]]:
        """Return the replies as the strategy sees them, and the metrics that it does not see."""
        counted = judgement.in_order()
        shared = shared_keys([reply.metrics for reply in counted])
        first = counted[0]  # Flower requires the same names in all replies
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
        records: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
            key: record for key, record in content.items() if isinstance(record, ConfigRecord)
        }
        if first.model_key is not None and reply.model_key is not None:
            records[first.model_key] = widened(reply.model, like)
        records[first.metrics_key] = MetricRecord({key: reply.metrics[key] for key in shared})
        shown = copy.copy(reply.message)
        shown.content = FreedRecords(records)
        return shown

    def _with_unshared(self, metrics: MetricRecord | None, unshared: list[RecordDict]) -> MetricRecord | None:
        if metrics is None:
            return None
        return MetricRecord({**aggregate_metrics(unshared, self.weighted_by_key), **metrics})


def _kinds(arrays: ArrayRecord) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(name, array.dtype, tuple(array.shape)) for name, array in arrays.items()]


def _is_no_less_than_zero(value: MetricValue | None) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _nodes_awaited(strategy: Strategy, phase: Phase) -> int:
    """Return how many nodes Flower's strategies wait for before they sample."""
    minimums = [
        getattr(inner, "min_available_nodes", 0) if getattr(inner, f"fraction_{phase}", 0.0) else 0
        for inner in nested(strategy)
    ]
    return max(minimums)


def _setting(strategy: object, name: str, default: str) -> str:
    """Return an attribute of the strategy, or of the one that it wraps."""
    while strategy is not None:
        value = getattr(strategy, name, None)
        if isinstance(value, str):
            return value
        strategy = getattr(strategy, "strategy", None)
    return default
