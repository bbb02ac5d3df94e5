"""The best model of a run in progress, and how many rounds have not improved on it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from flwr.app import MetricRecord
from flwr.serverapp.strategy import Strategy

from flskew._flower import copied_arrays
from flskew._util import checks
from flskew._util.texts import listed
from flskew.strategies._flower_state import nested
from flskew.strategies.best import BestModel, KeepBest, RunResult
from flskew.strategies.checkpoints import Checkpoint

__all__ = ["BestSoFar"]

_logger = logging.getLogger("flwr")


class BestSoFar:
    """Keeps the best model in the result of a run; without a rule it does nothing.

    Args:
        strategy: The strategy that runs.
        keep_best: The metric or the rule that selects the model, as the user passed it; None keeps no model.
        stop_after: End the run after this many consecutive rounds without improvement, >= 1; None does not.
        has_evaluate_fn: Whether the server evaluates.

    Raises:
        TypeError: `keep_best` is neither a string nor a rule, or `stop_after` is not an integer.
        ValueError: The rule is incomplete, its source does not evaluate, or `stop_after` has no rule or is less than 1.
    """

    def __init__(self, strategy: Strategy, keep_best: object, stop_after: object, *, has_evaluate_fn: bool) -> None:
        self._rule = rule = _rule(keep_best)
        self._stop_after = checks.optional_integer("stop_after", stop_after, minimum=1)
        self._waited = 0
        self._source: str | None = None
        if rule is None:
            if self._stop_after is not None:
                raise ValueError(
                    f"stop_after={self._stop_after} needs a metric that must improve; pass its name as keep_best"
                )
            return
        self._source = rule.source or ("server" if has_evaluate_fn else "clients")
        if self._source == "server" and not has_evaluate_fn:
            raise ValueError(f"keep_best={rule} needs the server's evaluation; pass evaluate_fn")
        is_disabled = any(getattr(inner, "fraction_evaluate", None) == 0.0 for inner in nested(strategy))
        if self._source == "clients" and is_disabled:
            raise ValueError(
                f"keep_best={rule} needs the clients' evaluation, got fraction_evaluate=0.0; raise it, or evaluate on "
                "the server with evaluate_fn"
            )

    def state_dict(self) -> dict[str, object]:
        """Return the rule and the number of rounds without improvement; the model is in the result."""
        metric, lower = (None, False) if self._rule is None else (self._rule.metric, bool(self._rule.lower_is_better))
        return {"metric": metric, "lower_is_better": lower, "source": self._source, "waited": self._waited}

    def resume(self, checkpoint: Checkpoint, folder: str) -> None:
        """Continue after a checkpoint.

        If its run kept no best model, that of the checkpoint is the first candidate.

        Args:
            checkpoint: The checkpoint.
            folder: How errors name its folder.

        Raises:
            ValueError: The run kept the best model by another rule, or this one keeps none.
            LookupError: The checkpoint's model was evaluated, but without this metric.
        """
        saved = checkpoint.state["best"]
        if saved["metric"] is None:
            if self._rule is not None:
                _logger.warning(
                    "%s has no best model: models before round %d are not compared", folder, checkpoint.server_round
                )
                self.consider(checkpoint.server_round, checkpoint.result)
            return
        have, want = ({**state, "waited": 0} for state in (saved, self.state_dict()))
        if have != want:
            rule = KeepBest(saved["metric"], lower_is_better=saved["lower_is_better"], source=saved["source"])
            raise ValueError(
                f"{folder} holds the best model by {rule}, which keep_best={self._rule} would lose; resume with the "
                "same keep_best and evaluate_fn, or choose another folder"
            )
        self._waited = saved["waited"]

    def consider(self, server_round: int, result: RunResult) -> None:
        """Compare the latest model with the best one, and keep it if its score is better.

        Args:
            server_round: The round that made it and evaluated it; 0 for the initial model.
            result: Has the model and its metrics; receives the best model.

        Raises:
            LookupError: The first evaluation does not have the metric.
            TypeError: The metric is a list of numbers.
        """
        value = None if self._rule is None else self._score(self._rule.metric, server_round, result)
        if self._rule is None or value is None:
            return
        best = result.best
        is_better = best is None or (value < best.value if self._rule.lower_is_better else value > best.value)
        if is_better and not math.isnan(value):
            _logger.info("\t> Best %r so far: %g", self._rule.metric, value)
            result.best = BestModel(server_round, value, copied_arrays(result.arrays))
            self._waited = 0
        elif server_round:
            self._waited += 1

    def reason_to_stop(
        self, server_round: int, result: RunResult, should_stop: Callable[[int, RunResult], bool] | None
    ) -> str:
        """Return why the run ends after a round; empty if it does not."""
        if should_stop is not None and should_stop(server_round, result):
            return "should_stop"
        return f"stop_after={self._stop_after}" if self._stop_after and self._waited >= self._stop_after else ""

    def check(self, result: RunResult) -> None:
        """Log the best model of a finished run.

        Raises:
            LookupError: No model has a score.
        """
        if self._rule is None:
            return
        metric = self._rule.metric
        if result.best is not None:
            _logger.info("Best model: round %d, %r %g", result.best.server_round, metric, result.best.value)
        elif any(metric in metrics for metrics in self._metrics(result).values()):
            _logger.warning("No best model: %r is NaN in every round", metric)
        else:
            raise LookupError(
                f"keep_best={metric!r}: no round has been evaluated by the {self._source}; the log has the reasons, "
                "and the strategy's `result` has the latest model"
            )

    def _metrics(self, result: RunResult) -> dict[int, MetricRecord]:
        return result.evaluate_metrics_serverapp if self._source == "server" else result.evaluate_metrics_clientapp

    def _score(self, metric: str, server_round: int, result: RunResult) -> float | None:
        evaluations = self._metrics(result)
        metrics = evaluations.get(server_round) or MetricRecord()
        value = metrics.get(metric)
        if value is None:
            if metrics and not any(metric in earlier for earlier in evaluations.values()):
                raise LookupError(
                    f"keep_best={metric!r} is not a metric of the {self._source}, whose evaluation of round "
                    f"{server_round} has [{listed(sorted(metrics))}]; report it, as NaN if it is undefined"
                )
            if server_round:  # the initial model is only scored if the server evaluates it
                _logger.warning("\t> Round %d has no %r from the %s: skipped", server_round, metric, self._source)
            return None
        if isinstance(value, list):
            raise TypeError(f"keep_best={metric!r} must be one number per round, got a list of {len(value)}")
        return float(value)


def _rule(keep_best: object) -> KeepBest | None:
    if keep_best is None or isinstance(keep_best, KeepBest):
        return keep_best
    if isinstance(keep_best, str):
        return KeepBest(keep_best)
    raise TypeError(f"keep_best must be the name of a metric or a KeepBest, got {keep_best!r:.80}")
