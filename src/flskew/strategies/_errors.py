"""The error raised when a round yields no model."""

from __future__ import annotations

from collections.abc import Sequence

from flskew.strategies._reasons import grouped, place_of
from flskew.strategies.best import RunResult
from flskew.strategies.history import Failure
from flskew.typing import Phase

__all__ = ["RoundError"]


class RoundError(RuntimeError):
    """A round has too few accepted replies, or replies that must not be mixed.

    The message lists each reason once, with the nodes that share it; if the engine sent a traceback, it
    ends with the line of your code that raised the exception. The error carries what was trained so far.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import FedAvg, LocalGrid, RoundError, client_app
        >>> class Diverges:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] * np.nan], 10, {}
        >>> grid = LocalGrid(client_app(lambda context: Diverges()), 2)
        >>> try:
        ...     FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(2)]))
        ... except RoundError as error:
        ...     print(error.server_round, [one.node_id for one in error.failures])
        ...     print(error.result.arrays["0"].numpy())
        1 [1000, 1001]
        [0. 0.]

    Attributes:
        server_round: The round.
        phase: "train" or "evaluate".
        failures: The nodes whose replies were dropped or missing.
        result: The result of the previous rounds: the latest model, or the initial one, the metrics and, with
            `keep_best`, the best model.
    """

    def __init__(
        self, message: str, server_round: int, phase: Phase, failures: Sequence[Failure], result: RunResult
    ) -> None:
        names = {failure.node_id: failure.name for failure in failures if failure.name is not None}
        lines = grouped(((failure.node_id, failure.reason) for failure in failures), names)
        place = next(filter(None, (place_of(failure.traceback) for failure in failures)), "")
        if place:
            lines.append(f"raised at {place}")
        super().__init__("\n  ".join((message, *lines)))
        self.server_round = server_round
        self.phase = phase
        self.failures = tuple(failures)
        self.result = result
