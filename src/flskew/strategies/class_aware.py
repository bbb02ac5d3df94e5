"""Class-aware averaging: each row of the last layer is averaged over the clients that hold its class.

A client without examples of class c still changes the weights of output c: its cross-entropy loss pushes that output
down for every example that it has. FedAvg averages this in. Class-aware averaging computes row c of the last layer,
weights and bias, as the mean with weights n_kc / n_c, where n_kc is the number of examples of class c that client k
holds and n_c the sum over the clients of the round. All other arrays are averaged as in FedAvg.

Unlike cwFedAvg (Lee and Choi, cited by `ClassAware`), which averages all layers by class and makes a personal model for
each client, the result is one global model, and only the last layer is averaged by class. Unlike FedSat (Chowdhury and
Halder), which weights whole models, it leaves the loss of the clients as it is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from numpy.typing import NDArray

from flskew._arrays.records import numpy_from_array
from flskew._arrays.weighted_mean import weighted_mean
from flskew._util import checks
from flskew._util.texts import listed
from flskew._util.values import Value
from flskew._wire import KEPT_KEY, LABEL_COUNT_NOISE_KEY, LABEL_COUNTS_KEY, LABELS_KEY, LARGEST_COUNT
from flskew.strategies._checks import BadReplyError, CheckedReply
from flskew.strategies._head import KEPT_HEAD, checked_head, find_head, resolved_head
from flskew.strategies._judgement import Judgement

__all__ = ["ClassAware"]

_logger = logging.getLogger("flwr")


class ClassAware(Value):
    """Average each class's row of the last layer over the clients that hold the class, weighted by their label counts.

    Use it when clients lack classes, even if clients come and go: it keeps no state on them, and costs them nothing.

    Pass it to a strategy: `FedAvg(averaging=ClassAware())`. Row c of the last layer, with its bias, becomes the mean of
    the clients' rows with weights n_kc / n_c. Here, n_kc is the number of examples of class c on client k, and n_c its
    sum over the accepted replies of the round. If none of them holds a class, its row stays as it was sent. All other
    arrays are averaged by numbers of examples. If all clients have the same label distribution, this is FedAvg, bit for
    bit.

    The strategy asks clients for their label counts. Clients made with `client_app` answer with their attribute
    `label_counts`, or with the counts of their partition in their `assignment`. Class c is position c in these counts,
    on every client and in the last layer. A reply whose counts are missing, negative, too large, all zero or of another
    length is dropped, with a reason. Otherwise counts are trusted: a client that exaggerates gets more weight.

    Args:
        head: The arrays of the last layer and the axis of their classes, such as {"fc2.weight": 0, "fc2.bias": 0}: axis
            0 for PyTorch and scikit-learn's `coef_`, 1 for the kernel in Keras, JAX and scikit-learn's `coefs_`.
            The arrays of a record made from a list are named "0", "1", and so on. None finds the layer by its shape,
            and raises an error if another layer has the same number of inputs or outputs.
        count_noise: Scale of the discrete Laplace noise that each client adds to its counts, in examples, >= 0. It is
            drawn from the client's operating system once per run, so that the mean over rounds does not remove it;
            results then differ from run to run, even with the same seed.

    Raises:
        TypeError: `head` is not a mapping from names to integers, or `count_noise` is not a number.
        ValueError: `head` is empty, or `count_noise` is negative or above 2^53.

    References:
        G. Lee, D. Choi: "Class-Wise Federated Averaging for Efficient Personalization", ICCV 2025,
        https://arxiv.org/abs/2406.07800, whose cwFedAvg makes one model per class with the same weights, and mixes
        these into a personal model for each client.

        S. Chowdhury, R. Halder: "FedSat: A Statistical Aggregation Approach for Class Imbalanced Clients in Federated
        Learning", 2024, https://arxiv.org/abs/2407.03862, which weights whole models by how well they predict the
        classes that need it most.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import ClassAware, FedAvg, LocalGrid, client_app
        >>> class Client:
        ...     def __init__(self, context):
        ...         partition_id = context.node_config["partition-id"]
        ...         self.label_counts = [[30, 0, 0], [10, 20, 0]][partition_id]
        ...         self.value = [4.0, 8.0][partition_id]
        ...
        ...     def fit(self, parameters, config):
        ...         return [np.full_like(parameters[0], self.value)], 30, {}
        >>> class_aware = ClassAware(head={"0": 0})
        >>> strategy = FedAvg(fraction_evaluate=0.0, averaging=class_aware)
        >>> with LocalGrid(client_app(Client), 2) as grid:
        ...     result = strategy.start(grid, ArrayRecord([np.ones(3)]), num_rounds=1)
        >>> # (30 * 4 + 10 * 8) / 40, client 1 alone, none; with FedAvg: 6, 6, 6
        >>> result.arrays.to_numpy_ndarrays()
        [array([5., 8., 1.])]
    """

    def __init__(self, head: Mapping[str, int] | None = None, count_noise: float = 0.0) -> None:
        self.head = checked_head(head)
        rule = "count_noise must be a number of rows from 0 to 2^53"
        self.count_noise = checks.within(rule, count_noise, most=LARGEST_COUNT)

    def _request(self, arrays: ArrayRecord) -> dict[str, bool | float]:
        """Return what to add to the config of a training message.

        Raises:
            ValueError: `head` does not fit the model.
        """
        if self.head is not None:
            resolved_head(self.head, arrays)
        return {LABEL_COUNTS_KEY: True, LABEL_COUNT_NOISE_KEY: self.count_noise}

    def _screen(self, judgement: Judgement) -> Judgement:
        """Drop the replies without label counts, or with impossible ones.

        Without `head`, the model does not say how many classes there are; then most clients decide.
        """
        lengths, reasons = {}, {}
        for place, reply in judgement.counted.items():
            try:
                lengths[place] = len(_counts(reply, may_be_zero=self.count_noise > 0))
            except BadReplyError as error:
                reasons[place] = error.reason
        if not lengths:
            return judgement.without(reasons)
        if self.head is None:
            most, _ = Counter(lengths[place] for place in sorted(lengths)).most_common(1)[0]
            whose = "those of most clients have"
        else:
            (name, *_), most = resolved_head(self.head, judgement.like)
            whose = f"the last layer, {name!r}, has"
        reasons |= {
            place: f"its label counts have {length} classes, but {whose} {most}; count every class of the federation"
            for place, length in lengths.items()
            if length != most
        }
        return self._without_private_heads(judgement.without(reasons))

    def _without_private_heads(self, judgement: Judgement) -> Judgement:
        """Drop the replies that only echo the last layer, because their clients keep their own."""
        kept = {place: names for place, reply in judgement.counted.items() if (names := _kept(reply, judgement.like))}
        head = self._last_layer(judgement) if kept else {}
        reasons = {
            place: f"it keeps {name!r} to itself: {KEPT_HEAD}"
            for place, names in kept.items()
            for name in names
            if name in head
        }
        return judgement.without(reasons)

    def _last_layer(self, judgement: Judgement) -> dict[str, int]:
        """Return the arrays of the last layer and the axis of their classes.

        Args:
            judgement: At least one accepted reply, screened.

        Raises:
            ValueError: The last layer cannot be found by its shape.
        """
        if self.head is not None:
            return resolved_head(self.head, judgement.like)[0]
        return find_head(judgement.like, len(_counts(judgement.in_order()[0], may_be_zero=True)))

    def _average(self, judgement: Judgement, means: Mapping[str, NDArray[Any]]) -> None:
        """Overwrite the last layer, row by row.

        Args:
            judgement: At least one accepted reply, screened.
            means: The mean of every array by numbers of examples, by name; those of the last layer are changed.

        Raises:
            NotFiniteError: A mean is not finite.
            ValueError: The last layer cannot be found by its shape.
        """
        counted, like = judgement.in_order(), judgement.like
        counts = [_counts(reply, may_be_zero=True) for reply in counted]
        head = self._last_layer(judgement)
        places = {name: place for place, name in enumerate(like)}
        rows_of_means = [_rows(means[name], axis) for name, axis in head.items()]
        rows = [[_rows(reply.parameters[places[name]], axis) for name, axis in head.items()] for reply in counted]
        # Without messages, which only a loop other than Flower's and ours can lose, the model that was sent is unknown.
        sent = [_rows(numpy_from_array(like[name]), axis) for name, axis in head.items()] if judgement.models else []
        absent = []
        for label, of_label in enumerate(zip(*counts, strict=True)):
            holders = [place for place, count in enumerate(of_label) if count]
            row = slice(label, label + 1)
            made: list[NDArray[Any]] = [array[row] for array in sent]
            if holders:
                models = [[array[row] for array in rows[place]] for place in holders]
                made = weighted_mean(models, [of_label[place] for place in holders])
            else:
                absent.append(label)
            for mean, new in zip(rows_of_means, made, strict=False):
                mean[row] = new
        _logger.info("\t> Averaged by class: %s", head)
        if absent:
            _logger.info("\t> Kept as sent, because no client of this round holds them: classes [%s]", listed(absent))


def checked_averaging(averaging: object) -> ClassAware | None:
    """Return the argument `averaging` of a strategy.

    Raises:
        TypeError: It is neither a `ClassAware` nor None.
    """
    if averaging is not None and not isinstance(averaging, ClassAware):
        raise TypeError(f"averaging must be ClassAware(...), or None to average by examples, got {averaging!r:.80}")
    return averaging


def _rows(array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return a view whose first axis is that of the classes."""
    return np.moveaxis(array, axis, 0)


def _kept(reply: CheckedReply, like: ArrayRecord) -> list[str]:
    """Return the names of the arrays that a client keeps to itself, as far as it says so."""
    record = reply.message.content.get(LABELS_KEY)
    places = record.get(KEPT_KEY) if isinstance(record, ConfigRecord) else None
    return [name for place, name in enumerate(like) if isinstance(places, list) and place in places]


def _counts(reply: CheckedReply, *, may_be_zero: bool) -> list[int | float]:
    """Return the label counts of a reply.

    Args:
        reply: The reply.
        may_be_zero: Whether all may be zero, as noise can make them.

    Raises:
        BadReplyError: It has none, or they cannot be counts.
    """
    record = reply.message.content.get(LABELS_KEY)
    sent = record.get("counts") if isinstance(record, ConfigRecord) else None
    if not isinstance(sent, list):
        raise BadReplyError("no label counts, which class-aware averaging needs; make its app with flskew.client_app")
    counts: list[int | float] = []
    for label, count in enumerate(sent):
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= LARGEST_COUNT:
            raise BadReplyError(f"its label count of class {label} is {count!r:.40}; it must be from 0 to 2^53")
        counts.append(count)
    if len(counts) < 2:
        raise BadReplyError(f"its label counts have {len(counts)} classes; there must be at least two")
    if not may_be_zero and not any(counts):
        raise BadReplyError("its label counts are all zero; it must hold at least one row")
    return counts
