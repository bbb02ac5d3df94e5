"""Checks and replies for the messages of a grid."""

from __future__ import annotations

import time

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from flskew._flower import SERVER_NODE_ID, stamp

__all__ = ["check_reply", "expired", "has_expired", "id_of", "unavailable"]


def id_of(message: Message) -> str:
    """Return a message's id; Flower's is not typed."""
    message_id: str = message.metadata.message_id
    return message_id


def check_reply(reply: object, message: Message) -> None:
    """Check what a ClientApp returned.

    Raises:
        TypeError: It is not a message.
        ValueError: It does not reply to `message`.
    """
    if not isinstance(reply, Message):
        raise TypeError(
            f"the ClientApp must return a Message, got {type(reply).__name__}; use Message(content, reply_to=message)"
        )
    if reply.metadata.reply_to_message_id != message.metadata.message_id:
        raise ValueError("the ClientApp returned a Message that is not a reply; use Message(content, reply_to=message)")


def has_expired(message: Message) -> bool:
    """Return whether a message's time to live is over."""
    return message.metadata.created_at + message.metadata.ttl < time.time()


def expired(message: Message) -> Message:
    """Return the server's reply to a message whose time to live is over."""
    reply = _unavailable(message, f"The message or its reply exceeded its time to live of {message.metadata.ttl} s")
    stamp(reply, src_node_id=SERVER_NODE_ID)  # the server, not the node, reports it
    return reply


def unavailable(message_id: str) -> Message:
    """Return the server's reply to a pull of an unknown id, or of one already pulled."""
    # Which node the message was for is unknown, so Flower's SuperLink replies to itself.
    message = Message(RecordDict(), SERVER_NODE_ID, "system")
    stamp(message, src_node_id=SERVER_NODE_ID, message_id=message_id)
    return _unavailable(message, "The reply to this message has been pulled before, or there was no such message")


def _unavailable(message: Message, reason: str) -> Message:
    return Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, reason), reply_to=message)
