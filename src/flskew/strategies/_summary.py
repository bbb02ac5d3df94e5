"""A history in one line, and as a table with one row for each phase of a round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from flskew.strategies.history import Reply, Round

__all__ = ["in_one_line", "per_phase"]

# More metrics would make a table too wide to read; `History.to_frame` has them all.
_MOST_METRICS = 6


def in_one_line(history: Sequence[Round]) -> str:
    """Return how many rounds there are, and how many replies were accepted.

    Examples:
        >>> from flskew import Reply, Round
        >>> in_one_line([Round(1, "train", (Reply(1000, 20.0, {}, 1.5),), (), 2.0)])
        '1 round, 1 of 1 train replies accepted'
    """
    rounds = len({entry.server_round for entry in history})
    parts = [f"{rounds:,} round{'' if rounds == 1 else 's'}"]
    for phase in ("train", "evaluate"):
        entries = [entry for entry in history if entry.phase == phase]
        accepted = sum(len(entry.replies) for entry in entries)
        asked = accepted + sum(len(entry.failures) for entry in entries)
        absent = sum(len(entry.absent) for entry in entries)
        if asked or absent:
            note = f" ({absent:,} absent)" if absent else ""
            parts.append(f"{accepted:,} of {asked:,} {phase} replies accepted{note}")
    return ", ".join(parts)


def per_phase(history: Sequence[Round]) -> pd.DataFrame:
    """Return one row per phase of a round: accepted and failed replies, seconds, and the means of the first metrics.

    There is a column of absent nodes if there are any.

    The means are weighted by examples and taken over the replies that have the metric.
    """
    import pandas as pd

    keys: dict[str, None] = {}
    for entry in history:
        for reply in entry.replies:
            keys.update(dict.fromkeys(key for key, value in reply.metrics.items() if not isinstance(value, list)))
    names = [key for key in keys if key != "num-examples"][:_MOST_METRICS]
    rows = [
        {
            "phase": entry.phase,
            "accepted": len(entry.replies),
            "failed": len(entry.failures),
            "absent": len(entry.absent),
            "seconds": round(entry.seconds, 2),
            **{name: _mean(entry.replies, name) for name in names},
        }
        for entry in history
    ]
    columns = ["phase", "accepted", "failed", "seconds", *names]
    if any(entry.absent for entry in history):
        columns.insert(3, "absent")
    index = pd.Index([entry.server_round for entry in history], name="round")
    return pd.DataFrame(rows, index=index, columns=columns)


def _mean(replies: Sequence[Reply], name: str) -> float:
    known = [(reply.num_examples, reply.metrics[name]) for reply in replies if name in reply.metrics]
    numbers = [(weight, value) for weight, value in known if not isinstance(value, list)]
    total = sum(weight for weight, _ in numbers)
    return sum(weight * value for weight, value in numbers) / total if total else math.nan
