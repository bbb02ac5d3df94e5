"""A whole run, the same for every algorithm: resume, train and evaluate round by round, save, stop."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from numpy.typing import NDArray

from flskew._flower import copied_arrays
from flskew._util import checks
from flskew._util.progress import is_verbose, progress
from flskew._util.texts import cut
from flskew._util.values import call_repr
from flskew.strategies import _arguments
from flskew.strategies._best_so_far import BestSoFar
from flskew.strategies._disk import RunOnDisk
from flskew.strategies._errors import RoundError
from flskew.strategies._packing import pack, unpack
from flskew.strategies._record import RunRecord
from flskew.strategies._round import RoundStrategy
from flskew.strategies.best import KeepBest, RunResult
from flskew.strategies.checkpoints import Checkpoint
from flskew.typing import ServerEvaluation

__all__ = ["Pipeline"]

_logger = logging.getLogger("flwr")
# Maximum length of a log line with the metrics of a round: clients choose how many there are.
_LONGEST_METRICS = 2000


class Pipeline(RoundStrategy):
    """Base of strategies that only define what to send and how to combine the replies.

    A subclass implements `_messages`, `_combine` and `_combine_metrics`, and, if it remembers anything from round to
    round, `state_dict` and `load_state_dict`. Flower's own loops, such as those of its wrappers for differential
    privacy, call the same `configure_*` and `aggregate_*` methods as `start`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: Mapping[str, NDArray[Any]] | None = None

    def __repr__(self) -> str:
        """The call that makes it."""
        try:
            return call_repr(self)
        except AttributeError:  # a subclass whose arguments are not attributes
            return object.__repr__(self)

    if not TYPE_CHECKING:  # it would hide misspelt attributes from type checkers

        def __getattr__(self, name):
            """Explain where a strategy belongs if Flower's legacy server, which asks for this method first, got it."""
            is_legacy = name == "initialize_parameters"
            hint = "; it belongs in a ServerApp with @app.main(), not in a server_fn" if is_legacy else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    def state_dict(self) -> dict[str, Any]:
        """Return what the strategy remembers from round to round, without its settings.

        A subclass that remembers more than its settings overrides this method and `load_state_dict`; checkpoints save
        what it returns. Values may be None, numbers, strings, bytes, NumPy arrays, Flower's records, and lists, tuples,
        sets and dicts of these.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the settings stay those of this strategy.

        Args:
            state: What `state_dict` returned, here or in an earlier process.
        """

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: ServerEvaluation | None = None,
        should_stop: Callable[[int, RunResult], bool] | None = None,
        *,
        keep_best: str | KeepBest | None = None,
        stop_after: int | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_key: bytes | None = None,
        verbose: bool | None = None,
    ) -> RunResult:
        """Run all rounds and return the result; if no client trains, its arrays are the initial ones.

        If the run ends early, for any reason, `result` holds the latest model, the metrics and the best model so far.

        Args:
            grid: Flower's grid, or a `LocalGrid`.
            initial_arrays: Model before round 1: at least one array, finite numbers only. It is not changed.
            num_rounds: Number of rounds, >= 0.
            timeout: Seconds to wait for replies, > 0.
            train_config: Settings for the clients' `fit`. A copy with "server-round" is sent.
            evaluate_config: Settings for the clients' `evaluate`. A copy with "server-round" is sent.
            evaluate_fn: Evaluates the model on the server, before the first round and after each; returns a
                MetricRecord or None.
            should_stop: Called after each round with its number and the result so far; a true value ends the run.
                When a run resumes, it is called once more for the last saved round.
            keep_best: Name of a metric of the evaluation. The model with its highest value is kept as `best` in the
                result, with the round that made it; of equal values, the earliest. NaN is never the best. A `KeepBest`
                can also say that lower is better, and who evaluates.
            stop_after: End the run after this many consecutive rounds, at least 1, whose metric is not better than the
                best so far; rounds without the metric are not counted. None runs all rounds.
            checkpoint_dir: Folder for the state after every round, used by `resume` and `Checkpoint.load`; None
                writes nothing. It is locked until the run ends.
            resume: Continue after the last complete round in `checkpoint_dir`, if there is one.
            checkpoint_key: At least 16 secret bytes. With a key, checkpoints that were changed or written without it
                are rejected; without a key, checkpoints are checked for damage only.
            verbose: True logs each round, False shows a progress bar on a terminal or in a notebook. By default, a run
                on a `LocalGrid` shows the bar, and a run on Flower's engines logs. Warnings are always logged.

        Raises:
            TypeError: An argument has the wrong type, or a config has values that Flower cannot send. `evaluate_fn`
                returns something other than a MetricRecord or None, or the metric of `keep_best` is a list.
            ValueError: `initial_arrays` is empty or cannot be averaged, or a number is out of range. `checkpoint_dir`
                is damaged, or contains a run with another model, strategy, `keep_best` or key. The strategy adds random
                noise, which a resumed run could repeat. `keep_best` lacks a direction or an evaluation, or `stop_after`
                is given without `keep_best`.
            LookupError: The first evaluation lacks the metric of `keep_best`, or no round was evaluated.
            FileExistsError: `checkpoint_dir` contains a run and `resume` is false.
            OSError: A checkpoint cannot be written, for example because the disk is full.
            TimeoutError: Too few nodes connected.
            RoundError: Too few replies were accepted, or clients use different splits.
            RuntimeError: Another run is using `checkpoint_dir`, or this strategy.
        """
        if self._is_running:
            raise RuntimeError(f"this {type(self).__name__} is running; make another one for a second run")
        _arguments.check_grid(grid)
        arrays = _arguments.initial(initial_arrays)
        for_training = _arguments.config("train_config", train_config)
        for_evaluation = _arguments.config("evaluate_config", evaluate_config)
        rounds = checks.integer("num_rounds", num_rounds, minimum=0)
        seconds = _arguments.seconds("timeout", timeout)
        if checks.truth("resume", resume) and checkpoint_dir is None:
            raise ValueError("resume=True needs the folder of the earlier run; pass it as checkpoint_dir")
        if checkpoint_key is not None and checkpoint_dir is None:
            raise ValueError("checkpoint_key seals the files in checkpoint_dir; pass a folder")
        is_logged = is_verbose(not getattr(grid, "nodes_are_fixed", False)) if verbose is None else verbose
        checks.truth("verbose", is_logged)
        best = BestSoFar(self, keep_best, stop_after, has_evaluate_fn=evaluate_fn is not None)
        disk = checkpoint = None
        if checkpoint_dir is not None:
            before = pack(self.state_dict())  # a copy, which also shows that the state can be saved
            disk = RunOnDisk(checkpoint_dir, grid, checkpoint_key)
            checkpoint = self._continued(disk, before, arrays, rounds, resume, best)
        record = self._record = RunRecord()
        result = record.result
        result.arrays = copied_arrays(arrays)
        done = checkpoint.server_round if checkpoint else 0
        begun = time.monotonic()
        with progress(type(self).__name__, done, rounds, verbose=is_logged) as shown:
            try:
                if disk and checkpoint:
                    disk.restore(checkpoint, record)
                _logger.info("Starting %s strategy: rounds %d to %d", type(self).__name__, done + 1, rounds)
                self.summary()
                self._is_running = True
                if not done:
                    self._evaluate_on_server(evaluate_fn, 0)
                    best.consider(0, result)
                reason = best.reason_to_stop(done, result, should_stop) if done else ""
                for server_round in range(done + 1, rounds + 1):
                    if reason:
                        break
                    _logger.info("")
                    _logger.info("[ROUND %d/%d]", server_round, rounds)
                    shown.start_round(server_round)
                    self._train(server_round, for_training, grid, seconds)
                    self._evaluate(server_round, for_evaluation, grid, seconds)
                    self._evaluate_on_server(evaluate_fn, server_round)
                    best.consider(server_round, result)
                    shown.end_round(record.metrics(server_round))
                    if disk:
                        disk.save(server_round, record, self._kinds(), self.state_dict(), best.state_dict())
                    reason = best.reason_to_stop(server_round, result, should_stop)
                if reason:
                    _logger.info("Stopped by %s after %d of %d rounds", reason, record.last_round(done), rounds)
                if rounds:
                    best.check(result)
            except RoundError as error:
                error.result = result
                raise
            finally:
                self._is_running = False
                if disk:
                    disk.close()
                if record.last_round(0) > 1:  # what round 1 dropped has just been logged
                    for line in record.history.dropped():
                        _logger.warning("In total, %s", line)
            _logger.info("Strategy execution finished in %.2f s", time.monotonic() - begun)
        return result

    def _continued(
        self,
        disk: RunOnDisk,
        before: Mapping[str, NDArray[Any]],
        arrays: ArrayRecord,
        rounds: int,
        resume: bool,
        best: BestSoFar,
    ) -> Checkpoint | None:
        """Return the checkpoint to resume from, with its state loaded; None if there is none.

        Raises the same errors as `start`, after releasing the folder.
        """
        try:
            checkpoint = disk.latest(self._kinds(), arrays, rounds, resume, self._noise())
            if checkpoint:
                best.resume(checkpoint, disk.name)
            if not resume or self._before is None:
                self._before = before
            if resume:
                # This object may have run before, beyond the last checkpoint.
                state = checkpoint.state["strategy"] if checkpoint else unpack(self._before)
                try:
                    self.load_state_dict(state)
                except Exception as error:
                    raise ValueError(
                        f"{disk.name} holds a state that {type(self).__name__} cannot load, {type(error).__name__}: "
                        f"{error}; choose another folder"
                    ) from error
                if checkpoint and not disk.keeps_node_states:
                    self._start_clients_anew()
        except BaseException:
            disk.close()
            raise
        return checkpoint

    def _start_clients_anew(self) -> None:
        """Forget what matches the clients' states, which a resumed run has lost; most strategies have none."""

    def _kinds(self) -> list[str]:
        """Return the class of the strategy and of those inside it, outermost first."""
        return [type(self).__name__]

    def _noise(self) -> str | None:
        """Return the name of a strategy, this one or one inside it, that draws noise from a global generator."""
        return None

    def _train(self, server_round: int, config: ConfigRecord, grid: Grid, timeout: float) -> None:
        result = self._record.result
        arrays = copied_arrays(result.arrays)
        messages = self._checked_count("train", self.configure_train(server_round, arrays, config, grid))
        self._record.expect("train", server_round, messages, arrays)
        made, metrics = self.aggregate_train(server_round, grid.send_and_receive(messages, timeout=timeout))
        if made is not None:
            result.arrays = copied_arrays(made)
        if metrics is not None:
            _logger.info("\t└──> Aggregated MetricRecord: %s", cut(str(metrics), _LONGEST_METRICS))
            result.train_metrics_clientapp[server_round] = metrics

    def _evaluate(self, server_round: int, config: ConfigRecord, grid: Grid, timeout: float) -> None:
        result = self._record.result
        arrays = copied_arrays(result.arrays)
        messages = self._checked_count("evaluate", self.configure_evaluate(server_round, arrays, config, grid))
        self._record.expect("evaluate", server_round, messages, arrays)
        metrics = self.aggregate_evaluate(server_round, grid.send_and_receive(messages, timeout=timeout))
        if metrics is not None:
            _logger.info("\t└──> Aggregated MetricRecord: %s", cut(str(metrics), _LONGEST_METRICS))
            result.evaluate_metrics_clientapp[server_round] = metrics

    def _evaluate_on_server(self, evaluate_fn: ServerEvaluation | None, server_round: int) -> None:
        if evaluate_fn is None:
            return
        metrics = evaluate_fn(server_round, copied_arrays(self._record.result.arrays))  # reading a record may empty it
        if _arguments.is_evaluation(metrics):
            _logger.info("Server evaluation of round %d: %s", server_round, metrics)
            self._record.result.evaluate_metrics_serverapp[server_round] = metrics
