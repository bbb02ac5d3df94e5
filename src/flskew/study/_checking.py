"""Check a task before the first cell runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from flskew._util.progress import silence
from flskew._util.texts import listed
from flskew.client import SupportsFit
from flskew.study._keys import TaskKey, key_of
from flskew.study._running import one_thread
from flskew.study._scoring import scores
from flskew.study._splits import Pair, num_rows
from flskew.study.task import Task

__all__ = ["check_task", "check_use", "check_views"]

_METHODS = ("initial", "client", "evaluate")


def check_task(task: Task) -> None:
    """Refuse an object that is not a task.

    Raises:
        TypeError: It lacks an attribute, or a method is not callable.
        ValueError: There are no rows.
    """
    missing = [name for name in ("labels", "test_labels", *_METHODS) if not hasattr(task, name)]
    if missing:
        raise TypeError(f"task must have {listed(missing, show=str)}, got {type(task).__name__}; see flskew.study.Task")
    for name in _METHODS:
        if not callable(getattr(task, name)):
            raise TypeError(f"task.{name} must be a method, got {type(getattr(task, name)).__name__}")
    for name in ("labels", "test_labels"):
        try:
            count = num_rows(getattr(task, name))
        except TypeError:
            kind = type(getattr(task, name)).__name__
            raise TypeError(f"task.{name} must contain one label per row, got {kind}") from None
        if not count:
            raise ValueError(f"task.{name} is empty; it must contain one label per row")


def check_views(task: Task, name: str, pair: Pair) -> None:
    """Refuse a task that takes no view if clients see their rows through a shift.

    Raises:
        TypeError: It takes none.
    """
    for method, shift, arguments in (
        ("client", pair.shifts[0], ("rows", "view")),
        ("evaluate", pair.shifts[1], ("parameters", "rows", "view")),
    ):
        function = getattr(task, method)
        if shift is not None and not _takes(function, len(arguments)):
            raise TypeError(
                f"splits[{name!r}] has a shift, so task.{method} must take ({', '.join(arguments)}) and apply the "
                f"view, got {method}{inspect.signature(function)}; see flskew.study.Task"
            )


def check_use(task: Task, key: TaskKey, pair: Pair, seed: int, metric: str) -> None:
    """Make a model, score it, and make a client, once.

    Raises:
        TypeError: The client has no `fit`, or `evaluate` does not return numbers by name.
        ValueError: The metric of the study is missing, or using the task has changed its key.
        Exception: Whatever the task raises.
    """
    with one_thread(key.versions), silence():
        parameters = task.initial(seed)
        if not isinstance(parameters, list | tuple) or not all(isinstance(one, np.ndarray) for one in parameters):
            raise TypeError(f"task.initial must return a list of arrays, got {type(parameters).__name__}")
        metrics = scores(task, parameters, np.arange(num_rows(task.test_labels)), None, None)
        if metric not in metrics:
            raise ValueError(f"metric={metric!r} is not among those of task.evaluate, {listed([*metrics])}")
        number = int(np.flatnonzero(pair.train.sizes)[0])
        rows, view = pair.train[number], pair.view(number)
        client: object = task.client(rows) if view is None else task.client(rows, view)  # type: ignore[call-arg]
    if not isinstance(client, SupportsFit):
        raise TypeError(f"task.client must return an object with fit(parameters, config), got {type(client).__name__}")
    place = key.changed(key_of(task))
    if place is not None:
        raise ValueError(
            f"{place} changes when the task is used, so finished cells could not be found again; create it where it is "
            "used, or make it a functools.cached_property, whose value does not count"
        )


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True
