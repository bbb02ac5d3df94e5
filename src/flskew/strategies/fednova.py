"""FedNova: normalized averaging, without a bias towards clients that take more steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import wide_float
from flskew._arrays.records import ParametersError, numpy_from_array
from flskew._util import checks
from flskew._wire import COUNT_STEPS_KEY, LOCAL_STEPS_KEY
from flskew.strategies._checks import CheckedReply
from flskew.strategies._judgement import Judgement
from flskew.strategies._record import round_error
from flskew.strategies._terms import changed, stretch
from flskew.strategies.fedavg import FedAvg
from flskew.typing import Phase

__all__ = ["FedNova"]


@dataclass(repr=False, eq=False)
class FedNova(FedAvg):
    """FedNova: FedAvg with normalized updates, so that a client that takes more steps does not pull harder.

    Use it when clients take different numbers of steps in a round. Training can diverge if some take many times as many
    as others.

    Clients with more rows, more epochs or faster machines take more steps in a round. FedAvg then converges to a model
    that favours their rows beyond their weight, which the paper calls objective inconsistency. FedNova divides each
    update by the client's number of effective steps, averages by numbers of examples, and multiplies by the mean number
    of effective steps. If all clients take the same number of steps, it is FedAvg, bit for bit.

    `LocalTerm.from_config(config, model)` counts the steps in the client's `fit`. A client without it can report them
    as the metric "local-steps".

    Args:
        momentum: Momentum of the clients' SGD, 0 <= momentum < 1. With momentum m, a gradient also moves the weights
            in all later steps, so K steps count as (K - m·(1 - m^K) / (1 - m)) / (1 - m) effective steps. All other
            arguments are those of `FedAvg`, in the same order.

    Raises:
        TypeError: A number has the wrong type.
        ValueError: A number is out of range.

    References:
        J. Wang, Q. Liu, H. Liang, G. Joshi, H. V. Poor: "Tackling the Objective Inconsistency Problem in
        Heterogeneous Federated Optimization", NeurIPS 2020, https://arxiv.org/abs/2007.07481.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import LocalGrid, client_app, partition_id
        >>> class Client:
        ...     def __init__(self, context):
        ...         self.steps, self.sign = [(1, 1), (9, -1)][partition_id(context)]
        ...
        ...     def fit(self, parameters, config):
        ...         moved = parameters[0] + self.steps * self.sign
        ...         return [moved], 10, {"local-steps": self.steps}
        >>> grid = LocalGrid(client_app(Client), 2)
        >>> strategy = FedNova(fraction_evaluate=0.0)
        >>> result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
        >>> # FedAvg: (1 - 9) / 2 = -4; FedNova: 5 * (1 - 1) / 2 = 0
        >>> result.arrays["0"].numpy()
        array([0.])
    """

    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.momentum = checks.not_negative("momentum", self.momentum, "0 is plain SGD, 0.9 is typical")
        if self.momentum >= 1:
            raise ValueError(f"momentum must be below 1, got {self.momentum}; 0.9 is typical")

    def _refuse_other_loops(self) -> None:
        raise self._needs_start(type(self).__name__)

    def _contents(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, node_ids: Sequence[int]
    ) -> list[RecordDict]:
        asks = {COUNT_STEPS_KEY: True} if phase == "train" else {}
        return super()._contents(phase, server_round, arrays, ConfigRecord({**config, **asks}), node_ids)

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        reason = (
            "it does not report how many steps it took, at least 1; use LocalTerm in fit, or report the metric "
            f"{LOCAL_STEPS_KEY!r}"
        )
        return super()._screen(
            judgement.without({place: reason for place, reply in judgement.counted.items() if _steps(reply) < 1})
        )

    def _weights(self, judgement: Judgement) -> list[float]:
        most = max((self._effective(reply) for reply in judgement.counted.values()), default=1.0)
        return [reply.weight * (most / self._effective(reply)) for reply in judgement.in_order()]

    def _combine(self, judgement: Judgement, made: ArrayRecord | None) -> tuple[ArrayRecord, MetricRecord]:
        mean, metrics = super()._combine(judgement, made)
        replies = judgement.in_order()
        steps = [self._effective(reply) for reply in replies]
        if len(set(steps)) == 1:
            return mean, metrics
        total = sum(reply.weight for reply in replies)
        mean_steps = sum(reply.weight * count for reply, count in zip(replies, steps, strict=True)) / total
        mean_rate = sum(reply.weight / count for reply, count in zip(replies, steps, strict=True)) / total
        factor, before = mean_steps * mean_rate, judgement.sent.model

        def move(name: str, numbers: NDArray[Any]) -> None:
            stretch(numbers, wide_float(numpy_from_array(before[name])), factor)

        # Without a report on the terms, every array of floats is taken for a weight.
        terms = [reply.term for reply in replies]
        covered = [name for name in mean if all(term is None or name in term.arrays for term in terms)]
        floats = [name for name in covered if wide_float(numpy_from_array(mean[name])).dtype.kind in "fc"]
        try:
            return changed(mean, self._body(judgement, floats), move), metrics
        except ParametersError as error:
            raise round_error(judgement, f"FedNova has diverged, {error}; lower the learning rate") from error

    def _effective(self, reply: CheckedReply) -> float:
        steps, m = _steps(reply), self.momentum
        return float((steps - m * (1 - m**steps) / (1 - m)) / (1 - m))


def _steps(reply: CheckedReply) -> float:
    """Return the number of steps of a reply; 0 if it reports none."""
    steps = reply.metrics.get(LOCAL_STEPS_KEY, reply.term.steps if reply.term else 0)
    return steps if isinstance(steps, int | float) and 1 <= steps < 2**53 else 0
