"""Check a task before the first cell runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from flskew._util.progress import silence
from flskew._util.texts import listed
from flskew._wire import SERVER_ROUND_KEY
from flskew.client import SupportsFit
from flskew.study._keys import TaskKey, key_of
from flskew.study._running import one_thread
from flskew.study._scoring import scores
from flskew.study._seeds import client_seed
from flskew.study._splits import Pair, num_rows
from flskew.study.task import Task
from flskew.typing import Config, Parameters

__all__ = ["check_task", "check_use", "check_views"]

# Relative to what is learned.
_LARGEST_DIFFERENCE = 1e-3
_METHODS = ("initial", "client", "evaluate")


def check_task(task: Task) -> None:
    """Refuse an object that is not a task.

    Raises:
        TypeError: It is a class, lacks an attribute, or a method is not callable.
        ValueError: There are no rows.
    """
    if isinstance(task, type):
        raise TypeError(f"task must be an object, got the class {task.__name__}; pass {task.__name__}()")
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
    """Make a model twice, score it, and train the smallest client twice.

    Raises:
        TypeError: The client has no `fit`, `initial` does not return arrays, or `evaluate` numbers by name.
        ValueError: The metric of the study is missing, `initial` or `fit` draws from something else than its seed, or
            using the task has changed its key.
        Exception: Whatever the task raises.
    """
    with one_thread(key.versions), silence():
        parameters = _initial(task, seed)
        if not _are_equal(parameters, _initial(task, seed)):
            raise ValueError(
                f"task.initial({seed}) returned other parameters the second time, so methods would not start from the "
                "same ones; draw them from the seed, e.g. with np.random.default_rng(seed) or torch.manual_seed(seed)"
            )
        metrics = scores(task, parameters, np.arange(num_rows(task.test_labels)), None, None)
        if metric not in metrics:
            raise ValueError(f"metric={metric!r} is not among those of task.evaluate, {listed([*metrics])}")
        _check_fit(task, pair, seed, parameters)
    place = key.changed(key_of(task))
    if place is not None:
        raise ValueError(
            f"{place} changes when the task is used, so finished cells could not be found again; create it where it is "
            "used, or make it a functools.cached_property, whose value does not count"
        )


def _check_fit(task: Task, pair: Pair, seed: int, start: Parameters) -> None:
    """Train the smallest client twice, as in the first round of a baseline.

    Raises:
        TypeError: It has no `fit`.
        ValueError: It has learned something else the second time.
    """
    number = min(np.flatnonzero(pair.train.sizes).tolist(), key=lambda client: len(pair.train[client]))
    trained = []
    for _ in range(2):
        rows, view = pair.train[number].copy(), pair.view(number)
        client: object = task.client(rows) if view is None else task.client(rows, view)  # type: ignore[call-arg]
        if not isinstance(client, SupportsFit):
            raise TypeError(
                f"task.client must return an object with fit(parameters, config), got {type(client).__name__}"
            )
        config: Config = {SERVER_ROUND_KEY: 1, "seed": client_seed(seed, 1, number)}
        returned = client.fit([array.copy() for array in start], config)
        trained.append([np.asarray(array, np.float64) for array in returned[0]])
    learned = sum(float(np.square(one - array).sum()) for one, array in zip(trained[0], start, strict=True))
    differs = sum(float(np.square(one - other).sum()) for one, other in zip(*trained, strict=True))
    # Some frameworks add numbers in another order each time; another order of the rows differs by much more.
    if differs > _LARGEST_DIFFERENCE**2 * learned:
        raise ValueError(
            "client.fit returned other parameters the second time, so no run could be repeated, and methods would "
            "differ by luck; draw all random numbers from config['seed'], and do not change the data in place"
        )


def _initial(task: Task, seed: int) -> Parameters:
    """Return initial parameters.

    Raises:
        TypeError: They are not a list of arrays.
    """
    parameters: object = task.initial(seed)
    if not isinstance(parameters, list | tuple):
        raise TypeError(f"task.initial must return a list of NumPy arrays, got {type(parameters).__name__}")
    for one in parameters:
        if not isinstance(one, np.ndarray):
            raise TypeError(f"task.initial must return a list of NumPy arrays, got {type(one).__name__} in it")
    return list(parameters)


def _are_equal(mine: Parameters, theirs: Parameters) -> bool:
    return len(mine) == len(theirs) and all(
        (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        for one, other in zip(mine, theirs, strict=True)
    )


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True
