"""Error replies of clients, and the node's log of what they leave out.

The text of an exception may quote rows, labels, paths or passwords, and so may its traceback. In private mode an error
reply therefore contains only the type of the exception, where it was raised, and the id under which the node's own log
has the rest.
"""

from __future__ import annotations

import hashlib
import logging
import re
import traceback
from collections.abc import Hashable
from types import CodeType, TracebackType
from typing import Literal

from flwr.app import ConfigRecord, Error, Message
from flwr.common.constant import ErrorCode

from flskew._arrays.records import ParametersError
from flskew._util.frames import is_own
from flskew._util.texts import cut, one_line, printable
from flskew.assignment import PartitionIdError
from flskew.client._protocols import MISSING_CLASSES, ClientError

__all__ = ["Failures"]

# Their messages contain names, positions, shapes and dtypes, never values.
_SENT_AS_THEY_ARE = (ClientError, ParametersError, PartitionIdError)
# Beginnings of scikit-learn's messages about missing classes, which may quote a label; a fixed text is sent instead.
_ABOUT_MISSING_CLASSES = (
    "Initialization coef is of shape",
    "This solver needs samples of at least 2 classes",
    "The number of classes has to be greater than one",
)
_HINT = '; for development, client_app(..., errors="full") sends this to the server'
_LONGEST_NAME, _LONGEST_MESSAGE, _LONGEST_FULL = 100, 1000, 16 * 1024

_logger = logging.getLogger("flwr")
# The first message that failed, by run and id. It belongs to the process, since Ray unpickles the app for each message.
_first: dict[tuple[int, str], Hashable] = {}


class Failures:
    """Turns the exceptions of one app's clients into error replies, and logs them.

    Args:
        errors: "private", or "full" to send message and traceback.

    Raises:
        ValueError: `errors` has another value.
    """

    def __init__(self, errors: Literal["private", "full"]) -> None:
        if errors not in ("private", "full"):
            raise ValueError(f"errors must be 'private' or 'full', got {errors!r}")
        self._is_private = errors == "private"

    def reply(self, error: Exception, message: Message) -> Message:
        """Return the error reply to a message; the log has the traceback, once for each run and id."""
        frames = _frames(error.__traceback__)
        log_id = _log_id(error, frames)
        text = printable(_traceback(error), keep="\n")
        level = logging.ERROR if _is_first(message, log_id) else logging.DEBUG
        node_id, hint = message.metadata.dst_node_id, _HINT if self._is_private else ""
        _logger.log(level, "The client of node %d failed, id %s%s:\n%s", node_id, log_id, hint, text)
        if self._is_private:
            reason = _private_reason(error, frames, log_id)
        else:
            lines = (one_line(line, _LONGEST_FULL) for line in text.splitlines())
            reason = cut("\n".join([f"{_kind(error)}: {_message(error)}", *lines]), _LONGEST_FULL)
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def _is_first(message: Message, log_id: str) -> bool:
    """Return whether this is the first failure of its kind in a run.

    A grid in this process may serve several runs: the same message again means that a new run has begun.
    """
    metadata = message.metadata
    configs = [record for record in message.content.values() if isinstance(record, ConfigRecord)]
    rounds = [str(config["server-round"]) for config in configs if "server-round" in config]
    this = (metadata.dst_node_id, metadata.message_type, *(rounds or [metadata.message_id]))
    return _first.setdefault((metadata.run_id, log_id), this) == this


def _private_reason(error: Exception, frames: list[tuple[CodeType, int]], log_id: str) -> str:
    own = [frame for frame in frames if is_own(frame[0].co_filename)]
    if isinstance(error, _SENT_AS_THEY_ARE):
        place = f"{_place(own[-1])}, " if own else ""
        return f"{_kind(error)}: {_message(error)} ({place}id {log_id} in the node's log)"
    hint = f"; {MISSING_CLASSES}" if _message(error).startswith(_ABOUT_MISSING_CLASSES) else ""
    return f"{_kind(error)} at {_place((own or frames)[-1])}{hint}; the node's log has its message under id {log_id}"


def _place(frame: tuple[CodeType, int]) -> str:
    code, line = frame
    return f"{one_line(_file_name(code), _LONGEST_NAME)}:{line} in {one_line(code.co_qualname, _LONGEST_NAME)}"


def _log_id(error: Exception, frames: list[tuple[CodeType, int]]) -> str:
    """Return a digest of the type and the stack, which is the same on every node and in every round."""
    # Each frame once, because the depth of a recursion depends on the engine.
    stack = dict.fromkeys((_file_name(code), line, code.co_qualname) for code, line in frames)
    return hashlib.sha256(repr((_kind(error), list(stack))).encode("utf-8", "replace")).hexdigest()[:8]


def _frames(tb: TracebackType | None) -> list[tuple[CodeType, int]]:
    return [(frame.f_code, line) for frame, line in traceback.walk_tb(tb)]


def _file_name(code: CodeType) -> str:
    return re.split(r"[\\/]", code.co_filename)[-1]


def _kind(error: Exception) -> str:
    return one_line(type(error).__name__, _LONGEST_NAME)


def _message(error: Exception) -> str:
    try:
        return one_line(str(error), _LONGEST_MESSAGE)
    except Exception:  # whatever the user's __str__ raises
        return "its message cannot be shown"


def _traceback(error: Exception) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # as above
        return f"{_kind(error)}, whose traceback cannot be shown"
