"""What a strategy and the local term of a client exchange while the client trains.

`fit` receives parameters and a config, but FedDyn and SCAFFOLD also need the client's state from earlier rounds, and
SCAFFOLD the server's control variate. `client_app` opens an exchange around `fit`, and `LocalTerm.from_config` finds it
through a context variable. So a client needs the same two lines under every strategy.

The state lives in the node's `context.state`. A client cannot know whether the server accepts its reply or drops it. So
the state after a round is pending until the config of a later message says that the reply of that round was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import wide_float
from flskew._arrays.records import all_finite, numpy_from_array, record_from_parameters
from flskew._util import checks
from flskew._wire import (
    ACCEPTED_ROUND_KEY,
    CONTROL_KEY,
    COUNT_STEPS_KEY,
    FEDDYN_ALPHA_KEY,
    LEFT_OUT_KEY,
    LOCAL_STEPS_KEY,
    PROXIMAL_MU_KEYS,
    SCAFFOLD_KEY,
    SERVER_ROUND_KEY,
    TERM_ARRAYS_KEY,
    TERM_KEY,
    TERM_STATE_ROUND_KEY,
)
from flskew.client._protocols import ClientError
from flskew.typing import Record

__all__ = ["Exchange", "Request", "Term", "current"]

Linear: TypeAlias = list[NDArray[Any] | None]
"""The linear part of a local term, one array per array of the model; None is zero."""

_STATE, _PENDING, _ROUNDS = "flskew-term-state", "flskew-term-pending", "flskew-term-rounds"
_open: ContextVar[Exchange | None] = ContextVar("flskew_exchange", default=None)


class Term(Protocol):
    """A local term as the exchange sees it."""

    request: Request

    @property
    def steps(self) -> int:
        """Number of optimizer steps seen."""
        ...

    @property
    def is_used(self) -> bool:
        """Whether it was attached, or any of its methods was called."""
        ...

    def covered(self) -> Sequence[int]:
        """Return the positions of the model's arrays to which it applies, without those left out."""
        ...

    def mean_gradients(self) -> Mapping[int, NDArray[Any]]:
        """Return, for each covered array, the mean over the steps of the gradients of the client's own loss."""
        ...


@dataclass(frozen=True)
class Request:
    """What a strategy asks of the local term.

    Attributes:
        mu: FedProx's mu.
        alpha: FedDyn's alpha; None under other strategies.
        is_scaffold: Whether the strategy is SCAFFOLD.
        counts_steps: Whether the strategy is FedNova, which needs the number of steps.
    """

    mu: float = 0.0
    alpha: float | None = None
    is_scaffold: bool = False
    counts_steps: bool = False

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Request:
        """Return the request in a config.

        Raises:
            TypeError: mu or alpha is not a real number.
            ValueError: Both spellings of mu are present and differ, or mu or alpha is negative or not finite; or the
                config asks for FedDyn and another term at once.
        """
        found = {key: checks.proximal_mu(f"config[{key!r}]", config[key]) for key in PROXIMAL_MU_KEYS if key in config}
        if len(set(found.values())) > 1:
            raise ValueError(f"config has two different values for mu, {found}; keep {PROXIMAL_MU_KEYS[0]!r}")
        alpha = None
        if FEDDYN_ALPHA_KEY in config:
            alpha = checks.not_negative(f"config[{FEDDYN_ALPHA_KEY!r}]", config[FEDDYN_ALPHA_KEY], "0.1 is typical")
            other = next((key for key in (*PROXIMAL_MU_KEYS, SCAFFOLD_KEY) if config.get(key)), None)
            if other is not None:
                raise ClientError(f"config asks for FedDyn and has {other!r} too; remove {other!r} from train_config")
        return cls(
            next(iter(found.values()), 0.0),
            alpha,
            config.get(SCAFFOLD_KEY) is True,
            config.get(COUNT_STEPS_KEY) is True,
        )

    @property
    def strategy(self) -> str:
        """Name of the strategy that needs the term; empty if none does."""
        if self.alpha is not None:
            return "FedDyn"
        if self.is_scaffold:
            return "Scaffold"
        if self.counts_steps:
            return "FedNova"
        return f"FedProx with proximal-mu={self.mu:g}" if self.mu else ""

    @property
    def keeps_state(self) -> bool:
        """Whether the client has state between rounds."""
        return self.alpha is not None or self.is_scaffold

    @property
    def strength(self) -> float:
        """The mu of the local term."""
        return self.mu if self.alpha is None else self.alpha


@dataclass
class Exchange:
    """The exchange of one train message.

    Attributes:
        arrays: The model as the server sent it.
        request: What the strategy asks for.
        server_round: The round.
        control: SCAFFOLD's control variate of the server, by array name; missing arrays are zero.
        state: The client's state by array name; missing arrays are zero. For FedDyn, the sum over the rounds of the
            client's updates; for SCAFFOLD, the client's control variate.
        state_round: The round in which that state was made; 0 if it begins at zero.
        left_out: Names of arrays to which the term does not apply: those that the client keeps, and those that the
            strategy leaves out.
        term: The term that `fit` made.
    """

    arrays: ArrayRecord
    request: Request
    server_round: int
    control: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    state_round: int = 0
    left_out: frozenset[str] = frozenset()
    term: Term | None = None

    @classmethod
    def of(
        cls,
        content: RecordDict,
        arrays: ArrayRecord,
        config: Mapping[str, object],
        context_state: RecordDict,
        left_out: frozenset[str] = frozenset(),
    ) -> Exchange:
        """Return the exchange for a train message.

        Raises:
            ClientError: The config asks for a strategy that is not the server's.
            ParametersError: An array cannot be read.
            TypeError: A value of the config has the wrong type.
            ValueError: A value of the config is out of range.
        """
        request = Request.read(config)
        if not request.strategy:
            return cls(arrays, request, 0)
        server_round, named = config.get(SERVER_ROUND_KEY), config.get(LEFT_OUT_KEY)
        left_out |= frozenset(named if isinstance(named, list) else ())
        exchange = cls(arrays, request, server_round if isinstance(server_round, int) else 0, left_out=left_out)
        if request.keeps_state:
            if ACCEPTED_ROUND_KEY not in config:
                raise ClientError(
                    f"the config asks for {request.strategy}, but its strategy is another one; use "
                    f"flskew.{request.strategy} on the server, and remove its key from train_config"
                )
            exchange.state_round, exchange.state = _accepted_state(context_state, config.get(ACCEPTED_ROUND_KEY))
            sent = content.get(CONTROL_KEY)
            exchange.control = _arrays(sent) if isinstance(sent, ArrayRecord) else {}
        return exchange

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make this the exchange that `LocalTerm.from_config` finds."""
        token = _open.set(self)
        try:
            yield
        finally:
            _open.reset(token)

    def left_out_places(self) -> list[int]:
        """Return the positions of the arrays that are left out."""
        return [place for place, name in enumerate(self.arrays) if name in self.left_out]

    def linear(self) -> Linear:
        """Return g: for FedDyn, alpha times the state; for SCAFFOLD, c - c_k."""
        return [None if name in self.left_out else self._linear(name) for name in self.arrays]

    def _linear(self, name: str) -> NDArray[Any] | None:
        own = self.state.get(name)
        if self.request.alpha is not None:
            with np.errstate(over="ignore", under="ignore"):  # the server drops models that are not finite
                return None if own is None else np.asarray(own * own.dtype.type(self.request.alpha))
        everyones = self.control.get(name)
        if own is None:
            return everyones
        return np.asarray(-own if everyones is None else everyones - own)

    def close(
        self, reply: dict[str, Record], made: ArrayRecord, metrics: MetricRecord, context_state: RecordDict
    ) -> None:
        """Add what the strategy needs to the reply, and store the client's new state as pending.

        Args:
            reply: Records of the reply; changed.
            made: The client's new model.
            metrics: The client's metrics.
            context_state: State of the node's context; changed.

        Raises:
            ClientError: `fit` did not use the term that the strategy needs.
        """
        if not self.request.strategy or (self.request.strategy == "FedNova" and LOCAL_STEPS_KEY in metrics):
            return
        term = self._used_term(made)
        if term is None:
            return
        covered = list(term.covered())
        reply[TERM_KEY] = ConfigRecord(
            {TERM_ARRAYS_KEY: covered, LOCAL_STEPS_KEY: term.steps, TERM_STATE_ROUND_KEY: self.state_round}
        )
        if not self.request.keeps_state:
            return
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # what is not finite is not stored
            new = self._new_state(term, made, covered)
            if self.request.is_scaffold:
                changes = [np.asarray(array - self._own(name), array.dtype) for name, array in new.items()]
                reply[CONTROL_KEY] = record_from_parameters(changes, list(new))
        if all(all_finite(array) for array in new.values()):  # otherwise, the server will not accept the reply
            _store(context_state, self.state_round, self.state, self.server_round, new)

    def _new_state(self, term: Term, made: ArrayRecord, covered: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return the client's state after this round."""
        names = [list(self.arrays)[place] for place in covered]
        own = {name: self._own(name) for name in names}
        if not self.request.is_scaffold:
            before, after = _arrays(self.arrays), _arrays(made)
            return {name: own[name] + (after[name] - before[name]) for name in names}
        gradients = term.mean_gradients() if term.steps else {}
        found = {name: gradients.get(place, own[name]) for name, place in zip(names, covered, strict=True)}
        # The server expects the dtype of the model, such as big-endian floats.
        return {name: np.asarray(array, own[name].dtype) for name, array in found.items()}

    def _own(self, name: str) -> NDArray[Any]:
        own = self.state.get(name)
        return np.zeros_like(wide_float(numpy_from_array(self.arrays[name]))) if own is None else own

    def _used_term(self, made: ArrayRecord) -> Term | None:
        """Return the term that `fit` made; None if it made none and needs none, because nothing was trained."""
        term, strategy = self.term, self.request.strategy
        needs_steps = self.request.is_scaffold or self.request.counts_steps
        if term is not None and term.request != self.request:
            raise ClientError(
                f"{strategy} needs the config that fit received; pass it to LocalTerm.from_config unchanged"
            )
        if term is not None and (term.steps or (term.is_used and not needs_steps)):
            if len(made) != len(self.arrays):
                raise ClientError(f"{strategy} needs a model with a fixed number of arrays; it cannot train this one")
            return term
        if _is_unchanged(self.arrays, made) and (term is not None or not self.request.keeps_state):
            return term
        if term is None:
            problem = "fit did not make it; call LocalTerm.from_config(config, model) after setting the parameters"
        elif not term.is_used:
            problem = "fit made it but did not use it; attach it to the optimizer, or call its add_gradient or step"
        else:
            problem = (
                "the term has not seen the steps; attach it to the optimizer, or call its add_gradient or step (in "
                "JAX, attach it, and call term.collect(state) after training)"
            )
        raise ClientError(f"{strategy} needs the local term: {problem}")


def current() -> Exchange | None:
    """Return the exchange of the message that is being answered; None outside `client_app`."""
    return _open.get()


def _accepted_state(context_state: RecordDict, accepted: object) -> tuple[int, Mapping[str, NDArray[Any]]]:
    """Return the state of the last round in which the reply counted, and that round; 0 and none if there is none."""
    rounds = context_state.get(_ROUNDS)
    if not isinstance(rounds, ConfigRecord) or not isinstance(accepted, int) or accepted < 1:
        return 0, {}
    for key in (_PENDING, _STATE):
        record = context_state.get(key)
        if rounds.get(key) == accepted and isinstance(record, ArrayRecord):
            return accepted, _arrays(record)
    return 0, {}


def _store(
    context_state: RecordDict,
    state_round: int,
    state: Mapping[str, NDArray[Any]],
    server_round: int,
    pending: Mapping[str, NDArray[Any]],
) -> None:
    context_state[_STATE] = record_from_parameters(state.values(), list(state))
    context_state[_PENDING] = record_from_parameters(pending.values(), list(pending))
    context_state[_ROUNDS] = ConfigRecord({_STATE: state_round, _PENDING: server_round})


def _arrays(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Return the arrays of a record by name, half precision as float32."""
    return {name: wide_float(numpy_from_array(array, f"array {name!r}")) for name, array in record.items()}


def _is_unchanged(before: ArrayRecord, after: ArrayRecord) -> bool:
    return list(before) == list(after) and all(before[name].data == after[name].data for name in before)
