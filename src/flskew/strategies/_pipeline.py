"""The rounds of a run, whatever the algorithm: send, check, drop, combine, record, save, stop."""

from __future__ import annotations

import logging
import os
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew._arrays.weighted_mean import NotFiniteError
from flskew._util import checks
from flskew._util.values import call_repr
from flskew.strategies import _arguments
from flskew.strategies._disk import RunOnDisk
from flskew.strategies._errors import RoundError, round_error
from flskew.strategies._judgement import Judgement, Sent, judge
from flskew.strategies._record import RunRecord
from flskew.strategies._state import read_state, write_state
from flskew.strategies.history import History
from flskew.typing import Phase, ServerEvaluation, StopRule

__all__ = ["Pipeline"]

_logger = logging.getLogger("flwr")


class Pipeline(Strategy):
    """What all strategies of this package share: everything but what they send and how they combine replies.

    An algorithm writes `_ask`, which makes the messages of a phase, and `_combine` and `_combine_metrics`, which see
    only accepted replies. If it remembers anything between rounds, `state_dict` and `load_state_dict` say what.

    Args:
        weighted_by_key: Key of the weight among a reply's metrics.
        arrayrecord_key: Key of the model in a message.
        min_replies: Minimum number of accepted training replies, >= 0.
        min_evaluate_replies: Minimum number of accepted evaluation replies, >= 0.
    """

    def __init__(self, weighted_by_key: str, arrayrecord_key: str, min_replies: int, min_evaluate_replies: int) -> None:
        self.weighted_by_key = weighted_by_key
        self.arrayrecord_key = arrayrecord_key
        self.min_replies = checks.integer("min_replies", min_replies, minimum=0)
        self.min_evaluate_replies = checks.integer("min_evaluate_replies", min_evaluate_replies, minimum=0)
        self._state_before: list[dict[str, Any]] | None = None
        self._begin()

    def __repr__(self) -> str:
        """The call that makes it."""
        return call_repr(self)

    @property
    def result(self) -> Result:
        """What the last `start` has reached so far: the latest model and the metrics."""
        return self._result

    @property
    def history(self) -> History:
        """Record of the last `start`: one training and, unless it is off, one evaluation per round."""
        return self._record.history

    def state_dict(self) -> dict[str, Any]:
        """Return what the strategy remembers between rounds, without its settings; checkpoints save it.

        The values may be numbers, text, None, NumPy arrays, Flower's records, and lists, tuples, sets and dictionaries
        of these.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def summary(self) -> None:
        """Log the configuration."""
        _logger.info("\t├──> %r", self)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: ServerEvaluation | None = None,
        should_stop: StopRule | None = None,
        *,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Result:
        """Run the rounds and return Flower's `Result`.

        However the run ends, `result` has the latest model and the metrics so far. With nothing to train, the model
        stays the initial one. The records given are not changed.

        Args:
            grid: Reaches the nodes.
            initial_arrays: Model of round 0: at least one array, all numbers finite.
            num_rounds: Number of rounds, >= 0.
            timeout: Seconds to wait for replies, > 0.
            train_config: Sent to the clients that train, with "server-round" added to a copy.
            evaluate_config: The same for evaluation.
            evaluate_fn: Evaluates the model at the server, before the first round and after each.
            should_stop: Given the round and the result so far after each round, returns whether to end the run.
            checkpoint_dir: Folder that receives the state of the run after every round, for `resume` and
                `Checkpoint.load`; None writes nothing.
            resume: Continue from the last complete round in `checkpoint_dir`, if there is one, up to `num_rounds`.

        Raises:
            TypeError: `initial_arrays` is not an ArrayRecord, `evaluate_fn` returns something else than a MetricRecord
                or None, a number has the wrong type, or `checkpoint_dir` is given and a wrapped strategy does not say
                what it remembers.
            ValueError: `initial_arrays` is empty or cannot be averaged, a number is out of range, stragglers are to be
                dropped and `train_config` has no "local-epochs", or the checkpoint is damaged or belongs to another
                model or strategy.
            FileExistsError: `checkpoint_dir` contains a run, and `resume` is false.
            TimeoutError: Too few nodes connected.
            RoundError: Too few replies were accepted, or clients use different splits.
        """
        arrays = _arguments.initial(initial_arrays)
        rounds = checks.integer("num_rounds", num_rounds, minimum=0)
        seconds = _arguments.seconds("timeout", timeout)
        if checks.truth("resume", resume) and checkpoint_dir is None:
            raise ValueError("resume=True needs the folder to resume from; pass it as checkpoint_dir")
        disk = None if checkpoint_dir is None else RunOnDisk(checkpoint_dir, grid, self)
        checkpoint = disk.latest(arrays, rounds, resume) if disk else None
        if disk:
            if resume and self._state_before is not None:
                write_state(self, self._state_before)  # this very object may have made part of the run
            self._state_before = read_state(self)
        self._begin()
        self._result.arrays = _copy(arrays)
        if disk and checkpoint:
            disk.restore(checkpoint, self._record, self._result)
        done = checkpoint.server_round if checkpoint else 0
        configs: dict[Phase, ConfigRecord] = {
            "train": ConfigRecord({**(train_config or {})}),
            "evaluate": ConfigRecord({**(evaluate_config or {})}),
        }
        _logger.info("Starting %s, rounds %d to %d:", type(self).__name__, done + 1, rounds)
        self.summary()
        try:
            if not done:
                self._evaluate_at_server(0, evaluate_fn)
            is_over = bool(done) and should_stop is not None and should_stop(done, self._result)
            while done < rounds and not is_over:
                done += 1
                _logger.info("[ROUND %d/%d]", done, rounds)
                self._run_round(done, grid, seconds, configs, evaluate_fn)
                if disk:
                    disk.save(done, self._record, self._result)
                is_over = should_stop is not None and should_stop(done, self._result)
        except RoundError as error:
            error.result = self._result
            raise
        finally:
            for line in self.history.dropped():
                _logger.warning("In all, %s", line)
        return self._result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask nodes to train."""
        return self._expect("train", server_round, self._ask("train", server_round, arrays, config, grid), arrays)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages that ask nodes to evaluate, without those that only train."""
        messages = self._ask("evaluate", server_round, arrays, config, grid)
        asked = [message for message in messages if self._record.evaluates(message.metadata.dst_node_id)]
        return self._expect("evaluate", server_round, asked, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check the replies and return the combined model and metrics; None for both if no reply is needed or accepted.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
        """
        judgement = self._judge("train", server_round, replies)
        if judgement is None:
            return self._train_without_nodes(server_round)
        judgement = self._admit(judgement)
        self._record.close(judgement, self.min_replies)
        if not judgement.counted:
            _logger.warning("\t> No train reply of round %d was accepted: the model is unchanged", server_round)
            return None, None
        try:
            arrays, metrics = self._combine(judgement)
        except NotFiniteError as error:
            raise round_error(
                judgement, "the mean of finite arrays is not finite; they are too large for their dtype"
            ) from error
        return arrays, metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Check the replies and return the combined metrics; None if no reply is accepted.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
        """
        judgement = self._judge("evaluate", server_round, replies)
        if judgement is None:
            return self._evaluate_without_nodes(server_round)
        self._record.close(judgement, self.min_evaluate_replies)
        return self._combine_metrics(judgement) if judgement.counted else None

    @abstractmethod
    def _ask(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages of a phase; none if it is off."""

    def _admit(self, judgement: Judgement) -> Judgement:
        """Drop training replies that pass the checks of their form, but must not be combined."""
        return judgement.without_infinite()

    @abstractmethod
    def _combine(self, judgement: Judgement) -> tuple[ArrayRecord, MetricRecord | None]:
        """Return the model and the metrics of accepted training replies, of which there is at least one."""

    @abstractmethod
    def _combine_metrics(self, judgement: Judgement) -> MetricRecord | None:
        """Return the metrics of accepted evaluation replies, of which there is at least one."""

    def _train_without_nodes(self, server_round: int) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model and the metrics of a round that asked no node to train."""
        return None, None

    def _evaluate_without_nodes(self, server_round: int) -> MetricRecord | None:
        """Return the metrics of a round that asked no node to evaluate."""
        return None

    def _begin(self) -> None:
        self._record = RunRecord()
        self._result = Result()
        self._sent: dict[Phase, Sent] = {}

    def _expect(
        self, phase: Phase, server_round: int, messages: Iterable[Message], model: ArrayRecord
    ) -> list[Message]:
        """Note the messages of a phase, and return them."""
        sent = list(messages)
        argument, needed = ("min_replies", self.min_replies) if phase == "train" else (
            "min_evaluate_replies", self.min_evaluate_replies
        )  # fmt: skip
        if 0 < len(sent) < needed:
            raise ValueError(
                f"{argument}={needed}, but only {len(sent)} nodes are asked to {phase}; lower it, or ask more nodes"
            )
        # Flower's strategies shuffle their nodes: what is made of the replies must not depend on that.
        in_order = sorted(sent, key=lambda message: message.metadata.dst_node_id)
        self._sent[phase] = Sent(server_round, phase, tuple(in_order), model, time.monotonic())
        return sent

    def _judge(self, phase: Phase, server_round: int, replies: Iterable[Message]) -> Judgement | None:
        """Return which replies are well-formed; None if no node was asked."""
        received = list(replies)
        sent = self._sent.pop(phase, None)
        if sent is None or sent.server_round != server_round:
            sent = Sent(server_round, phase, (), ArrayRecord(), time.monotonic())
        if not sent.messages and not received:
            return None
        return judge(received, sent, self.weighted_by_key, self.arrayrecord_key)

    def _run_round(
        self,
        server_round: int,
        grid: Grid,
        timeout: float,
        configs: Mapping[Phase, ConfigRecord],
        evaluate_fn: ServerEvaluation | None,
    ) -> None:
        arrays, metrics = self.aggregate_train(
            server_round, self._replies("train", server_round, grid, timeout, configs["train"])
        )
        if arrays is not None:
            self._result.arrays = _copy(arrays)
        if metrics is not None:
            _logger.info("\t└──> Aggregated MetricRecord: %s", metrics)
            self._result.train_metrics_clientapp[server_round] = metrics
        metrics = self.aggregate_evaluate(
            server_round, self._replies("evaluate", server_round, grid, timeout, configs["evaluate"])
        )
        if metrics is not None:
            _logger.info("\t└──> Aggregated MetricRecord: %s", metrics)
            self._result.evaluate_metrics_clientapp[server_round] = metrics
        self._evaluate_at_server(server_round, evaluate_fn)

    def _replies(
        self, phase: Phase, server_round: int, grid: Grid, timeout: float, config: ConfigRecord
    ) -> Iterable[Message]:
        configure = self.configure_train if phase == "train" else self.configure_evaluate
        arrays = _copy(self._result.arrays)
        messages = list(configure(server_round, arrays, config, grid))
        if phase not in self._sent or self._sent[phase].server_round != server_round:
            self._expect(phase, server_round, messages, arrays)  # of a subclass that makes its own
        return grid.send_and_receive(messages, timeout=timeout)

    def _evaluate_at_server(self, server_round: int, evaluate_fn: ServerEvaluation | None) -> None:
        if evaluate_fn is None:
            return
        # A copy, since reading a record may empty it.
        metrics = evaluate_fn(server_round, _copy(self._result.arrays))
        if metrics is None:
            return
        if not isinstance(metrics, MetricRecord):
            raise TypeError(
                f"evaluate_fn must return a MetricRecord or None, got {type(metrics).__name__} in round "
                f'{server_round}; e.g. return MetricRecord({{"loss": loss, "accuracy": accuracy}})'
            )
        _logger.info("\t└──> Evaluated at the server: %s", metrics)
        self._result.evaluate_metrics_serverapp[server_round] = metrics


def _copy(arrays: ArrayRecord) -> ArrayRecord:
    """Return another record of the same arrays, whose bytes are immutable."""
    return ArrayRecord(dict(arrays))
