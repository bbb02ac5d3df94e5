"""Query messages: a client with a method `query` answers them like train and evaluate messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import ErrorCode

from flskew import ClientError, IidPartitioner, LocalGrid, client_app
from flskew.client import SupportsQuery
from flskew.typing import Mod

QUESTION = RecordDict({"question": ConfigRecord({"add": 2})})


class Client:
    def __init__(self, context: Context) -> None:
        self.state = context.state

    def fit(self, parameters: Any, config: Any) -> Any:
        return parameters, 1, {}


class Adds(Client):
    def query(self, content: RecordDict) -> RecordDict:
        config = content["question"]
        assert isinstance(config, ConfigRecord)
        return RecordDict({"answer": ConfigRecord({"sum": 1 + config["add"]})})  # type: ignore[operator]


def ask(client: Any, mods: Sequence[Mod] = (), **options: Any) -> Message:
    with LocalGrid(client_app(client, mods=mods, **options), 1) as grid:
        (reply,) = grid.send_and_receive([Message(QUESTION, 1000, "query")])
    return reply


def test_a_client_answers_a_query_with_records_of_its_own() -> None:
    reply = ask(Adds)
    assert dict(reply.content["answer"]) == {"sum": 3}
    assert issubclass(Adds, SupportsQuery)
    assert not issubclass(Client, SupportsQuery)


def test_the_reply_carries_the_fingerprint_of_the_split() -> None:
    class Split(Adds):
        assignment = IidPartitioner(2).assign(range(4))

    assert ask(Split).content["flskew"]["assignment"] == Split.assignment.fingerprint  # type: ignore[index]


def test_a_client_without_query_says_so() -> None:
    reply = ask(Client)
    assert reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert "Client does not answer queries; give it query(content)" in str(reply.error.reason)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        pytest.param(None, "Wrong.query must return a RecordDict, got NoneType", id="nothing"),
        pytest.param({"answer": 1}, "Wrong.query must return a RecordDict, got dict", id="a dictionary"),
        pytest.param(
            RecordDict({"flskew": ConfigRecord()}), "returned a record 'flskew'; use another key", id="flskew"
        ),
    ],
)
def test_an_answer_of_the_wrong_form_is_an_error_that_names_the_method(returned: Any, reason: str) -> None:
    class Wrong(Client):
        def query(self, content: RecordDict) -> Any:
            return returned

    assert reason in str(ask(Wrong).error.reason)


def test_the_error_of_a_query_is_private_and_the_state_is_restored() -> None:
    class Fails(Client):
        def query(self, content: RecordDict) -> Any:
            self.state["secret"] = ConfigRecord()
            raise ValueError("patient 17")

    with LocalGrid(client_app(Fails), 1) as grid:
        (reply,) = grid.send_and_receive([Message(QUESTION, 1000, "query")])
        assert grid.node_states() == {}
    assert "ValueError at test_query.py" in str(reply.error.reason)
    assert "patient" not in str(reply.error.reason)


def test_the_message_of_a_client_error_is_sent() -> None:
    class Refuses(Client):
        def query(self, content: RecordDict) -> Any:
            raise ClientError("ask the ethics committee")

    assert "ask the ethics committee" in str(ask(Refuses).error.reason)


def test_the_mods_for_every_message_wrap_queries_and_those_for_training_do_not() -> None:
    seen = []

    def mod(name: str) -> Mod:
        def call(message: Message, context: Context, call_next: Any) -> Message:
            seen.append((name, message.metadata.message_type))
            return call_next(message, context)  # type: ignore[no-any-return]

        return call

    ask(Adds, [mod("any")], train_mods=[mod("train")], evaluate_mods=[mod("evaluate")])
    assert seen == [("any", "query")]


def test_a_client_may_change_the_content_it_receives() -> None:
    class Greedy(Client):
        def query(self, content: RecordDict) -> RecordDict:
            content.pop("question")
            return content

    with LocalGrid(client_app(Greedy), 2) as grid:
        replies = grid.send_and_receive([Message(QUESTION, node, "query") for node in grid.get_node_ids()])
    assert [list(reply.content) for reply in replies] == [["flskew"], ["flskew"]]
    assert list(QUESTION) == ["question"]
