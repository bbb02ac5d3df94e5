"""The best model of a run: the rule that selects it, the model, and the result that holds it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Result

from flskew._util import checks
from flskew._util.values import call_repr

__all__ = ["BestModel", "KeepBest", "RunResult"]

# Lower is better for most metrics whose names end like this.
_LOSSES = ("loss", "error", "mse", "mae")


@dataclass(frozen=True, repr=False)
class KeepBest:
    """The rule that selects the best model of a run: `start(..., keep_best=KeepBest("loss", lower_is_better=True))`.

    A string means the same as a rule without options: `keep_best="accuracy"` keeps the model with the highest accuracy.
    The direction is never guessed. If the name of the metric ends in "loss", "error", "mse" or "mae", you must state
    it: keeping the model with the highest loss would be a silent mistake, and guessing the opposite would fail for
    "neg_log_loss".

    Args:
        metric: Name of the metric, one number per round.
        lower_is_better: True for losses and errors, False for accuracies and scores. None means False, and raises an
            error for the names above.
        source: Who evaluates: "server" for the metrics that `evaluate_fn` returns, "clients" for the aggregated metrics
            of the clients' evaluation. None takes the server's if there is an `evaluate_fn`, else the clients'.

    Raises:
        TypeError: `metric` is not a string, or `lower_is_better` is not a bool.
        ValueError: `metric` is empty, the direction of a loss is missing, or `source` is unknown.

    Examples:
        >>> from flskew import KeepBest
        >>> KeepBest("accuracy", source="clients")
        KeepBest(metric='accuracy', source='clients')
        >>> KeepBest("loss")
        Traceback (most recent call last):
        ...
        ValueError: keep_best='loss' would keep the model with the highest 'loss'; ...
    """

    metric: str
    _: KW_ONLY
    lower_is_better: bool | None = None
    source: Literal["server", "clients"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str):
            raise TypeError(f"metric must be the name of a metric, got {self.metric!r:.80}")
        if not self.metric:
            raise ValueError("metric must be the name of a metric, got ''")
        checks.choice("source", self.source, ("server", "clients", None))
        if self.lower_is_better is not None:
            checks.truth("lower_is_better", self.lower_is_better)
        elif self.metric.lower().endswith(_LOSSES):
            raise ValueError(
                f"keep_best={self.metric!r} would keep the model with the highest {self.metric!r}; use "
                f"KeepBest({self.metric!r}, lower_is_better=True), or False if higher is better"
            )

    def __repr__(self) -> str:
        """The call that makes it."""
        return call_repr(self)


@dataclass(frozen=True)
class BestModel:
    """The best model of a run so far.

    Attributes:
        server_round: The round that made it; 0 for the initial model.
        value: Its score.
        arrays: The model: a separate record, which the rest of the run does not change.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import BestModel
        >>> BestModel(server_round=3, value=0.875, arrays=ArrayRecord([np.zeros(2)]))
        BestModel(server_round=3, value=0.875)
    """

    server_round: int
    value: float
    arrays: ArrayRecord = field(repr=False)


@dataclass(repr=False)
class RunResult(Result):
    """Flower's `Result`, plus the best model.

    Attributes:
        arrays: The latest model.
        train_metrics_clientapp: Aggregated metrics of the clients' training, by round.
        evaluate_metrics_clientapp: Aggregated metrics of the clients' evaluation, by round.
        evaluate_metrics_serverapp: What `evaluate_fn` returned, by round; 0 is the initial model.
        best: The best model. None without `keep_best`, and until a model has a score other than NaN.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord, MetricRecord
        >>> from flskew import FedAvg, LocalGrid, client_app
        >>> class Adds:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + 1], 10, {}
        >>> def evaluate(server_round, arrays):
        ...     return MetricRecord({"accuracy": [0.1, 0.6, 0.9, 0.7][server_round]})
        >>> grid = LocalGrid(client_app(lambda context: Adds()), 2)
        >>> start, strategy = ArrayRecord([np.zeros(1)]), FedAvg(fraction_evaluate=0.0)
        >>> result = strategy.start(
        ...     grid, start, num_rounds=3, evaluate_fn=evaluate, keep_best="accuracy"
        ... )
        >>> result.best
        BestModel(server_round=2, value=0.9)
        >>> result.best.arrays["0"].numpy(), result.arrays["0"].numpy()
        (array([2.]), array([3.]))
    """

    best: BestModel | None = None

    def __repr__(self) -> str:
        """Flower's text, and the best model if there is one."""
        best = "" if self.best is None else f"\nBest model:\n\tRound {self.best.server_round}: {self.best.value:g}\n"
        return super().__repr__() + best
