"""Record of one run: the messages sent, the history, and what the clients said about themselves."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, Message, MetricRecord

from flskew._util.texts import listed
from flskew.strategies._errors import RoundError
from flskew.strategies._judgement import Judgement, Sent
from flskew.strategies._reasons import grouped, named
from flskew.strategies._sites import Site, names_of, sites_of
from flskew.strategies.best import RunResult
from flskew.strategies.history import History, Reply, Round
from flskew.typing import Phase

__all__ = ["RunRecord", "round_error"]

_logger = logging.getLogger("flwr")
# With fewer than three norms, none is an outlier.
_OUTLIER, _FEWEST_NORMS = 10, 3
# Maximum number of metric names remembered as already logged.
_MOST_UNSENT = 1000
_ONE_NODE_EACH = 'start one SuperNode per partition, each with its own "partition-id" in --node-config'

_SAME_SPLIT = "partitioner, seed and data set"


class RunRecord:
    """Record of one run.

    Attributes:
        history: The rounds so far.
        result: The latest model and the metrics so far.
        sites: The partitions of the nodes that have replied, by node.
    """

    def __init__(self) -> None:
        self.history = History()
        self.result = RunResult()
        self.sites: dict[int, Site] = {}
        self._sent: dict[Phase, Sent] = {}
        self._has_warned_of_shared_partitions = False
        self._splits: dict[str, dict[int, None]] = {}
        self._only_train: set[int] = set()
        self._unsent: set[str] = set()

    def state_dict(self) -> dict[str, object]:
        """Return what the record contains beyond the history and the result."""
        return {"splits": {split: list(nodes) for split, nodes in self._splits.items()}, "only_train": self._only_train}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the history has been restored before."""
        self.sites = sites_of(self.history)
        self._splits = {split: dict.fromkeys(nodes) for split, nodes in state["splits"].items()}
        self._only_train = set(state["only_train"])

    def last_round(self, done: int) -> int:
        """Return the last round with an entry in the history, or `done` if there is none."""
        return max((entry.server_round for entry in self.history), default=done)

    def metrics(self, server_round: int) -> MetricRecord:
        """Return the metrics of a round: those of the server if it evaluates, otherwise those of the clients."""
        result = self.result
        sources = (result.evaluate_metrics_serverapp, result.evaluate_metrics_clientapp, result.train_metrics_clientapp)
        return next((metrics[server_round] for metrics in sources if server_round in metrics), MetricRecord())

    def evaluates(self, node_id: int) -> bool:
        """Return whether to ask a node to evaluate: not if it has replied that it only trains."""
        return node_id not in self._only_train

    def expect(self, phase: Phase, server_round: int, messages: Iterable[Message], model: ArrayRecord) -> None:
        """Remember the messages of one phase until their replies are checked."""
        # Flower's strategies shuffle their nodes. Sorting makes the result independent of that order.
        in_order = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        self._sent[phase] = Sent(server_round, phase, tuple(in_order), model, time.monotonic())

    def take_sent(self, phase: Phase, server_round: int) -> Sent:
        """Return and forget the messages of one phase; `Sent.messages` is empty if they are unknown."""
        sent = self._sent.pop(phase, None)
        if sent is None or sent.server_round != server_round:
            return Sent(server_round, phase, (), ArrayRecord(), time.monotonic())
        return sent

    def close(self, judgement: Judgement, needed: int) -> None:
        """Add one phase of a round to the history.

        Raises:
            RoundError: Fewer than `needed` replies were accepted, or clients use different splits or hold the same
                partition.
        """
        entry = judgement.round()
        self.history._add([entry])
        self.sites.update(sites_of([entry]))
        _log(entry, names_of(self.sites))
        self._log_unsent(judgement)
        self._refuse_mixed_splits(judgement, entry)
        self._refuse_shared_partitions(judgement, entry)
        abstained = sorted(judgement.abstained)
        if abstained:
            self._only_train.update(abstained)
            _logger.info("\t> Clients that only train, and are not asked to evaluate again: %s", self.named(abstained))
        counted = len(entry.replies)
        if counted < needed:
            asked = counted + len(entry.failures) + len(abstained) + len(entry.absent)
            others = f" ({self.named(abstained)} only train)" if abstained else ""
            others += f" (absent: {self.named(list(entry.absent))})" if entry.absent else ""
            message = f"accepted {counted} of {asked} {entry.phase} replies, needs at least {needed}{others}:"
            raise round_error(judgement, message)

    def _log_unsent(self, judgement: Judgement) -> None:
        """Log the metrics that clients could not send, each name once in a run."""
        names = dict.fromkeys(name for reply in judgement.in_order() for name in reply.unsent_metrics)
        new = [name for name in names if name not in self._unsent][: _MOST_UNSENT - len(self._unsent)]
        if new:
            self._unsent.update(new)
            _logger.warning("\t> Metrics left out by clients, since only numbers can be sent: %s", listed(new))

    def _refuse_mixed_splits(self, judgement: Judgement, entry: Round) -> None:
        for reply in entry.replies:
            if reply.assignment is not None:
                self._splits.setdefault(reply.assignment, {})[reply.node_id] = None
        if len(self._splits) > 1:
            nodes = [node for of_split in self._splits.values() for node in of_split]
            changed = len(nodes) > len(set(nodes))
            remedy = "flskew.Schedule, since rows change from round to round" if changed else _SAME_SPLIT
            splits = "; ".join(f"{split[:12]} by {self.named(list(nodes))}" for split, nodes in self._splits.items())
            raise round_error(
                judgement,
                f"the clients use {len(self._splits)} different splits, {splits}; a row may belong to several clients, "
                f"so give all of them the same {remedy}",
            )

    def _refuse_shared_partitions(self, judgement: Judgement, entry: Round) -> None:
        """Refuse clients that train on the same rows; without a fingerprint that proves it, only warn."""
        holders: dict[int, list[Reply]] = {}
        for reply in entry.replies:
            if reply.partition_id is not None:
                holders.setdefault(reply.partition_id, []).append(reply)
        for partition_id, replies in sorted(holders.items()):
            nodes = [reply.node_id for reply in replies]
            if len(nodes) < 2:
                continue
            text = f"{self.named(nodes)} all hold partition {partition_id}" if len(nodes) > 2 else ""
            text = text or f"{self.named(nodes)} both hold partition {partition_id}"
            splits = [reply.assignment for reply in replies if reply.assignment is not None]
            if len(splits) > len(set(splits)):
                raise round_error(judgement, f"{text} of the same split, so its rows count twice; {_ONE_NODE_EACH}")
            if not self._has_warned_of_shared_partitions:
                self._has_warned_of_shared_partitions = True
                _logger.warning("\t> %s; if they train on the same rows, %s", text, _ONE_NODE_EACH)

    def named(self, node_ids: list[int]) -> str:
        """Return how the log calls these nodes."""
        return named(node_ids, names_of(self.sites))


def round_error(judgement: Judgement, message: str) -> RoundError:
    """Return the error of a round that yields no model; its result is the model that was sent."""
    sent = judgement.sent
    failures = [judgement.failures[place] for place in sorted(judgement.failures)]
    result = RunResult(arrays=sent.model)
    return RoundError(f"round {sent.server_round}: {message}", sent.server_round, sent.phase, failures, result)


def _log(entry: Round, names: Mapping[int, str]) -> None:
    _logger.info(
        "aggregate_%s: Received %d results and %d failures in %.1f s",
        entry.phase,
        len(entry.replies),
        len(entry.failures),
        entry.seconds,
    )
    if entry.absent:
        _logger.info("\t> Absent in this round: %s", named(entry.absent, names))
    for line in grouped(((failure.node_id, failure.reason) for failure in entry.failures), names):
        _logger.warning("\t> Dropped %s", line)
    not_finite: dict[str, list[int]] = {}
    for reply in entry.replies:
        for key, value in reply.metrics.items():
            if not all(map(math.isfinite, value if isinstance(value, list) else [value])):
                not_finite.setdefault(key, []).append(reply.node_id)
    if not_finite:
        shown = listed(not_finite.items(), show=lambda item: f"{item[0]!r} of {named(item[1], names)}")
        _logger.warning("\t> NaN or infinite metrics, so their means are not finite: %s", shown)
    _log_outliers(entry, names)


def _log_outliers(entry: Round, names: Mapping[int, str]) -> None:
    norms = {reply.node_id: reply.update_norm for reply in entry.replies if not math.isnan(reply.update_norm)}
    if len(norms) < _FEWEST_NORMS:
        return
    median = statistics.median(norms.values())
    outliers = {node_id: norm for node_id, norm in norms.items() if norm > _OUTLIER * median > 0}
    if outliers:
        node_id = max(outliers, key=lambda node_id: outliers[node_id])
        _logger.warning(
            "\t> Updates more than %d times the median norm, %.3g: %s; the largest is %.3g, of %s",
            _OUTLIER,
            median,
            named(list(outliers), names),
            outliers[node_id],
            named([node_id], names),
        )
