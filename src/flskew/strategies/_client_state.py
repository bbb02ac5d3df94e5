"""Strategies whose clients keep state from round to round."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from flskew._arrays.records import ParametersError
from flskew._wire import ACCEPTED_ROUND_KEY, LEFT_OUT_KEY
from flskew.strategies._forms import Form, has_form
from flskew.strategies._judgement import Judgement
from flskew.strategies._record import round_error
from flskew.strategies._terms import with_terms
from flskew.strategies.fedavg import FedAvg
from flskew.typing import Phase

__all__ = ["KeepsClientState"]

_logger = logging.getLogger("flwr")


@dataclass(repr=False, eq=False)
class KeepsClientState(FedAvg):
    """Base of FedDyn and SCAFFOLD.

    A client updates its state before it knows whether its reply counts. So each message says in which round the last
    reply of its node did; the client then continues from the state of that round. Dropped replies change nothing on
    either side.

    The server's state is a mean over all clients, weighted by their numbers of examples. It is kept as a sum, to which
    each reply adds the change of its client's state times a weight that never changes: its number of examples in its
    first accepted reply. Adding the means of the replies of each round instead would give a client another weight in
    each round, depending on which others take part; the sum would drift away from the clients' states, and the model
    from the optimum.

    A client that loses its state begins at zero, but what it added to the sum cannot be told from the rest: from then
    on it would count twice, and the model would miss the optimum. So all clients begin at zero again, from the mean of
    this round.

    A subclass implements `_settings` and `_stepped`.
    """

    _form: ClassVar[Mapping[str, Form]] = {"accepted": {int: int}, "examples": {int: float}, "left_out": [str]}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._accepted: dict[int, int] = {}
        self._examples: dict[int, float] = {}
        self._left_out: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """Return what is known of each node, and the arrays that the clients' terms leave out."""
        return {"accepted": dict(self._accepted), "examples": dict(self._examples), "left_out": list(self._left_out)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError: It has another form, as in a forged checkpoint.
        """
        if not has_form({key: state.get(key) for key in self._form}, self._form):  # a subclass may add its own
            raise ValueError("it has unexpected values")
        self._accepted, self._examples = dict(state["accepted"]), dict(state["examples"])
        self._left_out = list(state["left_out"])

    def _refuse_other_loops(self) -> None:
        raise self._needs_start(type(self).__name__)

    def _contents(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, node_ids: Sequence[int]
    ) -> list[RecordDict]:
        if phase == "evaluate":
            return super()._contents(phase, server_round, arrays, config, node_ids)
        if server_round == 1:  # a new run, whichever loop calls this
            self._forget()
        records = {self.arrayrecord_key: arrays, **self._extra_records()}
        settings = {**config, **self._settings(), **({LEFT_OUT_KEY: self._left_out} if self._left_out else {})}
        return [
            RecordDict(
                {
                    **records,
                    self.configrecord_key: ConfigRecord(
                        {**settings, ACCEPTED_ROUND_KEY: self._accepted.get(node_id, 0)}
                    ),
                }
            )
            for node_id in node_ids
        ]

    @abstractmethod
    def _settings(self) -> dict[str, float | bool]:
        """Return what the config of a training message adds."""

    def _extra_records(self) -> dict[str, ArrayRecord]:
        """Return what a training message contains besides the model and the config."""
        return {}

    def _start_clients_anew(self) -> None:
        self._forget()
        _logger.warning(
            "The clients' states are not in the checkpoint: %s continues with the saved model, and every client begins "
            "at zero",
            type(self).__name__,
        )

    def _forget(self) -> None:
        """Forget an earlier run."""
        self._accepted, self._examples = {}, {}
        # A last layer that is averaged by class is left to that: corrected too, it overshoots.
        self._left_out = list((self.averaging and self.averaging.head) or ())

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        return super()._screen(with_terms(judgement, type(self).__name__))

    def _weights(self, judgement: Judgement) -> list[float]:
        return [
            self._examples.get(judgement.node_id(place), reply.weight)
            for place, reply in sorted(judgement.counted.items())
        ]

    def _combine(self, judgement: Judgement, made: ArrayRecord | None) -> tuple[ArrayRecord, MetricRecord]:
        mean, metrics = super()._combine(judgement, made)
        lost = self._nodes_without_state(judgement)
        if lost:
            self._forget()
            _logger.warning(
                "\t> The clients of %s lost their state, so all clients begin at zero again; make sure that their "
                "SuperNodes keep running",
                self._record.named(lost),
            )
        arrays = mean if lost else self._corrected(judgement, mean)
        self._left_out = [name for name in mean if name not in self._body(judgement, mean)]
        return arrays, metrics

    def _corrected(self, judgement: Judgement, mean: ArrayRecord) -> ArrayRecord:
        """Return the new model, after updating the server's state and what is known of the nodes."""
        nodes = [judgement.node_id(place) for place in sorted(judgement.counted)]
        examples = self._examples | dict(zip(nodes, self._weights(judgement), strict=True))
        # Nodes that have not replied yet are assumed to be of average size.
        total = self._num_nodes * sum(examples.values()) / len(examples)
        try:
            arrays = self._stepped(judgement, mean, total)
        except ParametersError as error:
            name = type(self).__name__
            raise round_error(judgement, f"{name} has diverged, {error}; lower the clients' learning rate") from error
        self._examples = examples
        self._accepted.update(dict.fromkeys(nodes, judgement.sent.server_round))
        return arrays

    @abstractmethod
    def _stepped(self, judgement: Judgement, mean: ArrayRecord, total: float) -> ArrayRecord:
        """Return the new model, and change the server's state.

        Args:
            judgement: Contains the accepted replies.
            mean: Mean of their models.
            total: Number of examples of all clients, as far as it is known.

        Raises:
            ParametersError: The new model is not finite; the state is unchanged.
        """

    def _nodes_without_state(self, judgement: Judgement) -> list[int]:
        """Return the nodes whose clients have lost the state of an earlier round."""
        partitions = {site[0] for node_id, site in self._record.sites.items() if node_id in self._examples}
        lost = []
        for place, reply in judgement.counted.items():
            node_id = judgement.node_id(place)
            # A SuperNode that restarts may get another id.
            is_back = node_id not in self._examples and reply.partition_id in partitions - {None}
            if is_back or (reply.term and reply.term.state_round != self._accepted.get(node_id, 0)):
                lost.append(node_id)
        return lost
