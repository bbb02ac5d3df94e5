"""Strategies whose clients keep state from round to round."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from flskew._arrays.records import ParametersError
from flskew._wire import ACCEPTED_ROUND_KEY
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

    A subclass implements `_settings` and `_stepped`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._accepted: dict[int, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return in which round the last reply of each node counted."""
        return {"accepted": dict(self._accepted)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._accepted = dict(state["accepted"])

    def _contents(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, node_ids: Sequence[int]
    ) -> list[RecordDict]:
        if phase == "evaluate":
            return super()._contents(phase, server_round, arrays, config, node_ids)
        if server_round == 1:  # a new run, whichever loop calls this
            self._forget()
        records = {self.arrayrecord_key: arrays, **self._extra_records()}
        return [
            RecordDict(
                {
                    **records,
                    self.configrecord_key: ConfigRecord(
                        {**config, **self._settings(), ACCEPTED_ROUND_KEY: self._accepted.get(node_id, 0)}
                    ),
                }
            )
            for node_id in node_ids
        ]

    def _settings(self) -> dict[str, float | bool]:
        """Return what the config of a training message adds."""
        raise NotImplementedError

    def _extra_records(self) -> dict[str, ArrayRecord]:
        """Return what a training message contains besides the model and the config."""
        return {}

    def _forget(self) -> None:
        """Forget an earlier run."""
        self._accepted = {}

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        return super()._screen(with_terms(judgement, type(self).__name__))

    def _weights(self, judgement: Judgement) -> list[float]:
        return [1.0] * len(judgement.counted)

    def _combine(self, judgement: Judgement, made: ArrayRecord | None) -> tuple[ArrayRecord, MetricRecord]:
        mean, metrics = super()._combine(judgement, made)
        try:
            arrays = self._stepped(judgement, mean)
        except ParametersError as error:
            name = type(self).__name__
            raise round_error(judgement, f"{name} has diverged, {error}; lower the clients' learning rate") from error
        self._log_lost_state(judgement)
        for place in judgement.counted:
            self._accepted[judgement.node_id(place)] = judgement.sent.server_round
        return arrays, metrics

    def _stepped(self, judgement: Judgement, mean: ArrayRecord) -> ArrayRecord:
        """Return the new model, and change the server's state, given the mean of the accepted replies.

        Raises:
            ParametersError: The new model is not finite; the state is unchanged.
        """
        raise NotImplementedError

    def _log_lost_state(self, judgement: Judgement) -> None:
        lost = [
            judgement.node_id(place)
            for place, reply in judgement.counted.items()
            if reply.term and reply.term.state_round != self._accepted.get(judgement.node_id(place), 0)
        ]
        if lost:
            _logger.warning(
                "\t> The clients of %s lost their state and began at zero; does their SuperNode keep running?",
                self._record.named(lost),
            )
