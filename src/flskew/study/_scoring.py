"""Score a model with the task's `evaluate`: on any rows, on each client's own, and on those of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flskew._util.texts import listed
from flskew.shifts import View
from flskew.study._classes import Classes
from flskew.study._seeds import POOLED
from flskew.study._splits import Pair
from flskew.study.task import Task
from flskew.typing import Figures, Parameters, Rows

__all__ = ["own_scores", "recall", "scores"]


def scores(
    task: Task, parameters: Parameters, rows: Rows, view: View | None, names: Sequence[str] | None
) -> dict[str, float]:
    """Return the metrics of a model on test rows.

    Args:
        task: The task.
        parameters: The model; the task gets a copy.
        rows: The test rows; the task gets a copy.
        view: How they are seen; None if as they are.
        names: Those of the metrics; None to accept any.

    Raises:
        TypeError: `evaluate` returned something other than numbers by name.
        ValueError: It returned other names than before.
        Exception: Whatever it raises.
    """
    copied, rows = [array.copy() for array in parameters], rows.copy()
    returned: object = (
        task.evaluate(copied, rows) if view is None else task.evaluate(copied, rows, view)  # type: ignore[call-arg]
    )
    if not isinstance(returned, Mapping):
        raise TypeError(f"task.evaluate must return metrics by name, e.g. {{'accuracy': 0.9}}, got {returned!r:.80}")
    if names is not None and set(returned) != set(names):
        raise ValueError(
            f"task.evaluate must always return the same metrics, got {listed([*returned])} after {listed([*names])}; "
            "return NaN for one that is undefined"
        )
    return {_name(name): _number(name, value) for name, value in returned.items()}


def own_scores(
    task: Task, pair: Pair, trained: Rows, models: Sequence[Parameters | None], names: Sequence[str]
) -> dict[str, Figures]:
    """By metric, (num_clients,) values on each client's own test rows; NaN without test rows or a model.

    Args:
        task: The task.
        pair: Who is tested on which rows.
        trained: The client of each model, or -1 for one that all share.
        models: The models; None for those of runs that ended early.
        names: Those of the metrics.
    """
    own = {name: np.full(len(pair.test), np.nan) for name in names}
    is_shared = trained[0] == POOLED
    for place, client in enumerate(range(len(pair.test)) if is_shared else trained.tolist()):
        model, rows = models[0 if is_shared else place], pair.test[client]
        if model is not None and len(rows):
            metrics = scores(task, model, rows, pair.test_view(client), names)
            for name, value in metrics.items():
                own[name][client] = value
    return own


def recall(task: Task, parameters: Parameters | None, classes: Classes, names: Sequence[str]) -> Figures:
    """(num_classes,) the accuracy on the test rows of each class; NaN without a model, or if the task measures none."""
    found = np.full(len(classes.labels), np.nan)
    # Other metrics may be undefined on the rows of one class, such as the area under the ROC curve.
    if parameters is not None and "accuracy" in names:
        for place, rows in enumerate(classes.test_rows):
            found[place] = scores(task, parameters, rows, None, names)["accuracy"]
    return found


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"task.evaluate must return metrics by name, got the key {name!r:.80}")
    return name


def _number(name: object, value: object) -> float:
    try:
        if isinstance(value, str | bytes) or np.ndim(value) != 0:  # type: ignore[arg-type]
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(
            f"task.evaluate must return numbers, got {name!r:.80}: {value!r:.80} of type {type(value).__name__}"
        ) from None
