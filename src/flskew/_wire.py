"""Conventions between clients and strategies beyond Flower's own records.

- Whether a client evaluates. Flower's strategies ask every client and average all replies without an error, so an
  error is the only reply that they all ignore. Its own error code tells strategies that it is not a failure.
- Which split a client uses: the ConfigRecord "flskew" has the assignment's fingerprint under "assignment".
- Whether a client is absent from a round, because it has no rows now: an error reply with its own code, too.
- How much local work a client did: "local-epochs" in the record "metrics".
- Which partition a client holds: its number under "partition-id" and its name under "partition-name", in the record
  "flskew".
- Which metrics a client returned that cannot be sent: their names, in the ConfigRecord "flskew" under "unsent-metrics".
- What a strategy asks of a client's local term: a key in the config for each strategy, and in the ArrayRecord
  "flskew-control" the server's control variate. The reply has a ConfigRecord "flskew-term": the positions of the arrays
  that the term covers, the number of its steps, and the round from which the client's state comes; and a record
  "flskew-control" with the change of the client's control variate.
- Whether the client's last reply counted: "accepted-round" in the config, the last round in which it did, or 0.
- How many rows of each class a client holds: requested by "label-counts" = True in the config, with the scale of the
  noise under "label-count-noise"; sent in the ConfigRecord "flskew-labels" under "counts". It is a record of its own
  because it is not kept in the history. Beside the counts, "kept" lists the positions of the arrays that the client
  keeps to itself, if there are any.
"""

from __future__ import annotations

from flwr.app import Message

__all__ = [
    "ABSENT",
    "ACCEPTED_ROUND_KEY",
    "ASSIGNMENT_KEY",
    "CONTROL_KEY",
    "COUNT_STEPS_KEY",
    "DOES_NOT_EVALUATE",
    "FEDDYN_ALPHA_KEY",
    "FLSKEW_KEY",
    "INT64",
    "KEPT_KEY",
    "LABELS_KEY",
    "LABEL_COUNTS_KEY",
    "LABEL_COUNT_NOISE_KEY",
    "LARGEST_COUNT",
    "LEFT_OUT_KEY",
    "LOCAL_EPOCHS_KEY",
    "LOCAL_STEPS_KEY",
    "LOSS_KEY",
    "METRICS_KEY",
    "NUM_EXAMPLES_KEY",
    "PARTITION_ID_KEY",
    "PARTITION_NAME_KEY",
    "PROXIMAL_MU_KEYS",
    "SCAFFOLD_KEY",
    "SERVER_ROUND_KEY",
    "TERM_ARRAYS_KEY",
    "TERM_KEY",
    "TERM_STATE_ROUND_KEY",
    "UNSENT_METRICS_KEY",
    "does_not_evaluate",
    "is_absent",
]

NUM_EXAMPLES_KEY = "num-examples"
"""Key of a reply's weight among its metrics."""

LOSS_KEY = "loss"
"""Key of the loss among the metrics of an evaluation."""

INT64 = range(-(2**63), 2**63)
"""Integers that a `MetricRecord` can send."""

METRICS_KEY = "metrics"
"""Key of a reply's MetricRecord."""

FLSKEW_KEY = "flskew"
"""Key of a reply's ConfigRecord for flskew's strategies."""

ASSIGNMENT_KEY = "assignment"
"""Key of the fingerprint of the client's assignment in that record."""

PARTITION_ID_KEY = "partition-id"
"""Key of the number of the client's partition, in the node config and in the record "flskew"."""

PARTITION_NAME_KEY = "partition-name"
"""Key of the name of the client's partition in the record "flskew"."""

LOCAL_EPOCHS_KEY = "local-epochs"
"""Key of the number of passes over the rows: requested in the config, done in the metrics."""

LABEL_COUNTS_KEY = "label-counts"
"""Key of the config entry that is True if clients are to report how many rows of each class they hold."""

LABEL_COUNT_NOISE_KEY = "label-count-noise"
"""Key of the scale of the noise on these counts, in rows, in the config."""

LABELS_KEY = "flskew-labels"
"""Key of the ConfigRecord with the counts, under "counts", in a reply; in a client's state, of those it has sent."""

KEPT_KEY = "kept"
"""Key, in that record, of the positions of the arrays that the client keeps to itself."""

LARGEST_COUNT = 2**53
"""More rows than any data set has, but few enough that float64 represents every count and no sum is infinite."""

UNSENT_METRICS_KEY = "unsent-metrics"
"""Key of the names of metrics that were left out of a reply, a list of strings, in the record "flskew"."""

SERVER_ROUND_KEY = "server-round"
"""Key of the round in the config."""

PROXIMAL_MU_KEYS = ("proximal-mu", "proximal_mu")
"""Keys of FedProx's mu in the config: Flower's strategy sends the first, earlier releases sent the second."""

FEDDYN_ALPHA_KEY = "feddyn-alpha"
"""Key of FedDyn's alpha in the config."""

SCAFFOLD_KEY = "scaffold"
"""Key in the config that is True if the strategy is SCAFFOLD."""

COUNT_STEPS_KEY = "count-steps"
"""Key in the config that is True if the strategy needs the number of local steps, like FedNova."""

ACCEPTED_ROUND_KEY = "accepted-round"
"""Key in the config of the last round in which the reply of this node counted; 0 if none has."""

LEFT_OUT_KEY = "term-leaves-out"
"""Key in the config of the names of arrays to which the local term does not apply, a list of strings."""

CONTROL_KEY = "flskew-control"
"""Key of the ArrayRecord with SCAFFOLD's control variate: the server's in a message, the client's change in a reply."""

TERM_KEY = "flskew-term"
"""Key of the ConfigRecord in which a client reports on its local term."""

TERM_ARRAYS_KEY = "arrays"
"""Key, in that record, of the positions of the model's arrays that the term covers."""

LOCAL_STEPS_KEY = "local-steps"
"""Key of the number of optimizer steps: in that record, or in the metrics of a client that counts them itself."""

TERM_STATE_ROUND_KEY = "state-round"
"""Key, in that record, of the round in which the state was made that the client used; 0 if it began at zero."""

DOES_NOT_EVALUATE = 70_001
"""Error code of a client that only trains; far above Flower's own codes, which count up from 0."""

ABSENT = 70_002
"""Error code of a client that takes no part in the round."""


def does_not_evaluate(reply: Message) -> bool:
    """Return whether a reply says that its client only trains, which is not a failure.

    Examples:
        >>> from flwr.app import Error, Message, RecordDict
        >>> from flskew import LocalGrid, client_app
        >>> class OnlyFits:
        ...     def fit(self, parameters, config):
        ...         return parameters, 10, {}
        >>> with LocalGrid(client_app(lambda context: OnlyFits()), 1) as grid:
        ...     replies = grid.send_and_receive(
        ...         [Message(RecordDict(), 1000, "evaluate")]
        ...     )
        >>> [does_not_evaluate(reply) for reply in replies]
        [True]
    """
    return reply.has_error() and reply.error.code == DOES_NOT_EVALUATE


def is_absent(reply: Message) -> bool:
    """Return whether a reply says that its client takes no part in the round, which is not a failure."""
    return reply.has_error() and reply.error.code == ABSENT
