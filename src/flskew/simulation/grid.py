"""A Flower grid whose nodes live in this process."""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from flskew._flower import (
    SERVER_NODE_ID,
    Identity,
    isolated_context,
    isolated_message,
    isolated_records,
    new_run,
    stamp,
)
from flskew._util import checks
from flskew._util.progress import steps
from flskew._util.threads import in_threads
from flskew._util.values import call_repr
from flskew.simulation._config import flat_config
from flskew.simulation._failures import Failure, log_failures, log_unknown
from flskew.simulation._messages import check_reply, expired, has_expired, id_of, unavailable

if TYPE_CHECKING:
    from flskew._flower import Run

__all__ = ["LocalGrid"]

_FIRST_NODE_ID = 1000
"""The node that holds partition i is number 1000 + i; 1 is the server."""

_run_ids = itertools.count(1)


@dataclass
class _Outcome:
    request: Message
    reply: Message
    seconds: float = 0.0
    context: Context | None = None
    """The client's context afterwards, until the grid has taken it."""
    failure: Failure | None = None

    def pulled(self) -> Message:
        return expired(self.request) if has_expired(self.request) else self.reply


class LocalGrid(Grid):
    """A Flower `Grid` whose nodes live in this process: no Ray, no SuperLink, no other process.

    Every Flower strategy runs on it: `FedAvg().start(LocalGrid(client_app, 3), arrays, num_rounds=3)`. Clients run one
    after the other, in the order of their messages, or in `max_workers` threads; replies keep the order of the
    messages, so the result does not depend on the number of threads. Everything else is as in Flower's simulation. Each
    node has "partition-id" and "num-partitions" in its node config, and keeps its context from round to round. Clients
    are isolated from each other. If a client raises an exception, it sends Flower's error reply, and its changes to its
    context are dropped. A client that exceeds the timeout of the round runs to its end, but its reply is lost.

    Ctrl-C ends the round within a second and interrupts the clients. A thread in a long call outside Python is left
    behind until that call returns; its reply and its changes to its context are dropped.

    Flower needs an identity to make messages. The grid provides it until `close`, the end of a `with` block, or garbage
    collection.

    Args:
        client_app: Runs on every node.
        num_supernodes: Number of nodes, >= 1; also the number of partitions.
        run_config: Run config that apps see in `context.run_config`; nested tables are flattened with dots.
        max_workers: Number of clients that run at the same time, >= 1. More than one helps if clients spend their time
            in NumPy or PyTorch, which release the interpreter's lock. Clients in threads must not share mutable state,
            such as PyTorch's global generator.

    Raises:
        TypeError: `client_app` is not a `ClientApp`, a number is not an integer, or a value of `run_config` is not a
            bool, int, float or str.
        ValueError: `num_supernodes` or `max_workers` is less than 1.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import FedAvg, client_app
        >>> class Client:
        ...     def __init__(self, context):
        ...         self.value = context.node_config["partition-id"]
        ...
        ...     def fit(self, parameters, config):
        ...         return [np.full_like(parameters[0], self.value)], 10, {}
        >>> grid = LocalGrid(client_app(Client), 3)
        >>> result = FedAvg(fraction_evaluate=0.0).start(
        ...     grid, ArrayRecord([np.zeros(2)]), num_rounds=1
        ... )
        >>> result.arrays.to_numpy_ndarrays()  # (0 + 1 + 2) / 3
        [array([1., 1.])]
    """

    nodes_are_fixed = True
    """No other node will connect, so strategies do not wait for more."""

    def __init__(
        self,
        client_app: ClientApp,
        num_supernodes: int,
        run_config: Mapping[str, object] | None = None,
        *,
        max_workers: int = 1,
    ) -> None:
        self.client_app = checked_client_app(client_app)
        self.num_supernodes = count = checks.integer("num_supernodes", num_supernodes, minimum=1)
        self.max_workers = checks.integer("max_workers", max_workers, minimum=1)
        config = flat_config(run_config or {})
        self.run_config = config or None
        self._run = new_run(next(_run_ids), config)
        self._config = dict(config)
        self._node_ids = range(_FIRST_NODE_ID, _FIRST_NODE_ID + count)
        self._contexts: dict[int, Context] = {}  # of the nodes that have replied; the others' would all be alike
        self._outcomes: dict[str, _Outcome] = {}
        self._logged_failures: set[Hashable] = set()
        self._num_messages = itertools.count(1)
        self._close = weakref.finalize(self, Identity(self._run.run_id).release)

    def __repr__(self) -> str:
        """The call that makes it."""
        return call_repr(self)

    def close(self) -> None:
        """Release the identity that Flower uses to make messages; a second call does nothing."""
        self._close()

    def __enter__(self) -> Self:
        """Return the grid."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the grid."""
        self.close()

    def set_run(self, run: Run | int) -> None:
        """Set the run: Flower's `Run`, or its number, as in earlier releases."""
        self._run = new_run(run, self._run.override_config) if isinstance(run, int) else run

    @property
    def run(self) -> Run:
        """Flower's `Run`."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message to a node; the same as Flower's `Message(...)`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes; that of partition i is 1000 + i."""
        return list(self._node_ids)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Run the client of each message, and store the replies until they are pulled.

        If you send the same `Message` object twice before its reply is pulled, it is one message with one id, as on a
        SuperLink. Afterwards, it is a new message.

        Returns:
            One id per message. Messages to unknown nodes are logged and skipped, as in Flower's simulation.
        """
        pending = list(messages)
        known = [message for message in pending if message.metadata.dst_node_id in self._node_ids]
        log_unknown([node for message in pending if (node := message.metadata.dst_node_id) not in self._node_ids])
        new = self._unsent(known)
        # Checked first: a message that expires while others run was still sent in time.
        late = [message for message in new if has_expired(message)]
        for message in new:
            self._stamp(message)
        done = {id_of(message): _Outcome(message, expired(message)) for message in late}
        tasks = self._tasks([message for message in new if id_of(message) not in done])
        try:
            with steps(pending[0].metadata.message_type if pending else "", len(tasks)) as step:
                for outcomes in in_threads(self._deliver, tasks, self.max_workers):
                    self._take_contexts(outcomes)
                    done.update((id_of(outcome.request), outcome) for outcome in outcomes)
                    step()
        finally:
            log_failures((outcome.failure for outcome in done.values() if outcome.failure), self._logged_failures)
        # Stored only now: if an interrupt ends this call, the caller has no ids and could never pull the replies.
        self._outcomes.update(done)
        return [id_of(message) for message in known]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return one reply to each of these messages.

        A reply can be pulled once. After that, and for an unknown id, the server replies that it is unavailable, as on
        Flower's grids.
        """
        outcomes = {message_id: self._outcomes.pop(message_id, None) for message_id in dict.fromkeys(message_ids)}
        return [outcome.pulled() if outcome else unavailable(message_id) for message_id, outcome in outcomes.items()]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Run the clients and return the replies of those that took no longer than `timeout` seconds each."""
        message_ids = dict.fromkeys(self.push_messages(messages))
        outcomes = [self._outcomes.pop(message_id) for message_id in message_ids]
        return [outcome.pulled() for outcome in outcomes if timeout is None or outcome.seconds <= timeout]

    def node_states(self) -> dict[int, RecordDict]:
        """Return the non-empty states of the clients' contexts, by node."""
        return {
            node_id: isolated_records(context.state)
            for node_id, context in sorted(self._contexts.items())
            if context.state
        }

    def restore_node_states(self, states: Mapping[int, RecordDict]) -> None:
        """Restore what `node_states` returned, and clear the state of all other nodes.

        Raises:
            ValueError: A node does not exist.
        """
        unknown = sorted(node_id for node_id in states if node_id not in self._node_ids)
        if unknown:
            raise ValueError(f"node {unknown[0]} does not exist; nodes are {_FIRST_NODE_ID} to {self._node_ids[-1]}")
        for node_id in self._contexts.keys() | states.keys():
            context = self._contexts[node_id] = self._context(node_id)
            context.state = isolated_records(states.get(node_id, RecordDict()))

    def _context(self, node_id: int) -> Context:
        """Return the context of a node, which is a new one before its first reply."""
        return self._contexts.get(node_id) or Context(
            run_id=self._run.run_id,
            node_id=node_id,
            node_config={"partition-id": node_id - _FIRST_NODE_ID, "num-partitions": len(self._node_ids)},
            state=RecordDict(),
            run_config=dict(self._config),
        )

    def _unsent(self, messages: Sequence[Message]) -> list[Message]:
        """Return each object once, without those whose reply has not been pulled yet."""
        by_object = {id(message): message for message in messages}
        for outcome in self._outcomes.values():
            by_object.pop(id(outcome.request), None)
        return list(by_object.values())

    def _stamp(self, message: Message) -> None:
        """Give a message its id and its sender, as Flower's grids do, so that replies can be matched with it."""
        message_id = f"{self._run.run_id}-{next(self._num_messages)}"
        stamp(message, run_id=self._run.run_id, src_node_id=SERVER_NODE_ID, message_id=message_id)

    def _tasks(self, messages: Sequence[Message]) -> list[list[Message]]:
        """Group the messages that must run in order, those of one node; the groups are independent."""
        if self.max_workers == 1:
            return [[message] for message in messages]
        by_node: dict[int, list[Message]] = {}
        for message in messages:
            by_node.setdefault(message.metadata.dst_node_id, []).append(message)
        return list(by_node.values())

    def _deliver(self, messages: Sequence[Message]) -> list[_Outcome]:
        """Run the client of one node on its messages."""
        context = self._context(messages[0].metadata.dst_node_id)
        outcomes = []
        for message in messages:
            outcomes.append(self._run_client(message, context))
            context = outcomes[-1].context or context
        return outcomes

    def _take_contexts(self, outcomes: Sequence[_Outcome]) -> None:
        """Store the clients' contexts, in this thread only: a client that an interrupt left behind changes nothing."""
        for outcome in outcomes:
            if outcome.context is not None:
                self._contexts[outcome.request.metadata.dst_node_id] = outcome.context
                outcome.context = None

    def _run_client(self, message: Message, context: Context) -> _Outcome:
        # On a network, nodes work in parallel: waiting for the previous client must not count.
        message.metadata.created_at = time.time()
        started = time.monotonic()
        own_context = isolated_context(context)
        own_context.run_id = self._run.run_id  # which `set_run` may have changed
        outcome = self._answer(message, own_context)
        outcome.seconds = time.monotonic() - started
        stamp(outcome.reply, message_id=f"{id_of(message)}-reply")
        return outcome

    def _answer(self, message: Message, context: Context) -> _Outcome:
        try:
            reply = self.client_app(isolated_message(message), context)
            check_reply(reply, message)
            return _Outcome(message, isolated_message(reply), context=isolated_context(context))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # on a network, a client that exits does not end the others
            failure = Failure.of(message.metadata.dst_node_id, error)
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, failure.reason), reply_to=message)
            return _Outcome(message, reply, failure=failure)


def checked_client_app(client_app: object) -> ClientApp:
    """Return `client_app` if it is a `ClientApp`.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(client_app, ClientApp):
        raise TypeError(
            f"client_app must be a flwr.clientapp.ClientApp, got {type(client_app).__name__}; "
            "flskew.client_app(client_fn) makes one from a function that returns a client"
        )
    return client_app
