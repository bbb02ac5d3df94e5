"""How many rows of each class a client holds, for the strategies that ask, exactly or with noise.

Arpita Ghosh, Tim Roughgarden and Mukund Sundararajan. Universally Utility-Maximizing Privacy Mechanisms. STOC 2009,
pages 351 to 360. arXiv 0811.2841. Their geometric mechanism is Laplace noise on whole numbers: the probability of
adding x to a count is proportional to exp(-|x| / scale).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import numpy as np
from flwr.app import ConfigRecord, Context

from flskew._wire import LABEL_COUNT_NOISE_KEY, LABEL_COUNTS_KEY, LABELS_KEY, LARGEST_COUNT, PARTITION_ID_KEY
from flskew.client._protocols import ClientError
from flskew.client._replies import assignment_of

__all__ = ["label_counts_record", "requested_noise"]

_COUNTS, _NOISE = "counts", "noise"
_REMEDY = "set its attribute label_counts, one integer >= 0 per class, such as numpy.bincount(labels, minlength=10)"


def requested_noise(config: Mapping[str, object]) -> float | None:
    """Return the scale of the noise, in rows, with which the server asks for label counts; None if it does not ask.

    Raises:
        ClientError: The scale is not a number from 0 to 2^53.
    """
    if config.get(LABEL_COUNTS_KEY) is not True:
        return None
    scale = config.get(LABEL_COUNT_NOISE_KEY, 0.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= LARGEST_COUNT:
        raise ClientError(f"config[{LABEL_COUNT_NOISE_KEY!r}] must be a number of rows, from 0 to 2^53")
    return float(scale)


def label_counts_record(client: object, context: Context, noise: float, server_round: object = None) -> ConfigRecord:
    """Return the record with the client's label counts.

    Noise is drawn from the operating system once per run. What has been sent with noise is kept in `context.state` and
    sent again in later rounds, even if the client's rows change, as they do with a `Schedule`: the mean over rounds
    tells the server no more than one round. Without noise, the counts are those of the round.

    Args:
        client: Its attribute `label_counts` or, if it has none, its `assignment` has the counts.
        context: Has the number of its partition, and its state.
        noise: Scale of the noise, in rows, 0 ... 2^53.
        server_round: The round, for a client whose `assignment` is a `Schedule`.

    Raises:
        ClientError: The client has no counts, they are not integers >= 0, or noise of another scale was drawn before.
    """
    sent = context.state.get(LABELS_KEY)
    if isinstance(sent, ConfigRecord):
        if sent[_NOISE] != noise:
            raise ClientError(
                "the server asks for label counts with a different scale of noise than before; the mean of several "
                "answers would reveal them, so start a new run"
            )
        return ConfigRecord({_COUNTS: sent[_COUNTS]})
    counts = _counts(client, context, server_round)
    if noise:
        counts = _noisy(counts, noise)
        context.state[LABELS_KEY] = ConfigRecord({_COUNTS: counts, _NOISE: noise})
    return ConfigRecord({_COUNTS: counts})


def _counts(client: object, context: Context, server_round: object) -> list[int]:
    name = type(client).__name__
    given = getattr(client, "label_counts", None)
    if given is None:
        return _counts_of_partition(client, context, server_round)
    counts = np.asarray(given)
    if counts.ndim != 1 or counts.size < 2 or counts.dtype.kind not in "iu":
        raise ClientError(
            f"{name}.label_counts must be a list of integers, one per class, at least two, got an array of shape "
            f"{counts.shape} and dtype {counts.dtype}; e.g. numpy.bincount(labels, minlength=10)"
        )
    if counts.min() < 0 or counts.max() > LARGEST_COUNT:
        raise ClientError(f"{name}.label_counts must be from 0 to 2^53; count the client's rows of each class")
    listed: list[int] = counts.tolist()
    return listed


def _counts_of_partition(client: object, context: Context, server_round: object) -> list[int]:
    name = type(client).__name__
    assignment = assignment_of(client, server_round)
    if assignment is None:
        raise ClientError(f"the strategy averages by class, but {name} has no label counts; {_REMEDY}")
    try:
        label_counts = assignment.label_counts
    except ValueError:
        raise ClientError(f"{name}.assignment was made without labels; {_REMEDY}") from None
    number = context.node_config.get(PARTITION_ID_KEY)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(label_counts):
        raise ClientError(
            f"{PARTITION_ID_KEY} in this node's config is not a partition of {name}.assignment, so its label counts "
            f"are unknown; {_REMEDY}"
        )
    listed: list[int] = label_counts[number].tolist()
    return listed


def _noisy(counts: list[int], scale: float) -> list[int]:
    """Return counts with noise, at least 0."""
    source = random.SystemRandom()

    def geometric() -> int:
        return math.floor(scale * source.expovariate(1.0))  # at least k with probability exp(-k / scale)

    return [min(max(count + geometric() - geometric(), 0), LARGEST_COUNT) for count in counts]
