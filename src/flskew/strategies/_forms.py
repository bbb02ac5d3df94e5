"""The form of the values in a run's files, so that a forged file is rejected before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from flskew.strategies.best import BestModel
from flskew.strategies.history import Failure, Reply, Round

__all__ = ["CHECKPOINT", "HISTORY", "VALUES", "Form", "has_form"]

Form: TypeAlias = Any
"""A type; a list or a tuple with one form, which all entries must match; a dict from a type to a form, which all items
must match; or a dict from names to forms, with exactly these names."""

VALUES: dict[type, Form] = {
    BestModel: {"server_round": int, "value": float, "arrays": ArrayRecord},
    Failure: {
        "node_id": int,
        "reason": str,
        "traceback": str,
        "partition_id": int | None,
        "name": str | None,
    },
    Reply: {
        "node_id": int,
        "num_examples": int | float,
        "metrics": {str: int | float | list},
        "seconds": int | float,
        "assignment": str | None,
        "records": {str: ArrayRecord | MetricRecord | ConfigRecord},
        "update_norm": int | float,
        "partition_id": int | None,
        "name": str | None,
    },
    Round: {
        "server_round": int,
        "phase": str,
        "replies": (Reply,),
        "failures": (Failure,),
        "seconds": int | float,
        "absent": (int,),
    },
}
"""The attributes of the values of a history and of a result."""

HISTORY: Form = {"run": str, "server_round": int, "rounds": [Round]}
CHECKPOINT: Form = {
    "server_round": int,
    "result": {
        "arrays": ArrayRecord,
        "train_metrics_clientapp": {int: MetricRecord},
        "evaluate_metrics_clientapp": {int: MetricRecord},
        "evaluate_metrics_serverapp": {int: MetricRecord},
        "best": BestModel | None,
    },
    "state": {
        "run": str,
        "kinds": [str],
        "strategy": dict,
        "record": {"splits": {str: [int]}, "only_train": set},
        "best": {"metric": str | None, "lower_is_better": bool, "source": str | None, "waited": int},
        "nodes": {int: RecordDict},
    },
}


def has_form(value: object, form: Form) -> bool:
    """Return whether a value matches a form.

    Examples:
        >>> (
        ...     has_form({"loss": [0.5, 0.25]}, {"loss": [float]}),
        ...     has_form({"loss": [0.5, "x"]}, {"loss": [float]}),
        ... )
        (True, False)
        >>> has_form({1: (), 2: ("a", "b")}, {int: (str,)})
        True
    """
    if isinstance(form, type | UnionType):
        return isinstance(value, form)
    if isinstance(form, list | tuple):
        return isinstance(value, type(form)) and all(has_form(entry, form[0]) for entry in value)
    if not isinstance(value, Mapping):
        return False
    ((key, of_entries), *_) = form.items()
    if isinstance(key, type):
        return all(isinstance(name, key) and has_form(entry, of_entries) for name, entry in value.items())
    return value.keys() == form.keys() and all(has_form(value[name], form[name]) for name in form)
