"""Federated averaging that checks what it averages."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from flskew._arrays.records import Draft
from flskew._arrays.weighted_mean import NotFiniteError, weighted_mean
from flskew._util import checks
from flskew._wire import SERVER_ROUND_KEY
from flskew.strategies import _arguments
from flskew.strategies._judgement import Judgement
from flskew.strategies._metrics import aggregate_metrics
from flskew.strategies._pipeline import Pipeline
from flskew.strategies._record import round_error
from flskew.strategies._sampling import available_nodes, sample
from flskew.strategies._stragglers import asked_epochs, without_stragglers
from flskew.strategies.class_aware import ClassAware, checked_averaging
from flskew.typing import MetricsAggregator, Phase

__all__ = ["FedAvg"]

_logger = logging.getLogger("flwr")


@dataclass(repr=False, eq=False)
class FedAvg(Pipeline):
    """Federated averaging: Flower's FedAvg, with every reply checked before it counts.

    Use it when clients are similar, when they come and go, or as the baseline for all other strategies. It keeps no
    state on clients.

    The new model is the mean of the clients' models, weighted by their numbers of examples. Compared with Flower's:

    - A reply is accepted if its arrays are finite and have the names, shapes and dtypes that were sent, or dtypes that
      convert to these exactly, and if its weight is positive. Other replies, errors and silent nodes are dropped with a
      reason, and the round continues. With fewer than `min_replies` the run ends with a `RoundError` that lists the
      reasons, so the model is never empty or silently unchanged. A failed evaluation does not end the run.
    - A client that is absent from a round, for example because it has no rows, does not count as a failure; see
      `AbsentError`.
    - Partial work counts: a reply with fewer "local-epochs" than requested is accepted, unless `drop_stragglers` is
      true.
    - Replies from clients that report different splits are never mixed: they raise a `RoundError`, too.
    - Arrays keep their dtype; integers are rounded to the nearest. Averaging needs the memory of one model. If all
      replies are good and float32 or float64, the mean equals Flower's bit for bit.
    - `seed` alone determines which nodes are sampled, in any order of the nodes; global random generators are not used.
    - A metric that only some clients report is averaged over those.
    - `start` does not change the records it is given.
    - `history` keeps every client's reply, and `result` the latest state, however the run ends.

    Args:
        fraction_train: Fraction of the nodes sampled for training, 0 ... 1.
        fraction_evaluate: Fraction of the nodes sampled for evaluation, 0 ... 1.
        min_train_nodes: Minimum number of nodes sampled for training, >= 0.
        min_evaluate_nodes: Minimum number of nodes sampled for evaluation, >= 0.
        min_available_nodes: Minimum number of connected nodes before a round begins, >= 0.
        weighted_by_key: Key of the weight in a reply's metrics.
        arrayrecord_key: Key of the arrays in a message.
        configrecord_key: Key of the config in a message.
        train_metrics_aggr_fn: Combines training metrics; None uses the weighted mean.
        evaluate_metrics_aggr_fn: Combines evaluation metrics; None uses the weighted mean.
        min_replies: Minimum number of accepted training replies, >= 0. With 0, a round without any leaves the model
            unchanged; the log and the history say so.
        min_evaluate_replies: Minimum number of accepted evaluation replies, >= 0.
        seed: Determines which nodes are sampled in which round; any integer.
        node_patience: Seconds to wait for nodes to connect before a round, > 0.
        drop_stragglers: Whether to drop a reply that reports fewer "local-epochs" in its metrics than the config of its
            message requests. A reply without this metric is accepted.
        max_update_norm: Largest Euclidean norm, over all parameters, of the difference between a reply and the model
            that was sent, > 0; replies with a larger update are dropped. None accepts any update. See the `update_norm`
            of the replies in `history` for typical values.
        averaging: `ClassAware()` averages each class's row of the last layer over the clients that hold the class. None
            averages every array by numbers of examples.

    Raises:
        TypeError: A number has the wrong type, or `averaging` is neither `ClassAware` nor None.
        ValueError: A number is out of range.

    References:
        H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas: "Communication-Efficient Learning of Deep
        Networks from Decentralized Data", AISTATS 2017, https://arxiv.org/abs/1602.05629.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import LocalGrid, client_app
        >>> class Adds:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + 1], 10, {}
        >>> strategy = FedAvg(fraction_evaluate=0.0, seed=7)
        >>> strategy
        FedAvg(fraction_evaluate=0.0, seed=7)
        >>> grid = LocalGrid(client_app(lambda context: Adds()), 3)
        >>> result = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
        >>> result.arrays.to_numpy_ndarrays()
        [array([2., 2.])]
        >>> [(round.server_round, len(round.replies)) for round in strategy.history]
        [(1, 3), (2, 3)]
    """

    fraction_train: float = 1.0
    fraction_evaluate: float = 1.0
    min_train_nodes: int = 2
    min_evaluate_nodes: int = 2
    min_available_nodes: int = 2
    weighted_by_key: str = "num-examples"
    arrayrecord_key: str = "arrays"
    configrecord_key: str = "config"
    train_metrics_aggr_fn: MetricsAggregator | None = None
    evaluate_metrics_aggr_fn: MetricsAggregator | None = None
    _: KW_ONLY
    min_replies: int = 1
    min_evaluate_replies: int = 0
    seed: int = 42
    node_patience: float = 3600.0
    drop_stragglers: bool = False
    max_update_norm: float | None = None
    averaging: ClassAware | None = None

    def __post_init__(self) -> None:
        Pipeline.__init__(self)
        for name in ("fraction_train", "fraction_evaluate"):
            setattr(self, name, _arguments.fraction(name, getattr(self, name)))
        for name in (
            "min_train_nodes", "min_evaluate_nodes", "min_available_nodes", "min_replies", "min_evaluate_replies",
        ):  # fmt: skip
            setattr(self, name, checks.integer(name, getattr(self, name), minimum=0))
        self.seed = checks.seed(self.seed, otherwise="each run would sample other nodes")
        self.node_patience = _arguments.seconds("node_patience", self.node_patience)
        self.drop_stragglers = checks.truth("drop_stragglers", self.drop_stragglers)
        self.max_update_norm = _arguments.norm("max_update_norm", self.max_update_norm)
        self.averaging = checked_averaging(self.averaging)
        # How many nodes there were when those that train were last sampled.
        self._num_nodes = 0

    def summary(self) -> None:
        """Log the configuration."""
        _logger.info("\t└──> %r", self)

    def _messages(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        is_train = phase == "train"
        if is_train and not self._is_running:
            self._refuse_other_loops()
        if is_train and self.drop_stragglers:
            asked_epochs(config)
        fraction = self.fraction_train if is_train else self.fraction_evaluate
        if fraction == 0.0:
            return []
        # The minimums of both phases, so that a round cannot fail in its evaluation; that of a disabled phase is 0.
        needed = max(self.min_available_nodes, self._minimum("train"), self._minimum("evaluate"), 1)
        node_ids = available_nodes(grid, needed, self.node_patience)
        if not is_train:
            node_ids = [node_id for node_id in node_ids if self._record.evaluates(node_id)]
            if not node_ids:
                return []
        # The small number undoes the rounding of, say, 100 * 0.29 = 28.999999999999996.
        size = max(math.floor(len(node_ids) * fraction + 1e-9), self._minimum(phase), 1)
        chosen = sample(node_ids, size, seed=self.seed, server_round=server_round, phase=phase)
        _logger.info("configure_%s: Sampled %d nodes (out of %d)", phase, len(chosen), len(node_ids))
        if is_train:
            self._num_nodes = len(node_ids)
        copied = ConfigRecord({**config, SERVER_ROUND_KEY: server_round})
        if is_train and self.averaging is not None:
            copied.update(self.averaging._request(arrays))
        contents = self._contents(phase, server_round, arrays, copied, chosen)
        message_type = MessageType.TRAIN if is_train else MessageType.EVALUATE
        return [Message(content, node_id, message_type) for content, node_id in zip(contents, chosen, strict=True)]

    def _refuse_other_loops(self) -> None:
        """Refuse a loop other than `start` if the strategy does not take the plain mean of what clients send.

        Raises:
            ValueError: Another strategy could change the replies.
        """
        if self.averaging is not None:
            raise self._needs_start("averaging=ClassAware()")

    def _needs_start(self, what: str) -> ValueError:
        return ValueError(
            f"{what} cannot run inside another strategy: Flower's wrappers for differential privacy change the "
            "replies, and their noise protects the plain mean of FedAvg only; call its own start, or wrap FedAvg()"
        )

    def _contents(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, node_ids: Sequence[int]
    ) -> list[RecordDict]:
        """Return the content of each node's message; here, all share one."""
        return [RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})] * len(node_ids)

    def _minimum(self, phase: Phase) -> int:
        if phase == "train":
            return self.min_train_nodes if self.fraction_train else 0
        return self.min_evaluate_nodes if self.fraction_evaluate else 0

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        if self.drop_stragglers:
            judgement = without_stragglers(judgement, self.configrecord_key)
        if self.averaging is not None:
            judgement = self.averaging._screen(judgement)
        # Computing the mean also measures the updates and detects NaN and infinity; replies are searched only if it
        # finds any.
        norms = np.full(len(judgement.counted), np.nan)
        made = self._mean(judgement, norms)
        if made is None:
            return judgement.screened(self.max_update_norm), None
        measured = judgement.with_norms(norms.tolist())
        kept = measured.without_large(self.max_update_norm)
        return kept, made if len(kept.counted) == len(measured.counted) else None

    def _combine(self, judgement: Judgement, made: ArrayRecord | None) -> tuple[ArrayRecord, MetricRecord]:
        arrays = made or self._mean(judgement)
        if arrays is None:
            raise round_error(judgement, "the mean of finite arrays is not finite; they are too large for their dtype")
        combine = self.train_metrics_aggr_fn or aggregate_metrics
        return arrays, combine(judgement.contents(), self.weighted_by_key)

    def _combine_metrics(self, judgement: Judgement) -> MetricRecord:
        combine = self.evaluate_metrics_aggr_fn or aggregate_metrics
        return combine(judgement.contents(), self.weighted_by_key)

    def _weights(self, judgement: Judgement) -> list[float]:
        """Return the weight of each accepted reply in the mean of the models, in the order of the nodes."""
        return [reply.weight for reply in judgement.in_order()]

    def _body(self, judgement: Judgement, names: Iterable[str]) -> tuple[str, ...]:
        """Return these names without those of the last layer, if it is averaged by class."""
        head = () if self.averaging is None else self.averaging._last_layer(judgement)
        return tuple(name for name in names if name not in head)

    def _mean(self, judgement: Judgement, norms: NDArray[np.float64] | None = None) -> ArrayRecord | None:
        """Return the weighted mean of the accepted replies; None if there are none, or if it is not finite.

        Args:
            judgement: Contains the replies.
            norms: Receives the norm of each update, if the sent models are known.
        """
        counted = judgement.in_order()
        if not counted:
            return None
        sent = None if norms is None else judgement.sent_parameters()
        drafts = {name: Draft(array) for name, array in zip(judgement.like, counted[0].parameters, strict=True)}
        try:
            weighted_mean(
                [reply.parameters for reply in counted],
                self._weights(judgement),
                out=[draft.numbers for draft in drafts.values()],
                sent=sent,
                norms=norms if sent else None,
            )
            if self.averaging is not None:
                self.averaging._average(judgement, {name: draft.numbers for name, draft in drafts.items()})
        except NotFiniteError:
            return None
        return ArrayRecord({name: draft.finish() for name, draft in drafts.items()})
