"""What a run has recorded: its history, the split of its clients, and which nodes only train."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from flskew.strategies._errors import round_error
from flskew.strategies._judgement import Judgement
from flskew.strategies._reasons import grouped, named
from flskew.strategies.history import History, Round

__all__ = ["RunRecord"]

_logger = logging.getLogger("flwr")


class RunRecord:
    """Record of one run.

    Attributes:
        history: The phases so far.
    """

    def __init__(self) -> None:
        self.history = History()
        self._splits: dict[str, dict[int, None]] = {}
        self._only_train: set[int] = set()

    def state_dict(self) -> dict[str, Any]:
        """Return what it knows beyond its history."""
        return {"splits": {split: list(nodes) for split, nodes in self._splits.items()}, "only_train": self._only_train}

    def load(self, history: History, state: Mapping[str, Any]) -> None:
        """Continue the record of an earlier run."""
        self.history.extend(history)
        self._splits = {split: dict.fromkeys(nodes) for split, nodes in state["splits"].items()}
        self._only_train = set(state["only_train"])

    def evaluates(self, node_id: int) -> bool:
        """Return whether to ask a node to evaluate: it has not said that it only trains."""
        return node_id not in self._only_train

    def close(self, judgement: Judgement, needed: int) -> None:
        """Enter a phase into the history.

        Args:
            judgement: The replies.
            needed: Minimum number of accepted replies.

        Raises:
            RoundError: Fewer replies were accepted than needed, or clients use different splits.
        """
        entry = judgement.round()
        self.history.append(entry)
        _log(entry)
        self._refuse_mixed_splits(judgement, entry)
        if judgement.abstained:
            self._only_train |= judgement.abstained
            _logger.info("\t> Only training, and not asked to evaluate again: %s", named(sorted(judgement.abstained)))
        counted = len(entry.replies)
        asked = counted + len(entry.failures) + len(judgement.abstained)
        if counted < needed:
            others = f" ({named(sorted(judgement.abstained))} only train)" if judgement.abstained else ""
            message = f"{counted} of {asked} {entry.phase} replies count, at least {needed} must{others}:"
            raise round_error(judgement, message)

    def _refuse_mixed_splits(self, judgement: Judgement, entry: Round) -> None:
        for reply in entry.replies:
            if reply.assignment is not None:
                self._splits.setdefault(reply.assignment, {})[reply.node_id] = None
        if len(self._splits) > 1:
            splits = "; ".join(f"{split[:12]} by {named(list(nodes))}" for split, nodes in self._splits.items())
            raise round_error(
                judgement,
                f"the clients use {len(self._splits)} different splits, {splits}; give all of them the same "
                "partitioner, seed and data set, otherwise several clients may hold the same row",
            )


def _log(entry: Round) -> None:
    _logger.info(
        "aggregate_%s: Received %d results and %d failures in %.1f s",
        entry.phase,
        len(entry.replies),
        len(entry.failures),
        entry.seconds,
    )
    for line in grouped((failure.node_id, failure.reason) for failure in entry.failures):
        _logger.warning("\t> Dropped %s", line)
    not_finite: dict[str, list[int]] = {}
    for reply in entry.replies:
        for key, value in reply.metrics.items():
            if not all(map(math.isfinite, value if isinstance(value, list) else [value])):
                not_finite.setdefault(key, []).append(reply.node_id)
    for key, nodes in not_finite.items():
        _logger.warning("\t> Metric %r of %s is NaN or infinite, and so is its mean", key, named(nodes))
